"""Stages of timm networks, from the groups that they declare for layer-wise decay."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import nn

from zoo_timm.library import timm

Group = tuple[int, ...]


def stage_paths(net: nn.Module, *, head: str) -> dict[str, list[str]]:
    """Return ordered stages, input first: names to module (or parameter) paths.

    Args:
        net: The network; its ``group_matcher`` declares the order of its layers.
        head: Path of the head, which is not in any stage.
    """
    groups = {
        path: group for path, group in _groups(net).items() if not path.startswith(f"{head}.")
    }
    paths: dict[Group, list[str]] = {group: [] for group in sorted(set(groups.values()))}
    for path, group in _cover(net, groups, head):
        paths[group].append(path)
    named: dict[str, list[str]] = {}
    for position, held in enumerate(paths.values()):
        named[_free_name(_stage_name(net, held, first=position == 0), named)] = held
    return named


def _groups(net: Any) -> dict[str, Group]:
    """Return the group of every parameter; groups are sorted input first."""
    if hasattr(net, "group_matcher"):
        for coarse in (True, False):
            with contextlib.suppress(AssertionError):  # some state the fine groups alone
                matcher = net.group_matcher(coarse=coarse)
                numbers = timm.models.group_parameters(net, matcher, reverse=True)
                return {path: (number,) for path, number in numbers.items()}
    return _groups_by_place(net)


def _groups_by_place(net: nn.Module) -> dict[str, Group]:
    """Groups for networks that declare none: parameters of the network itself, then its children
    in order; numbered children (``stages.0``, ``stages.1``, …) have a group each."""
    order = {name: position + 1 for position, (name, _) in enumerate(net.named_children())}
    groups: dict[str, Group] = {}
    for path, _ in net.named_parameters():
        child, _, rest = path.partition(".")
        number = rest.partition(".")[0]
        groups[path] = (order.get(child, 0), int(number) if number.isdigit() else -1)
    return groups


def _cover(
    net: nn.Module, groups: Mapping[str, Group], head: str, prefix: str = ""
) -> Iterator[tuple[str, Group]]:
    """Return the shortest list of paths that covers exactly the group; no path contains the head."""
    for name, _ in net.named_parameters(recurse=False):
        if (path := f"{prefix}{name}") in groups:
            yield path, groups[path]
    for name, child in net.named_children():
        path = f"{prefix}{name}"
        held = {groups.get(f"{path}.{p}") for p, _ in child.named_parameters()}
        group = held.pop() if len(held) == 1 else None
        if group is not None and not head.startswith(f"{path}."):
            yield path, group
        elif held or group is not None:
            yield from _cover(child, groups, head, f"{path}.")


def _stage_name(net: nn.Module, paths: Iterable[str], *, first: bool) -> str:
    """Name a stage after its path with the most parameters; a first stage of several paths is
    ``stem``."""
    sizes = Counter({path: _size(net, path) for path in paths})
    if first and len(sizes) > 1:
        return "stem"
    return sizes.most_common(1)[0][0]


def _size(net: nn.Module, path: str) -> int:
    parent, _, name = path.rpartition(".")
    held = getattr(net.get_submodule(parent), name)
    return (
        held.numel()
        if isinstance(held, nn.Parameter)
        else sum(p.numel() for p in held.parameters())
    )


def _free_name(name: str, taken: Mapping[str, object]) -> str:
    number = 2
    free = name
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return free
