"""Changes to the text of a ``registry.toml`` that leave its comments, order and layout alone."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import InlineTable, Table

from zoo.errors import PolicyError


def with_run(text: str, name: str, folder: str) -> str:
    """``text`` with the run in ``folder`` published under ``name``, in the place of any other.

    Raises:
        PolicyError: The file is written in a form that cannot be changed.
    """
    document = _parsed(text)
    models: Any = document.get("models", {})
    if name in models:
        models[name]["run"] = folder
    elif isinstance(models, InlineTable):
        models[name] = tomlkit.inline_table().add("run", folder)
    else:
        return _checked(_with_table(text, name, folder), _said(text, name, {"run": folder}))
    return _checked(tomlkit.dumps(document), _said(text, name, {"run": folder}))


def without_run(text: str, name: str) -> str:
    """``text`` without the run that it publishes under ``name``.

    Raises:
        PolicyError: The file is written in a form that cannot be changed.
    """
    document = _parsed(text)
    models: Any = document["models"]
    if comments := _comments(models[name]):
        models[name] = tomlkit.table(is_super_table=True).add(tomlkit.ws(comments))
    else:
        del models[name]
    left = tomlkit.dumps(document).rstrip("\r\n")  # without the empty line that set it off
    return _checked(left and left + _newline(text), _said(text, name, None))


def _with_table(text: str, name: str, folder: str) -> str:
    """``text`` with a table at its end, where a user would write it."""
    entry = tomlkit.dumps({"models": {name: {"run": folder}}})
    before, newline = text.rstrip("\r\n"), _newline(text)
    return (before and before + 2 * newline) + entry.replace("\n", newline)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _comments(entry: object) -> str:
    """Lines that TOML counts as a table's, though they may be about what follows it."""
    if not isinstance(entry, Table):
        return ""
    lines = "".join(item.as_string() for key, item in entry.value.body if key is None)
    return lines if lines.strip() else ""


def _parsed(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise _unchangeable() from error


def _said(text: str, name: str, entry: Mapping[str, str] | None) -> dict[str, Any]:
    """What a file with ``text`` is to say with ``entry`` under ``name``, or without it."""
    data = tomllib.loads(text)
    models = {key: value for key, value in data.get("models", {}).items() if key != name}
    return {**data, "models": {**models, name: entry} if entry else models}


def _checked(text: str, wanted: Mapping[str, Any]) -> str:
    """``text``, if it says what is wanted."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _unchangeable() from error
    if {"models": {}, **found} != wanted:
        raise _unchangeable()
    return text


def _unchangeable() -> PolicyError:
    return PolicyError(
        "registry.toml is written in a form that zoo does not change",
        hint='Change it in an editor: [models.NAME] and run = "FOLDER".',
    )
