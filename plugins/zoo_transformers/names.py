"""Transformers' names of modules and tensors: find the encoder and the head, rename state dicts."""

from __future__ import annotations

from zoo import Backbone as Backbone  # first: readies torch for torchvision
from zoo import ContractError, Native

# isort: split
import re
from collections.abc import Callable, Iterable, Mapping
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
"""The library's name for the pooling layer of an encoder."""

_STANDARDISED = "standardised"
"""Activation of regression runs, whose raw outputs are not in the unit of the target."""

ZOO_HEAD = "zoo_head"
"""Prefix of a head in files if the library's classifier cannot represent that head."""


def encoder_prefix(net: PreTrainedModel) -> str:
    """Return ``bert.`` or the like for a classifier; empty if the network is a bare encoder."""
    prefix = str(net.base_model_prefix)
    return f"{prefix}." if prefix and hasattr(net, prefix) else ""


def encoder_of(net: PreTrainedModel) -> nn.Module:
    """Return the encoder inside a classifier, or the network itself if it is a bare encoder."""
    prefix = encoder_prefix(net)
    return net.get_submodule(prefix.rstrip(".")) if prefix else net


def head_path(net: PreTrainedModel) -> str:
    """Return the path of the head in the library's classifier.

    :mod:`.families` lists it for known families; otherwise it is the last linear layer outside
    the encoder.

    Raises:
        ContractError: There is no linear layer outside the encoder.
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
    """Return the path of the token embedding; empty if the library does not know it."""
    with suppress(NotImplementedError):
        layer = net.get_input_embeddings()
        return next((path for path, module in net.named_modules() if module is layer), "")
    return ""


def classifier_head(config: PretrainedConfig) -> str:
    """Return the path of the head in the library's classifier for ``config``; empty if none."""
    kinds: Any = next((m[type(config)] for m in _CLASSIFIERS if type(config) in m), None)
    if kinds is None:
        return ""
    kind = kinds[0] if isinstance(kinds, tuple) else kinds
    with torch.device("meta"), suppress(ContractError):
        return head_path(kind(config))
    return ""


_CLASSIFIERS = (MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING)


class NameConverter:
    """Converts state dicts between weights files and a network.

    Files may name the encoder's tensors with or without the prefix that the encoder has inside a
    classifier; they may contain pretraining heads, and lack pooling layers that were not trained.

    If the library's classifier would not apply a head in the same way as zoo does (other pooling,
    more layers, no bias), the head is written as :data:`ZOO_HEAD`. The library would then load its
    classifier with a random head and only warn, so an empty tensor is written in place of that
    head's weight, which makes loading fail. ``AutoModel`` ignores both.

    Args:
        net: The network, including its head.
        head: Path of the head, or :data:`ZOO_HEAD`.
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
        self._optional = net._keys_to_ignore_on_load_missing or ()

    def native(
        self, files: Callable[..., Mapping[str, str]], code: Callable[[Backbone], str]
    ) -> Native:
        """Return the options of a backbone for the library's names, files and code."""
        return Native(names=self.to_library, file=self.to_file, files=files, code=code)

    def to_network(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename the tensors of a file to the network's names.

        Drops tensors that belong neither to the encoder nor to the head, and those that the
        library ignores. Missing pooling layers, and tensors that the library allows to be missing,
        keep the network's current values; tied tensors may be in the file once. If no name
        matches, ``state`` is returned unchanged, so that the error lists the file's names.
        """
        current = self._net.state_dict()
        renamed = {
            self._rename(key): tensor
            for key, tensor in converted(self._net, state).items()
            if not (key.startswith(self._head) and not tensor.numel())
        }
        if not current.keys() & renamed.keys():
            return dict(state)
        used = {
            key: tensor
            for key, tensor in renamed.items()
            if key in current
            or key.startswith(self._head)
            or (self._of_encoder(key) and not _any_in(self._ignored, key))
        }
        missing = {key: tensor for key, tensor in current.items() if key not in used}
        by_address = {
            current[key].data_ptr(): tensor for key, tensor in used.items() if key in current
        }
        filled = {
            key: by_address.get(tensor.data_ptr(), tensor)
            for key, tensor in missing.items()
            if tensor.data_ptr() in by_address
            or not self._of_encoder(key)
            or _any_in(self._optional, key)
        }
        return used | filled

    def to_file(self, state: Mapping[str, Tensor], activation: str) -> dict[str, Tensor]:
        """Return the tensors to write to the file of a run.

        The head of a regression run is always written as :data:`ZOO_HEAD`: the library's pipeline
        would return standardised outputs as if they were predictions.

        Args:
            state: Tensors under the network's names.
            activation: The run's activation, which turns outputs into predictions.
        """
        return self.to_library(state, separate_head=activation == _STANDARDISED)

    def to_library(
        self, state: Mapping[str, Tensor], *, separate_head: bool = False
    ) -> dict[str, Tensor]:
        """Rename the head to :data:`ZOO_HEAD` if ``separate_head``, or if it does not fit the
        library's classifier."""
        head = {k.removeprefix(self._head): v for k, v in state.items() if k.startswith(self._head)}
        fits = self._shapes and _shapes(head) == self._shapes
        if not head or (fits and not separate_head):
            return dict(state)
        backbone = {k: v for k, v in state.items() if not k.startswith(self._head)}
        renamed = {f"{ZOO_HEAD}.{k}": v for k, v in head.items()}
        library_head = self._library_head
        blocker = {f"{library_head}.weight": torch.empty(0)} if library_head else {}
        return backbone | renamed | blocker

    @cached_property
    def _library_head(self) -> str:
        """Path at which the library's classifier expects its head; empty if it has none."""
        path = self._head.rstrip(".")
        return path if path != ZOO_HEAD else classifier_head(self._config)

    def _rename(self, key: str) -> str:
        if key.startswith(f"{ZOO_HEAD}."):
            return self._head + key.removeprefix(f"{ZOO_HEAD}.")
        bare = key.removeprefix(self._bare)
        return self._prefix + bare if bare.partition(".")[0] in self._parts else key

    def _of_encoder(self, key: str) -> bool:
        return of_encoder(key, self._prefix, self._parts)


def _any_in(patterns: Iterable[str], key: str) -> bool:
    """Whether one of the library's patterns matches ``key``."""
    return any(re.search(pattern, key) for pattern in patterns)


def _shapes(head: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of a head without its first dimension, the outputs."""
    return {name: tuple(tensor.shape[1:]) for name, tensor in head.items()}


def of_encoder(key: str, prefix: str, parts: set[str]) -> bool:
    """Whether a tensor belongs to the encoder, excluding its pooling layer."""
    first, _, rest = key.removeprefix(prefix).partition(".")
    inside = key.startswith(prefix) and first in parts and first != POOLER
    return inside and rest not in ("position_ids", "token_type_ids")
