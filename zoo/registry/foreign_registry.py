"""Detect a ``registry.toml`` above the working directory that belongs to another program.

Such a file is ignored with a warning if it has foreign content and nothing in zoo's format. Foreign
are unknown tables, and entries of another form in ``[plugins]``, ``[models]``, ``[weights]`` or
``[resolve]``. A ``schema``, or one entry in zoo's format, even misspelled, makes the file zoo's:
anything else that is wrong in it is then an error with its line, as in the user's own file.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_KEYS = {"plugins": "enabled", "models": "run", "weights": "sha256"}
_TABLES = {"schema", "resolve", "aliases", *_KEYS}


def foreign_reason(data: Mapping[str, Any]) -> str:
    """Return why a file belongs to another program; empty if it seems to be zoo's."""
    if any(_in_zoo_format(data)):
        return ""
    return next(_foreign(data), "")


def _in_zoo_format(data: Mapping[str, Any]) -> Iterator[bool]:
    yield "schema" in data and isinstance(data["schema"], int)
    resolve, aliases = data.get("resolve"), data.get("aliases")
    yield isinstance(resolve, Mapping) and _has(resolve, "order")
    for name in aliases.values() if isinstance(aliases, Mapping) else ():
        yield isinstance(name, str) and len(name.split("/")) == 2
    for table, key in _KEYS.items():
        for entry in _entries(data.get(table)).values():
            if isinstance(entry, Mapping):
                # Other programs also enable plugins, with further keys.
                yield _has(entry, key) and (key != "enabled" or len(entry) == 1)


def _foreign(data: Mapping[str, Any]) -> Iterator[str]:
    for name in data:
        if name not in _TABLES and not _misspelled(name, _TABLES):
            yield f"unknown table {name!r}"
    resolve = data.get("resolve")
    if isinstance(resolve, Mapping) and resolve:
        yield "[resolve] has no 'order'"
    for table, key in _KEYS.items():
        if isinstance(data.get(table), list):
            yield f"{table!r} is a list"
        for name, entry in _entries(data.get(table)).items():
            if not isinstance(entry, Mapping):
                yield f"{name!r} in [{table}] is not a table"
            elif entry:
                flaw = "has more than" if key in entry else "has no"
                yield f"[{table}.{name}] {flaw} {key!r}"


def _has(entry: Mapping[str, Any], key: str) -> bool:
    """Whether ``entry`` has ``key``, possibly misspelled."""
    return key in entry or any(_misspelled(each, [key]) for each in entry)


def _misspelled(name: str, names: Iterable[str]) -> bool:
    """Whether ``name`` is a typo of one of ``names``; stricter than suggestions for typos."""
    return bool(difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.65))


def _entries(table: Any) -> Mapping[str, Any]:
    return table if isinstance(table, Mapping) else {}
