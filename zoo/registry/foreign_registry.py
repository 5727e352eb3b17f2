"""Whether a ``registry.toml`` above the working directory is another program's. No torch.

Such a file is left alone, with a line that says so, where it has something that is not zoo's and
nothing that is. It is not zoo's to have a table of another name, or in ``[plugins]``, ``[models]``,
``[weights]`` or ``[resolve]`` entries of another form. It is zoo's to state a ``schema``, or to have
one entry of zoo's form, a misspelt one included: then whatever else is wrong is an error with its
line, as it always is in the user's own file, whose folder is zoo's.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_KEYS = {"plugins": "enabled", "models": "run", "weights": "sha256"}
_TABLES = {"schema", "resolve", "aliases", *_KEYS}


def foreign_sign(data: Mapping[str, Any]) -> str:
    """What shows that a file with ``data`` is another program's; the empty string if nothing does."""
    if any(_own(data)):
        return ""
    return next(_foreign(data), "")


def _own(data: Mapping[str, Any]) -> Iterator[bool]:
    yield "schema" in data and isinstance(data["schema"], int)
    resolve, aliases = data.get("resolve"), data.get("aliases")
    yield isinstance(resolve, Mapping) and _has(resolve, "order")
    for name in aliases.values() if isinstance(aliases, Mapping) else ():
        yield isinstance(name, str) and len(name.split("/")) == 2
    for table, key in _KEYS.items():
        for entry in _entries(data.get(table)).values():
            if isinstance(entry, Mapping):
                # Other programs switch their plugins on and off too, and say more of them.
                yield _has(entry, key) and (key != "enabled" or len(entry) == 1)


def _foreign(data: Mapping[str, Any]) -> Iterator[str]:
    for name in data:
        if name not in _TABLES and not _misspelt(name, _TABLES):
            yield f"{name!r} is not zoo's"
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
                what = "has more than" if key in entry else "has no"
                yield f"[{table}.{name}] {what} {key!r}"


def _has(entry: Mapping[str, Any], key: str) -> bool:
    """Whether ``entry`` has ``key``, or a misspelling of it."""
    return key in entry or any(_misspelt(own, [key]) for own in entry)


def _misspelt(name: str, names: Iterable[str]) -> bool:
    """Whether ``name`` is meant for one of ``names``: nearer than what is offered after a typo."""
    return bool(difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.65))


def _entries(table: Any) -> Mapping[str, Any]:
    return table if isinstance(table, Mapping) else {}
