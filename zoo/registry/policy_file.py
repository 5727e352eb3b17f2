"""Edit the text of a ``registry.toml``, preserving comments, order and layout."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import InlineTable, Table

from zoo.errors import PolicyError


def with_run(text: str, name: str, folder: str) -> str:
    """Add a published run, replacing any other of that name.

    Raises:
        PolicyError: The file cannot be edited automatically.
    """
    document = _parsed(text)
    models: Any = document.get("models", {})
    if name in models:
        models[name]["run"] = folder
    elif isinstance(models, InlineTable):
        models[name] = tomlkit.inline_table().add("run", folder)
    else:
        return _checked(_with_table(text, name, folder), _expected(text, name, {"run": folder}))
    return _checked(tomlkit.dumps(document), _expected(text, name, {"run": folder}))


def without_run(text: str, name: str) -> str:
    """Remove a published run.

    Raises:
        PolicyError: The file cannot be edited automatically.
    """
    document = _parsed(text)
    models: Any = document["models"]
    if comments := _comments(models[name]):
        models[name] = tomlkit.table(is_super_table=True).add(tomlkit.ws(comments))
    else:
        del models[name]
    left = tomlkit.dumps(document).rstrip("\r\n")  # without the empty line before the table
    return _checked(left and left + _newline(text), _expected(text, name, None))


def _with_table(text: str, name: str, folder: str) -> str:
    """Append a table to the text."""
    entry = tomlkit.dumps({"models": {name: {"run": folder}}})
    before, newline = text.rstrip("\r\n"), _newline(text)
    return (before and before + 2 * newline) + entry.replace("\n", newline)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _comments(entry: object) -> str:
    """Return the comments in a table, which may refer to what follows it."""
    if not isinstance(entry, Table):
        return ""
    lines = "".join(item.as_string() for key, item in entry.value.body if key is None)
    return lines if lines.strip() else ""


def _parsed(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise _not_editable() from error


def _expected(text: str, name: str, entry: Mapping[str, str] | None) -> dict[str, Any]:
    """Return the data that a text must have after setting or removing an entry."""
    data = tomllib.loads(text)
    models = {key: value for key, value in data.get("models", {}).items() if key != name}
    return {**data, "models": {**models, name: entry} if entry else models}


def _checked(text: str, expected: Mapping[str, Any]) -> str:
    """Return the text if it has the expected data."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _not_editable() from error
    if {"models": {}, **found} != expected:
        raise _not_editable()
    return text


def _not_editable() -> PolicyError:
    return PolicyError(
        "zoo cannot edit this registry.toml automatically",
        hint='Edit it by hand: [models.NAME] and run = "FOLDER".',
    )
