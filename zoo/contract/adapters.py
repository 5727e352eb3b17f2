"""Kinds of adapters, as plain data without torch; a plugin adds its own through ``zoo_adapters``."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo.contract.inputs import JsonData
from zoo.errors import ContractError

if TYPE_CHECKING:
    from torch import nn

ConfigFactory = Callable[["AdapterOptions", str], Any]
ParameterChoice = Callable[["nn.Module"], Iterable[str]]


@dataclass(frozen=True, kw_only=True)
class AdapterOptions(JsonData):
    """Options of an adapter, from ``--lora-rank``, ``--lora-alpha`` and ``--lora-dropout``.

    Attributes:
        rank: Rank of its matrices.
        alpha: Its output is scaled by ``alpha / rank``.
        dropout: Dropout rate of its inputs.
    """

    rank: int = 8
    alpha: int = 16
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True)
class AdapterKind:
    """A kind of adapter: layers that PEFT inserts, or a choice of the network's own parameters.

    Attributes:
        title: Its name in messages, such as ``LoRA``.
        config: Function from :class:`AdapterOptions` and a regular expression of the paths of the
            adapted layers to a ``peft.PeftConfig``; or its ``module:function``.
        parameters: Function from a network without its head to the names of the parameters that
            train; or its ``module:function``. Exactly one of ``config`` and ``parameters`` is set.
        layers: Layer classes that it can adapt, including subclasses; each layer is also tested
            before it is adapted. For ``config`` only.
        rank: Whether it uses ``rank`` and ``alpha``.
        dropout: Whether it uses ``dropout``.
        lr: Factor on the default learning rate; fewer parameters need a larger one.
    """

    title: str
    config: ConfigFactory | str = ""
    parameters: ParameterChoice | str = ""
    layers: tuple[str, ...] = ("Linear", "Conv1d", "Conv2d", "Conv3d", "Conv1D", "Embedding")
    rank: bool = False
    dropout: bool = False
    lr: float = 10.0

    def __post_init__(self) -> None:
        if bool(self.config) == bool(self.parameters):
            raise ContractError(
                f"the adapter {self.title!r} must have either 'config' or 'parameters'",
                hint="See zoo_adapters in docs/plugins.md.",
            )

    @property
    def inserts(self) -> bool:
        """Whether it inserts layers, rather than train some of the network's parameters."""
        return bool(self.config)

    def layers_include(self, layer: type) -> bool:
        """Whether it can adapt a class of layers."""
        return any(base.__name__ in self.layers for base in layer.__mro__)


def imported(given: Callable[..., Any] | str) -> Callable[..., Any]:
    """The function that ``module:function`` names, or the given one.

    Raises:
        ContractError: It cannot be imported.
    """
    if not isinstance(given, str):
        return given
    module, _, name = given.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ContractError(
            f"failed to import {given!r} of an adapter: {error}",
            hint="'zoo plugins' lists all plugins and their status.",
        ) from error
    return found
