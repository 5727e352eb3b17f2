"""Where the head of a user's network is."""

from __future__ import annotations

from torch import nn

from zoo.errors import ContractError, closest

_HEADS = ("fc", "head", "classifier", "heads", "output", "out")


def only_head(module: nn.Module, name: str) -> str:
    """The last linear layer."""
    linear = _linear(module)
    if not linear or not linear[-1]:
        raise ContractError(
            f"{name} has no linear layer that could be its head",
            hint="Say which module is the head: zoo.wrap(network, head='PATH').",
        )
    return linear[-1]


def _linear(module: nn.Module) -> list[str]:
    return [path for path, layer in module.named_modules() if isinstance(layer, nn.Linear)]


def require_head(module: nn.Module, head: str, name: str) -> None:
    paths = [path for path, _ in module.named_modules() if path]
    if head in paths:
        return
    last = head.rpartition(".")[2]
    usual = [p for p in paths if p.rpartition(".")[2] in (last, *_HEADS)]
    linear = _linear(module)
    near = list(dict.fromkeys([*closest(head, paths), *usual, *linear[-1:]]))[:5]
    raise ContractError(
        f"{name} has no module {head!r}. Closest: {', '.join(near) or 'none'}",
        hint="head= is a path as in network.named_modules(), e.g. fc or classifier.6.",
    )
