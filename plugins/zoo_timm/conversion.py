"""A file's tensors as timm reads them: under the names and shapes of its present networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any
from unittest.mock import patch

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from zoo_timm.library import quiet, timm

StateDict = dict[str, Tensor]

_UNCONVERTIBLE = (
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
)
"""What timm's conversions raise for the file of another architecture."""

_patching = Lock()


def clean(state: StateDict) -> StateDict:
    """``state`` without the prefixes that wrappers for training add."""
    cleaned: StateDict = timm.models.clean_state_dict(state)
    return cleaned


def converted(
    state: StateDict, make: Callable[..., nn.Module], own: Mapping[str, Tensor]
) -> StateDict:
    """``state`` under timm's names and shapes, position embeddings resampled.

    Where timm itself loads a file although tensors are missing or left over, as for networks whose
    published files have another pooling, the former are those of ``own``, and the latter are
    left out.

    Args:
        state: The tensors of a file.
        make: Builds timm's network; takes options of ``timm.create_model``.
        own: The tensors of the network that the file is for, under timm's names.
    """
    with torch.device("meta"):
        net, convert, strict = _reading(make)
    try:
        with quiet():
            found = convert(dict(state), net)
    except _UNCONVERTIBLE:  # not of this architecture; the comparison of names says so in full
        return state
    if strict or not own.keys() & found.keys():
        return found
    return {**own, **{name: found[name] for name in net.state_dict() if name in found}}


def _reading(
    make: Callable[..., nn.Module],
) -> tuple[nn.Module, Callable[[StateDict, nn.Module], StateDict], bool]:
    """How timm reads files into a network: the network, its conversion, whether all must fit.

    The function that builds an architecture states them in its call of ``load_pretrained``, and
    nowhere else.
    """
    stated: dict[str, Any] = {}

    def note(*_: object, **options: Any) -> None:
        stated.update(options)

    with _patching, patch("timm.models._builder.load_pretrained", note):
        net = make(pretrained=True)
    convert: Callable[..., StateDict] = stated.get("filter_fn") or (lambda state, *_: state)

    def with_either_signature(state: StateDict, net: nn.Module) -> StateDict:
        try:
            return convert(state, net)
        except TypeError:  # as in timm: some take the state alone
            return convert(state)

    return net, with_either_signature, bool(stated.get("strict", True))
