"""The library's names of modules and tensors: where the encoder, its layers and the head are."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from zoo.errors import ContractError
from zoo_transformers.families import family_of

POOLER = "pooler"
"""What the library calls the pooling layer of an encoder."""


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
            f"{type(net).__name__} has no linear layer behind its encoder, so its head is unknown",
            hint="Choose 'mean', 'cls' or 'last' as its pooling.",
        )
    return str(linear[-1])


def token_embedding_path(net: PreTrainedModel) -> str:
    """Where the layer sits that makes vectors of token ids; empty where the library cannot say."""
    with suppress(NotImplementedError):
        layer = net.get_input_embeddings()
        return next((path for path, module in net.named_modules() if module is layer), "")
    return ""


class Names:
    """Brings the names in a file of weights into line with a network's.

    Files name an encoder's tensors with or without the prefix that it has inside a classifier,
    hold heads of pretraining beside it, and lack pooling layers that were never trained.
    """

    def __init__(self, net: PreTrainedModel, head: str) -> None:
        self._net = net
        self._head = f"{head}."
        self._prefix = encoder_prefix(net)
        self._bare = f"{net.base_model_prefix}."
        self._parts = {name for name, _ in encoder_of(net).named_children()}

    def to_own(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """``state`` under the network's names.

        What the file has beside encoder and head is left out; pooling layers that it lacks keep
        their tensors. A file that shares no name with the network is handed on as it is, so that
        the error can name both sides.
        """
        own = self._net.state_dict()
        renamed = {self._rename(key): tensor for key, tensor in state.items()}
        if not own.keys() & renamed.keys():
            return dict(state)
        kept = {
            key: tensor
            for key, tensor in renamed.items()
            if key in own or key.startswith(self._head) or self._of_encoder(key)
        }
        spare = {k: v for k, v in own.items() if k not in kept and not self._of_encoder(k)}
        return kept | spare

    def _rename(self, key: str) -> str:
        bare = key.removeprefix(self._bare)
        return self._prefix + bare if bare.partition(".")[0] in self._parts else key

    def _of_encoder(self, key: str) -> bool:
        return of_encoder(key, self._prefix, self._parts)


def of_encoder(key: str, prefix: str, parts: set[str]) -> bool:
    """Whether a tensor belongs to the encoder proper: neither a head nor a pooling layer."""
    first, _, rest = key.removeprefix(prefix).partition(".")
    inside = key.startswith(prefix) and first in parts and first != POOLER
    return inside and rest not in ("position_ids", "token_type_ids")


def difference(net: PreTrainedModel, report: Mapping[str, Any]) -> str:
    """What kept a folder's weights from filling the encoder, in words; empty if nothing did.

    Args:
        net: The network into which they were read.
        report: The library's ``loading_info``.
    """
    prefix = encoder_prefix(net)
    parts = {name for name, _ in encoder_of(net).named_children()}
    shapes = {
        f"{key} is {tuple(given)} instead of {tuple(wanted)}": key
        for key, given, wanted in report["mismatched_keys"]
    }
    kinds = {
        "missing": {key: key for key in report["missing_keys"]},
        "unknown": {key: key for key in report["unexpected_keys"]},
        "of another shape": shapes,
    }
    found = {
        kind: sorted(text for text, key in names.items() if of_encoder(key, prefix, parts))
        for kind, names in kinds.items()
    }
    if found["missing"]:  # Then names that are nobody's explain what the file is.
        found["unknown"] = sorted(report["unexpected_keys"])
    return "; ".join(
        f"{len(texts)} {kind}: {', '.join(texts[:3])}{', …' if len(texts) > 3 else ''}"
        for kind, texts in found.items()
        if texts
    )
