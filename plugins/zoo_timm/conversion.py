"""Apply timm's conversions of weights files to the names and shapes of its current networks."""

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
    """Remove the prefixes that training wrappers add to names."""
    cleaned: StateDict = timm.models.clean_state_dict(state)
    return cleaned


def converted(
    state: StateDict, make: Callable[..., nn.Module], own: Mapping[str, Tensor]
) -> StateDict:
    """Convert ``state`` to timm's names and shapes, resampling position embeddings.

    If timm loads a file although tensors are missing or unknown, as for networks whose published
    files have another pooling, missing ones are taken from ``own`` and unknown ones are ignored.

    Args:
        state: The tensors of a file.
        make: Builds timm's network; accepts options of ``timm.create_model``.
        own: The tensors of the network, under timm's names.
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
    """Find out how timm loads files: the network, the conversion, and whether loading is strict.

    Only the function that builds an architecture knows this, and passes it to ``load_pretrained``.
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
