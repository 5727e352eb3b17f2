"""Tensors of a file and of a network: names, shapes and values."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from zoo.contract.network.options import StateDict
from zoo.errors import ContractError, WeightsError


def some(names: Iterable[str]) -> str:
    """List the first few names."""
    listed = list(names)
    return ", ".join(listed[:3]) + (", …" if len(listed) > 3 else "")


def part_head(plain: Mapping[str, Tensor], head_path: str) -> tuple[StateDict, StateDict]:
    """Split tensors into the head's, named relative to the head, and the others."""
    prefix = f"{head_path}."
    head = {k.removeprefix(prefix): v for k, v in plain.items() if k.startswith(prefix)}
    return head, {k: v for k, v in plain.items() if not k.startswith(prefix)}


def head_for(head: Mapping[str, Tensor], own: nn.Module, width: int) -> nn.Module | None:
    """Build a head for the tensors of a file: linear, or the network's with more or fewer outputs.

    ``None`` if the file's head has another structure.
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


def load_net(
    net: nn.Module,
    given: Mapping[str, Tensor],
    *,
    lacks: Sequence[str],
    flaws: Sequence[str],
    name: str,
    source: str,
) -> tuple[str, ...]:
    """Load tensors into a network whose head is removed.

    Args:
        net: The network.
        given: The converted tensors of a file, without the head's.
        lacks: Patterns of tensors that are missing from the file, or not valid there.
        flaws: Other problems of the file, in words.
        name: The backbone's name.
        source: The file.

    Returns:
        Which parameters are missing from the file, in words.

    Raises:
        WeightsError: The tensors do not fit, and nothing is changed; or the network does not have
            their values after loading.
    """
    current = net.state_dict()
    left = {
        k: current.get(k) for k in {**current, **given} if any(fnmatchcase(k, p) for p in lacks)
    }
    given = {k: v for k, v in {**given, **left}.items() if v is not None}
    if wrong := [*difference(given, current), *flaws]:
        raise WeightsError(
            f"the weights in {source} do not fit {name}: {'; '.join(wrong)}",
            hint="Use weights of this architecture, or '--weights none' (random initialisation).",
        )
    # A conversion hands the network's own tensors on where the file has none.
    read = {key for key in given if given[key].data_ptr() != current[key].data_ptr()}
    current.update(given)  # in place: it carries version numbers that some networks ask for
    net.load_state_dict(current)
    check_values(given, net.state_dict(), name, source)
    return missing_in_words(net, read)


def load_head(
    head: nn.Module, given: Mapping[str, Tensor], *, path: str, name: str, source: str
) -> str:
    """Load a head's tensors if they fit; return why they do not, in words.

    Args:
        head: The head.
        given: Its tensors in a file; may be empty.
        path: Path of the head in the network.
        name: The backbone's name.
        source: The file.

    Raises:
        WeightsError: The head does not have their values after loading.
    """
    if not given:
        return ""
    if difference(given, head.state_dict()):
        shapes = (f"{path}.{key} {tuple(tensor.shape)}" for key, tensor in given.items())
        return f"the head in them does not fit: {some(shapes)}"
    head.load_state_dict(given)
    check_values(given, head.state_dict(), f"the head of {name}", source)
    return ""


def missing_in_words(net: nn.Module, given: set[str]) -> tuple[str, ...]:
    """Describe the parameters of ``net`` that are missing from the weights, if there are any."""
    missing = [key for key, _ in net.named_parameters() if key not in given]
    if not missing:
        return ()
    words = f"{len(missing)} are not among them, and start random"
    return (f"of the network's parameters {words}: {some(missing)}",)


def require_trainable(net: nn.Module, name: str) -> None:
    """Raise a :class:`ContractError` if a network has parameters that cannot be trained."""
    if integers := not_trainable(net):
        raise ContractError(
            f"{name} is quantized and cannot be trained: {some(integers)}",
            hint="Fine-tune it in floating point, and quantize the trained model.",
        )


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
        f"{len(names)} {kind}: {some(names)}"
        for kind, names in (
            ("missing", missing),
            ("unknown", unknown),
            ("of another shape", shapes),
        )
        if names
    ]


def check_values(
    given: Mapping[str, Tensor], own: Mapping[str, Tensor], name: str, source: str
) -> None:
    """Raise a :class:`WeightsError` if tensors of ``given`` have other values in ``own``."""
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
