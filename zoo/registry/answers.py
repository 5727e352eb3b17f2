"""Validate what plugins answer to the hooks whose answers the index keeps."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

from zoo.contract.commands import CommandSpec
from zoo.contract.modalities import ModalitySpec
from zoo.contract.readers import ReaderSpec
from zoo.contract.spec import BackboneSpec
from zoo.errors import PluginError
from zoo.registry.discovery import guarded
from zoo.system.json_shape import Kinds, shape_flaw

Row = Mapping[str, Any]

Named = TypeVar("Named", CommandSpec, ModalitySpec, ReaderSpec)


def rows_of(specs: object, hook: str, left_out: dict[str, str] | None = None) -> dict[str, Row]:
    """Validate a plugin's specs and return them as JSON data.

    Args:
        specs: The answer of the hook.
        hook: Its name.
        left_out: Gets the specs whose inputs are not valid, with the reasons; ``None`` to raise.

    Raises:
        PluginError: The answer is something else.
    """
    if isinstance(specs, (str, bytes)) or not isinstance(specs, Iterable):
        raise PluginError(f"{hook} returned {type(specs).__name__}, not backbone specs")
    rows: dict[str, Row] = {}
    with guarded(hook):  # may be a generator that runs only now
        for given in specs:
            if not isinstance(given, BackboneSpec):
                raise PluginError(f"{hook} yielded {type(given).__name__}, not BackboneSpec")
            if given.name in rows:
                raise PluginError(f"{hook} yielded two specs called {given.name!r}")
            if given.flaw:
                if left_out is None:
                    raise PluginError(f"{hook}: {given.name!r} is not valid: {given.flaw}")
                left_out[given.name] = given.flaw
                continue
            rows[given.name] = _row(given, hook)
    return rows


def named(answer: object, hook: str, kind: type[Named]) -> tuple[Named, ...]:
    """Validate a plugin's commands, modalities or readers."""
    if answer is None:
        return ()
    if isinstance(answer, (str, bytes)) or not isinstance(answer, Iterable):
        raise PluginError(f"{hook} returned {type(answer).__name__}, not a list of {kind.__name__}")
    found: dict[str, Named] = {}
    with guarded(hook):  # may be a generator that runs only now
        for given in answer:
            if not isinstance(given, kind):
                raise PluginError(f"{hook} yielded {type(given).__name__}, not {kind.__name__}")
            if given.name in found:
                raise PluginError(f"{hook} yielded two entries called {given.name!r}")
            found[given.name] = given
    return tuple(found.values())


def featured_of(
    answer: object, rows: Collection[str], left_out: Collection[str] = ()
) -> tuple[str, ...]:
    """Validate the names that a plugin features, without those left out."""
    if isinstance(answer, (str, bytes)) or not isinstance(answer, Iterable):
        raise PluginError(f"zoo_featured returned {type(answer).__name__}, not a list of names")
    with guarded("zoo_featured"):  # may be a generator that runs only now
        found = tuple(dict.fromkeys(answer))
    for name in found:
        if name not in rows and name not in left_out:
            raise PluginError(f"zoo_featured names {name!r}, which is not in its catalogue")
    return tuple(name for name in found if name in rows)


def library_of(answer: object) -> dict[str, str]:
    """Validate the library and version that a catalogue was made from."""
    if answer is None:
        return {}
    texts = isinstance(answer, Mapping) and all(
        isinstance(text, str) for pair in answer.items() for text in pair
    )
    if not texts:
        raise PluginError(f"zoo_library must return names and versions, got {str(answer)[:80]!r}")
    return dict(answer)  # type: ignore[call-overload, no-any-return]


def _row(given: BackboneSpec, hook: str) -> Row:
    try:
        row: Row = json.loads(dump(given.to_json()))
    except (TypeError, ValueError) as error:
        raise PluginError(f"{hook}: {given.name!r} cannot be converted to JSON: {error}") from error
    flaws = [_flaw(row, _KINDS), *(_flaw(weights, _WEIGHTS_KINDS) for weights in row["weights"])]
    if not given.name.isprintable() or " " in given.name:
        flaws.append("its name has a space or a control character")
    for flaw in filter(None, flaws):
        raise PluginError(f"{hook}: {given.name!r} is not valid: {flaw}")
    return row


def _flaw(part: Row, kinds: Kinds) -> str:
    """Return which value has a wrong type; dataclasses do not check."""
    if flaw := shape_flaw(part, kinds):
        return flaw
    if not all(isinstance(tag, str) for tag in part.get("tags", ())):
        return f"'tags' must be strings, got {part['tags']!r}"
    if not all(type(metric) in (int, float) for metric in part.get("metrics", {}).values()):
        return f"'metrics' must be numbers, got {part['metrics']!r}"
    return ""


_KINDS: Kinds = {
    "name": (str,),
    "feature_dim": (int,),
    "params": (int,),
    "loader": (str,),
    "license": (str,),
    "paper": (str,),
    "tags": (list,),
    "config": (dict,),
}
_WEIGHTS_KINDS: Kinds = {
    "tag": (str,),
    "uri": (str,),
    "sha256": (str,),
    "license": (str,),
    "metrics": (dict,),
    "default": (bool,),
    "classes": (int,),
}


def dump(data: object) -> str:
    """JSON in one line."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False)
