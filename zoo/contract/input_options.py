"""Fields of a network's input that users set, such as ``--input seconds=5``. No torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from zoo.contract.inputs import InputSpec
from zoo.errors import UsageError, ZooError, did_you_mean, first_line

InputOptions: TypeAlias = "Mapping[str, Any] | Sequence[str] | None"
"""Values by name, or ``NAME=VALUE`` as in a shell."""

_OPTION = re.compile(r"([A-Za-z_]\w*)=(.+)", re.DOTALL)


def as_texts(given: Any) -> Any:
    """``NAME=VALUE`` for each; what is not of :data:`InputOptions` is returned as it is."""
    if isinstance(given, Mapping):
        return tuple(f"{name}={_text(value)}" for name, value in given.items())
    if isinstance(given, str):
        return (given,)
    return tuple(given) if isinstance(given, list) else given


def are_texts(given: Any) -> bool:
    """Whether each is ``NAME=VALUE``."""
    return isinstance(given, tuple) and all(
        isinstance(each, str) and _OPTION.fullmatch(each) for each in given
    )


def with_options(given: InputSpec, asked: Sequence[str], name: str) -> InputSpec:
    """The input with the user's values.

    Args:
        given: What the network takes.
        asked: The values, as ``NAME=VALUE``.
        name: The backbone's, for errors.

    Raises:
        UsageError: The input has no such option, or the value is not valid.
    """
    for text in asked:
        match = _OPTION.fullmatch(text)
        assert match is not None, text  # checked by are_texts
        field, value = match.groups()
        if field not in given.options:
            raise UsageError(
                f"--input: {name} has no {field!r}.{did_you_mean(field, given.options)}",
                hint=_known(given, name),
            )
        try:
            given = replace(given, **{field: _value(value, getattr(given, field))})
        except Exception as error:  # of a plugin's record
            why = error.message if isinstance(error, ZooError) else first_line(error)
            raise UsageError(
                f"--input: {text} is not valid: {why.removeprefix('invalid spec: ')}",
                hint=f"{field}: {given.options[field]}.",
            ) from error
    return given


def _known(given: InputSpec, name: str) -> str:
    if not given.options:
        return f"The input of {name} has no options."
    return (
        "; ".join(f"{field}: {description}" for field, description in given.options.items()) + "."
    )


def _text(value: Any) -> str:
    plain = value.item() if hasattr(value, "item") else value
    return plain if isinstance(plain, str) else json.dumps(plain)


def _value(text: str, now: Any) -> Any:
    """A value of the type of ``now``."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    kind = type(now)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise ValueError(f"it must be {_KINDS.get(kind, f'a {kind.__name__}')}")
    return value


_KINDS: Mapping[type, str] = {
    float: "a number",
    int: "an integer",
    bool: "true or false",
    str: "text",
}
