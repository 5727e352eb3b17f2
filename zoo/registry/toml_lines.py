"""TOML line by line, which a file's own text needs where values alone do not say enough. No torch."""

from __future__ import annotations

import re
import tomllib
from typing import Any

_HEAD = re.compile(r"\[*\s*[\"']?([\w-]+)")


def stated_key(toml: str) -> tuple[str, ...]:
    """The dotted key that one line of TOML states, part by part."""
    try:
        data: Any = tomllib.loads(toml)
    except tomllib.TOMLDecodeError:
        return ()
    path = []
    while isinstance(data, dict) and data:
        key, data = next(iter(data.items()))
        path.append(key)
    return tuple(path)


def salvaged(text: str) -> dict[str, Any]:
    """What the lines of a text that is not valid TOML say one by one; the rest is left out."""
    data: dict[str, Any] = {}
    table: tuple[str, ...] = ()
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            head = _HEAD.match(line)
            table = stated_key(line) or ((head[1],) if head else ())
            _put(data, table, {})
        elif stated := stated_key(line):
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
