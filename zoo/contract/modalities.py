"""The table of modalities: zoo's own, and those that plugins register.

A row refers to two objects by ``module:attribute``, which are imported when they are needed: the
input class, without torch, and the implementation.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from zoo.contract.inputs import InputSpec
from zoo.contract.references import reference_to
from zoo.errors import ContractError

_NAME_HINT = "Write ModalitySpec(name='audio', input='acme.inputs:AudioInput', implementation=…)."


@dataclass(frozen=True, kw_only=True)
class ModalitySpec:
    """A modality, as plain data.

    Attributes:
        name: The value of ``BackboneSpec.modality``, such as ``audio``.
        input: The subclass of :class:`zoo.InputSpec` that describes a network's input, or its
            ``module:attribute``; its module must not import torch.
        implementation: ``module:attribute`` of a :class:`zoo.FileModality`; imported when inputs
            are read.
        plugin: The plugin that registers it; set by the registry, empty for zoo's own.
    """

    name: str
    input: str | type[InputSpec]
    implementation: str
    plugin: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.input, type):
            object.__setattr__(self, "input", reference_to(self.input))
        if not (isinstance(self.name, str) and self.name.isidentifier() and self.name.islower()):
            raise ContractError(
                f"invalid modality: the name {self.name!r}",
                hint="Use a lower-case word, such as 'audio'.",
            )
        for field in ("input", "implementation"):
            value = getattr(self, field)
            if not (isinstance(value, str) and value.count(":") == 1):
                raise ContractError(
                    f"invalid modality {self.name!r}: {field} must be 'module:attribute', got "
                    f"{value!r}",
                    hint=_NAME_HINT,
                )

    def load(self, field: str) -> Any:
        """Import the object that ``input`` or ``implementation`` names."""
        return _imported(getattr(self, field))


@cache
def _imported(reference: str) -> Any:
    """The object of ``module:attribute``; ``zoo list`` asks for each of its rows."""
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module), attribute)


BUILT_IN = (
    ModalitySpec(
        name="image",
        input="zoo.contract.spec:ImageInput",
        implementation="zoo.modalities.image.modality:IMAGE",
    ),
    ModalitySpec(
        name="text",
        input="zoo.contract.spec:TextInput",
        implementation="zoo.modalities.text.modality:TEXT",
    ),
)
"""In the order in which help and tables list them."""

_known: dict[str, ModalitySpec] = {each.name: each for each in BUILT_IN}


def register(modality: ModalitySpec) -> ModalitySpec:
    """Add a modality to the table, and return the one that is registered under the name.

    If two plugins register the same name, the first one keeps it.
    """
    return _known.setdefault(modality.name, modality)


def withdraw(plugin: str) -> None:
    """Remove the modalities of a plugin."""
    for name in [name for name, each in _known.items() if each.plugin and each.plugin == plugin]:
        del _known[name]


def registered() -> Mapping[str, ModalitySpec]:
    """The table, by name; includes plugins once they have been discovered."""
    return MappingProxyType(_known)


def input_class(modality: object) -> type[InputSpec]:
    """The class of the inputs of a modality.

    Raises:
        ContractError: No modality has the name, or its class cannot be imported.
    """
    if not isinstance(modality, str) or modality not in _known:
        raise ContractError(
            f"no modality is called {modality!r}",
            hint=f"Modalities: {', '.join(_known)}. A plugin may add it: 'zoo plugins' lists those "
            "installed.",
        )
    found = _known[modality]
    try:
        kind: type[InputSpec] = found.load("input")
        fits = isinstance(kind, type) and issubclass(kind, InputSpec)
    except Exception as error:
        raise ContractError(
            f"the input {found.input} of the modality {modality!r} of plugin {found.plugin!r} "
            f"cannot be imported: {type(error).__name__}: {error}",
            hint="Upgrade or reinstall the plugin.",
        ) from error
    if not fits or kind.modality != modality:
        raise ContractError(
            f"{found.input} of plugin {found.plugin!r} must be a subclass of zoo.InputSpec whose "
            f"modality is {modality!r}",
            hint="See 'Modalities' in docs/plugins.md.",
        )
    return kind
