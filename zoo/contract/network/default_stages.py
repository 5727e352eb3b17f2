"""Stages of a network: those of its plugin, or one per child module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn

from zoo.contract.stages import Stage


def stages_of(
    net: nn.Module, head: str, stages: Mapping[str, Iterable[str]] | Iterable[str] | None
) -> list[Stage]:
    """Make stages from a plugin's mapping or list of paths; by default one per child module."""
    if stages is None:
        return default_stages(net, head)
    if isinstance(stages, Mapping):
        return [Stage(name, tuple(paths)) for name, paths in stages.items()]
    return [Stage(path, (path,)) for path in stages]


def default_stages(net: nn.Module, head: str) -> list[Stage]:
    """Return one stage per child module, in order; the network's head must be removed.

    A stage has the name of the child's path. A child without parameters belongs to the stage before
    it, and the network's own parameters belong to the first stage. If one child has all parameters,
    its children are the stages instead, if at least two of them have parameters.
    """
    container = _container(net)
    parent = net.get_submodule(container)
    prefix = f"{container}." if container else ""
    early = [prefix + name for name, _ in parent.named_parameters(recurse=False)]
    groups: list[list[str]] = []
    for name, module in parent.named_children():
        if _has_parameters(module):
            groups.append([prefix + name, *early])
            early = []
        elif prefix + name != head:
            (groups[-1] if groups else early).append(prefix + name)
    if not groups:
        return [Stage("network", tuple(early))]
    return [Stage(group[0], tuple(group)) for group in groups]


def _container(net: nn.Module) -> str:
    """Return the path of the module whose children are the stages."""
    path, module = "", net
    while not [*module.parameters(recurse=False)]:
        held = [(name, child) for name, child in module.named_children() if _has_parameters(child)]
        if len(held) != 1:
            return path if held else ""
        path, module = f"{path}.{held[0][0]}".lstrip("."), held[0][1]
    return ""


def _has_parameters(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None
