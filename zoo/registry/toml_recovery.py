"""Parse TOML line by line, for line numbers and for files that are not valid TOML."""

from __future__ import annotations

import re
import tomllib
from typing import Any

_HEAD = re.compile(r"\[*\s*[\"']?([\w-]+)")


def key_of_line(toml: str) -> tuple[str, ...]:
    """Return the dotted key of one line of TOML, as its parts."""
    try:
        data: Any = tomllib.loads(toml)
    except tomllib.TOMLDecodeError:
        return ()
    path = []
    while isinstance(data, dict) and data:
        key, data = next(iter(data.items()))
        path.append(key)
    return tuple(path)


def parse_valid_lines(text: str) -> dict[str, Any]:
    """Parse the valid lines of a text that is not valid TOML; ignore the others."""
    data: dict[str, Any] = {}
    table: tuple[str, ...] = ()
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            head = _HEAD.match(line)
            table = key_of_line(line) or ((head[1],) if head else ())
            _put(data, table, {})
        elif stated := key_of_line(line):
            value: Any = tomllib.loads(line)
            for key in stated:
                value = value[key]
            _put(data, (*table, *stated), value)
    return data


def _put(data: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        inner = data.setdefault(key, {})
        if not isinstance(inner, dict):
            return
        data = inner
    if path:
        data.setdefault(path[-1], value)
