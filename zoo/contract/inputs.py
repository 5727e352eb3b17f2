"""Dataclasses with a lossless JSON form, and the description of a network's input."""

from __future__ import annotations

import dataclasses
import types
import typing
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal, Self

from zoo.contract.references import Reference
from zoo.errors import ContractError


class JsonData:
    """Turns a frozen dataclass into JSON data and back; a field of a later version is ignored."""

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data (dicts, lists, strings, numbers), defaults included."""
        return {
            f.name: _encode(getattr(self, f.name))
            for f in dataclasses.fields(typing.cast(Any, self))
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`.

        Raises:
            ContractError: A field is missing or a value is not of the field's kind.
        """
        if not isinstance(data, Mapping):
            raise ContractError(f"not the JSON form of {cls.__name__}: {type(data).__name__}")
        decoders = _decoders(typing.cast(Any, cls))
        for key in data.keys() - decoders.keys():
            _warn_unknown(cls.__name__, key)
        try:
            return cls(**{k: decoders[k](v) for k, v in data.items() if k in decoders})
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise ContractError(f"not the JSON form of {cls.__name__}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class InputSpec(JsonData):
    """Description of a network's input; each modality has a frozen, keyword-only subclass.

    Attributes:
        modality: The name of the modality.
        tokens: Whether batches contain ``input_ids``, made by a tokenizer.
        needs_tokenizer: Whether a tokenizer is trained on the data, and saved with the run.
        options: Fields that users may set with ``--input NAME=VALUE``, each with what it does.
    """

    modality: ClassVar[str]
    tokens: ClassVar[bool] = False
    options: ClassVar[Mapping[str, str]] = {}

    @property
    def needs_tokenizer(self) -> bool:
        """Whether a tokenizer is trained on the data, and saved with the run."""
        return False

    def example(self) -> Mapping[str, tuple[tuple[int, ...], str]]:
        """The tensors of one sample: shape without the batch dimension, and dtype.

        zoo uses them to measure the feature dimension if neither spec nor head states it.
        """
        return {}

    @property
    def flaw(self) -> str:
        """Why the values are not valid; empty if they are.

        The registry reports and skips a spec whose input is not valid. Raising an error here
        instead would break the plugin's whole catalogue.
        """
        return ""

    @staticmethod
    def in_short(given: Mapping[str, Any]) -> str:
        """Describe an input in its JSON form in a few characters, for ``zoo list``: the first field."""
        return str(next(iter(given.values()), ""))


def _encode(value: Any) -> Any:
    if isinstance(value, JsonData):
        return value.to_json()
    if isinstance(value, Mapping):
        return {str(k): _encode(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [_encode(v) for v in value]
    return value


@cache
def _decoders(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {f.name: _decoder(hints[f.name]) for f in dataclasses.fields(cls)}


def _decoder(hint: Any) -> Any:
    """A function from JSON data to a value of the type ``hint``."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        inner = _decoder(args[0])
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        each = _decoder(args[0])
        return lambda value: tuple(each(v) for v in _of_kind(value, list, tuple))
    if hint is InputSpec:
        return _decoded_input
    if isinstance(hint, type) and issubclass(hint, JsonData):
        return hint.from_json
    if origin is Literal:
        return lambda value: args[args.index(value)]
    if hint is Reference:
        return lambda value: _of_kind(value, str)
    if hint is float:
        return lambda value: _of_kind(value, float, int)
    if isinstance(hint, type):
        return lambda value: _of_kind(value, hint)
    return lambda value: _of_kind(value, Mapping)


def _of_kind(value: Any, *kinds: type) -> Any:
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise TypeError(f"{str(value)[:80]!r} is not a {kinds[0].__name__}")
    return value


def _decoded_input(value: Any) -> InputSpec:
    """An input, which the spec has decoded, as it knows the modality."""
    return typing.cast(InputSpec, _of_kind(value, InputSpec))


@cache
def _warn_unknown(cls: str, key: str) -> None:
    warnings.warn(
        f"{cls} has a field {key!r} that this version of zoo does not know; it is ignored",
        stacklevel=3,
    )
