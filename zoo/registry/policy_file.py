"""Changes to the text of a ``registry.toml`` that leave its comments, order and layout alone.

A file is the user's own: what is added stands at its end, and what is taken out are the lines
that say it, whatever stands around them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from typing import Any

import tomlkit
from tomlkit.items import InlineTable

from zoo.registry.toml_lines import stated_key


def with_run(text: str, name: str, folder: str) -> str:
    """``text`` with the run in ``folder`` published under ``name``, in the place of any other."""
    wanted = _data(text)
    wanted["models"] = {**wanted.get("models", {}), name: {"run": folder}}
    return _first_right(
        [lambda: _appended(text, name, folder), lambda: _set(text, name, folder)], wanted
    )


def without_run(text: str, name: str) -> str:
    """``text`` without the run that it publishes under ``name``."""
    wanted = _data(text)
    wanted["models"] = {key: value for key, value in wanted["models"].items() if key != name}
    return _first_right([lambda: _lines_dropped(text, name), lambda: _deleted(text, name)], wanted)


def _first_right(edits: list[Callable[[], str]], wanted: Mapping[str, Any]) -> str:
    """What the first edit gives that says what is wanted, and nothing else than before."""
    for edit in edits:
        edited = edit()
        try:
            found = _data(edited)
        except tomllib.TOMLDecodeError:  # the edit did not suit the form of the file
            continue
        if _without_empty(found) == _without_empty(wanted):
            return edited
    raise AssertionError("registry.toml has a form in which it cannot be changed")


def _data(text: str) -> dict[str, Any]:
    return tomllib.loads(text)


def _without_empty(data: Mapping[str, Any]) -> dict[str, Any]:
    """Without a table of models that has none, which says nothing."""
    return {key: value for key, value in data.items() if key != "models" or value}


def _appended(text: str, name: str, folder: str) -> str:
    """With a table at the end; not where there is one, or where all models are an inline table."""
    newline = "\r\n" if "\r\n" in text else "\n"
    before = text.rstrip("\r\n")
    entry = [
        *([before, ""] if before else []),
        f"[models.{tomlkit.key(name).as_string()}]",
        f"run = {tomlkit.item(folder).as_string()}",
        "",
    ]
    return newline.join(entry)


def _set(text: str, name: str, folder: str) -> str:
    document = tomlkit.parse(text)
    models: Any = document["models"]
    if name in models:
        models[name]["run"] = folder
    else:
        assert isinstance(models, InlineTable)
        models[name] = tomlkit.inline_table().add("run", folder)
    return tomlkit.dumps(document)


def _lines_dropped(text: str, name: str) -> str:
    """Without the two lines of its table, and without the empty one that set it off."""
    lines = text.splitlines(keepends=True)
    table: tuple[str, ...] = ()
    dropped = []
    for number, line in enumerate(lines):
        code = line.strip()
        if code.startswith("["):
            table = key = stated_key(code)
        else:
            key = (*table, *stated_key(f"{code.partition('=')[0]}= 0")) if "=" in code else ()
        if key in (("models", name), ("models", name, "run")):
            dropped.append(number)
    if not dropped:
        return text
    before, after = dropped[0] - 1, dropped[-1] + 1
    if before >= 0 and not lines[before].strip():
        if after == len(lines) or not lines[after].strip():
            dropped.append(before)
    elif before < 0 and after < len(lines) and not lines[after].strip():
        dropped.append(after)
    return "".join(line for number, line in enumerate(lines) if number not in dropped)


def _deleted(text: str, name: str) -> str:
    document = tomlkit.parse(text)
    models: Any = document["models"]
    del models[name]
    return tomlkit.dumps(document)
