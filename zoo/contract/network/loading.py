"""Tensors of a file and of a network: names, shapes and values."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from zoo.contract.network.options import StateDict
from zoo.errors import WeightsError


def some(names: Iterable[str]) -> str:
    """The first few of many names."""
    listed = list(names)
    return ", ".join(listed[:3]) + (", …" if len(listed) > 3 else "")


def part_head(plain: Mapping[str, Tensor], head_path: str) -> tuple[StateDict, StateDict]:
    """Split tensors into the head's, by their names within it, and the others."""
    prefix = f"{head_path}."
    head = {k.removeprefix(prefix): v for k, v in plain.items() if k.startswith(prefix)}
    return head, {k: v for k, v in plain.items() if not k.startswith(prefix)}


def head_for(head: Mapping[str, Tensor], own: nn.Module, width: int) -> nn.Module | None:
    """A head of the shape of a file's: linear, or as the network's own with other outputs.

    ``None`` if it is of another kind.
    """
    weight = head.get("weight", torch.empty(0))
    if weight.ndim == 2 and weight.shape[1] == width and head.keys() <= {"weight", "bias"}:
        return nn.Linear(width, len(weight), bias="bias" in head)
    layers = [path for path, module in own.named_modules() if path and type(module) is nn.Linear]
    if not layers or f"{layers[-1]}.weight" not in head:
        return None
    made = copy.deepcopy(own)
    last = made.get_submodule(layers[-1])
    assert isinstance(last, nn.Linear)
    outputs = len(head[f"{layers[-1]}.weight"])
    fitting = nn.Linear(last.in_features, outputs, bias=last.bias is not None)
    made.set_submodule(layers[-1], fitting)
    return None if difference(head, made.state_dict()) else made


def missing_in_words(net: nn.Module, given: set[str]) -> tuple[str, ...]:
    """That parameters of ``net`` are missing from the weights, if some are."""
    missing = [key for key, _ in net.named_parameters() if key not in given]
    if not missing:
        return ()
    words = f"{len(missing)} are not among them, and start random"
    return (f"of the network's parameters {words}: {some(missing)}",)


def not_trainable(net: nn.Module) -> list[str]:
    """Parameters that are not floating-point, and entries of the state that are not tensors."""
    return [
        f"{key} is {getattr(value, 'dtype', type(value).__name__)}"
        for key, value in [*net.named_parameters(), *net.state_dict().items()]
        if not isinstance(value, Tensor)
        or (isinstance(value, nn.Parameter) and not value.is_floating_point())
    ]


def difference(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """Describe why ``given`` cannot be loaded into ``wanted``; empty if it can."""
    missing = [k for k in wanted if k not in given]
    unknown = [k for k in given if k not in wanted]
    shapes = [
        f"{k} is {tuple(given[k].shape)} instead of {tuple(wanted[k].shape)}"
        for k in wanted
        if k in given and given[k].shape != wanted[k].shape
    ]
    return [
        f"{len(names)} {what}: {some(names)}"
        for what, names in (
            ("missing", missing),
            ("unknown", unknown),
            ("of another shape", shapes),
        )
        if names
    ]


def check_values(
    given: Mapping[str, Tensor], own: Mapping[str, Tensor], name: str, source: str
) -> None:
    """Raise if tensors of ``given`` have other values in ``own``."""
    others = [key for key, tensor in given.items() if not _holds(own[key], tensor)]
    if others:
        raise WeightsError(
            f"{name} does not hold the values of the weights in {source}: {len(others)} of {len(given)} tensors "
            f"differ: {some(others)}",
            hint="This is a bug of its plugin: the network must be float32, and tensors that differ "
            "in the file must not be shared.",
        )


def _holds(own: Tensor, given: Tensor) -> bool:
    """Whether ``own`` has the values of ``given``, in float32 or in the type of the file."""
    if own.is_meta:
        return False
    if own.is_floating_point() and not given.is_floating_point():
        return False  # quantized values mean nothing without their scales
    given = given.to(own.device)
    wide = own.dtype in (torch.float32, torch.float64)
    left, right = (own, given.to(own.dtype)) if wide else (own.to(given.dtype), given)
    return torch.equal(left, right) or torch.allclose(left, right, rtol=0, atol=0, equal_nan=True)
