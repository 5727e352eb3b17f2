"""The library's names of modules and tensors: where the encoder, its layers and the head are."""

from __future__ import annotations

from zoo import Backbone as Backbone  # first: readies torch for torchvision
from zoo import ContractError

# isort: split
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    PretrainedConfig,
    PreTrainedModel,
)

from zoo_transformers.conversion import converted
from zoo_transformers.families import family_of

POOLER = "pooler"
"""What the library calls the pooling layer of an encoder."""

_STANDARDISED = "standardised"
"""What makes answers of outputs that are not yet what the library's pipeline would give out."""

ZOO_HEAD = "zoo_head"
"""Where a head sits in the file that the library's own classifier has no place for."""


def encoder_prefix(net: PreTrainedModel) -> str:
    """``bert.`` where the encoder is part of a classifier; empty where it is the network."""
    prefix = str(net.base_model_prefix)
    return f"{prefix}." if prefix and hasattr(net, prefix) else ""


def encoder_of(net: PreTrainedModel) -> nn.Module:
    """The encoder of a classifier, or the network where it is an encoder."""
    prefix = encoder_prefix(net)
    return net.get_submodule(prefix.rstrip(".")) if prefix else net


def head_path(net: PreTrainedModel) -> str:
    """Where the head of the library's classifier sits.

    Known families state it; otherwise it is the last linear layer outside the encoder.

    Raises:
        ContractError: There is no such layer.
    """
    if known := family_of(net.config.model_type).head:
        return known
    prefix = encoder_prefix(net)
    linear = [
        path
        for path, module in net.named_modules()
        if isinstance(module, nn.Linear) and not path.startswith(prefix or "\0")
    ]
    if not linear:
        raise ContractError(
            f"{type(net).__name__} has no linear layer after its encoder, so its head is unknown",
            hint="Use --pooling mean, cls or last.",
        )
    return str(linear[-1])


def token_embedding_path(net: PreTrainedModel) -> str:
    """Where the layer sits that makes vectors of token ids; empty where the library cannot say."""
    with suppress(NotImplementedError):
        layer = net.get_input_embeddings()
        return next((path for path, module in net.named_modules() if module is layer), "")
    return ""


def classifier_head(config: PretrainedConfig) -> str:
    """Where the head sits in the library's classifier for ``config``; empty where it has none."""
    kinds: Any = next((m[type(config)] for m in _CLASSIFIERS if type(config) in m), None)
    if kinds is None:
        return ""
    kind = kinds[0] if isinstance(kinds, tuple) else kinds
    with torch.device("meta"), suppress(ContractError):
        return head_path(kind(config))
    return ""


_CLASSIFIERS = (MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING)


class Names:
    """Brings the names in a file of weights into line with a network's.

    Files name an encoder's tensors with or without the prefix that it has inside a classifier,
    hold heads of pretraining beside it, and lack pooling layers that were never trained.

    A head that the library's classifier would not apply as zoo does (other pooling, more
    layers, a bias) is called :data:`ZOO_HEAD` in the file. The library would then load its
    classifier with a random head and a warning; an empty tensor in the place of that head's weight
    makes it refuse the file instead. ``AutoModel`` passes over both.

    Args:
        net: The network, its head in its place.
        head: Where the head sits, or :data:`ZOO_HEAD`.
    """

    def __init__(self, net: PreTrainedModel, head: str) -> None:
        self._net = net
        self._config = net.config
        self._shapes = (
            _shapes(dict(net.get_submodule(head).state_dict())) if head != ZOO_HEAD else {}
        )
        self._head = f"{head}."
        self._prefix = encoder_prefix(net)
        self._bare = f"{net.base_model_prefix}."
        self._parts = {name for name, _ in encoder_of(net).named_children()}
        self._ignored = (*(net._keys_to_ignore_on_load_unexpected or ()), r"rotary_emb\.inv_freq")
        self._spared = net._keys_to_ignore_on_load_missing or ()

    def to_own(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """``state`` under the network's names.

        What the file has beside encoder and head is left out, as is what the library would ignore;
        pooling layers that it lacks keep their tensors, and so does what the library would do
        without. Of tied tensors the file may have one. A file that shares no name with the
        network is handed on as it is, so that the error can name both sides.
        """
        own = self._net.state_dict()
        renamed = {
            self._rename(key): tensor
            for key, tensor in converted(self._net, state).items()
            if not (key.startswith(self._head) and not tensor.numel())
        }
        if not own.keys() & renamed.keys():
            return dict(state)
        kept = {
            key: tensor
            for key, tensor in renamed.items()
            if key in own
            or key.startswith(self._head)
            or (self._of_encoder(key) and not _any_in(self._ignored, key))
        }
        missing = {key: tensor for key, tensor in own.items() if key not in kept}
        places = {own[key].data_ptr(): tensor for key, tensor in kept.items() if key in own}
        spare = {
            key: places.get(tensor.data_ptr(), tensor)
            for key, tensor in missing.items()
            if tensor.data_ptr() in places
            or not self._of_encoder(key)
            or _any_in(self._spared, key)
        }
        return kept | spare

    def to_file(self, state: Mapping[str, Tensor], activation: str) -> dict[str, Tensor]:
        """``state`` as the file of a run has it whose answers ``activation`` makes of the outputs.

        The library's pipeline would give out numbers as the network has them, standardised; so
        its classifier refuses their file, as it does where it would apply the head otherwise.
        """
        return self.to_library(state, apart=activation == _STANDARDISED)

    def to_library(self, state: Mapping[str, Tensor], *, apart: bool = False) -> dict[str, Tensor]:
        """``state`` with the head where the library applies it likewise, else or ``apart``."""
        head = {k.removeprefix(self._head): v for k, v in state.items() if k.startswith(self._head)}
        likewise = self._shapes and _shapes(head) == self._shapes
        if not head or (likewise and not apart):
            return dict(state)
        rest = {k: v for k, v in state.items() if not k.startswith(self._head)}
        kept = {f"{ZOO_HEAD}.{k}": v for k, v in head.items()}
        bars = {f"{self._taken}.weight": torch.empty(0)} if self._taken else {}
        return rest | kept | bars

    @cached_property
    def _taken(self) -> str:
        """Where the library's classifier would look for its head."""
        own = self._head.rstrip(".")
        return own if own != ZOO_HEAD else classifier_head(self._config)

    def _rename(self, key: str) -> str:
        if key.startswith(f"{ZOO_HEAD}."):
            return self._head + key.removeprefix(f"{ZOO_HEAD}.")
        bare = key.removeprefix(self._bare)
        return self._prefix + bare if bare.partition(".")[0] in self._parts else key

    def _of_encoder(self, key: str) -> bool:
        return of_encoder(key, self._prefix, self._parts)


def _any_in(patterns: Iterable[str], key: str) -> bool:
    """Whether one of the library's patterns is about ``key``."""
    return any(re.search(pattern, key) for pattern in patterns)


def _shapes(head: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a head but for the number of outputs."""
    return {name: tuple(tensor.shape[1:]) for name, tensor in head.items()}


def of_encoder(key: str, prefix: str, parts: set[str]) -> bool:
    """Whether a tensor belongs to the encoder proper: neither a head nor a pooling layer."""
    first, _, rest = key.removeprefix(prefix).partition(".")
    inside = key.startswith(prefix) and first in parts and first != POOLER
    return inside and rest not in ("position_ids", "token_type_ids")
