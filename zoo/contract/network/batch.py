"""Batches, and how a network computes features from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from zoo.contract.spec import BackboneSpec
from zoo.errors import ContractError

Batch = Mapping[str, Tensor]
"""Images: ``pixel_values`` ``(B, C, H, W)``. Text: ``input_ids`` and ``attention_mask`` ``(B, T)``,
and for text pairs optionally ``token_type_ids`` ``(B, T)``, which a network may ignore. A network that
declares its mask optional may get none."""

_MASK = "attention_mask"

Extract = Callable[[nn.Module, Batch], Tensor]


def image_features(net: nn.Module, batch: Batch) -> Tensor:
    """Call an image network, whose head is removed, on ``pixel_values``: ``(B, feature_dim)``."""
    features: Tensor = net(batch["pixel_values"])
    return features


def as_batch(batch: Batch | Tensor) -> Batch:
    """Return the batch; a tensor becomes its ``pixel_values``."""
    return {"pixel_values": batch} if isinstance(batch, Tensor) else batch


def without_full_mask(batch: Batch) -> Batch:
    """Return the batch, on the CPU, without its mask if that hides nothing.

    A network whose mask is optional would read it on the device, or compute with it needlessly.
    """
    mask = batch.get(_MASK)
    if mask is None or mask.device.type != "cpu" or not mask.all():
        return batch
    return {name: tensor for name, tensor in batch.items() if name != _MASK}


def require_width(features: Tensor, spec: BackboneSpec) -> None:
    """Raise a :class:`ContractError` unless the features are ``(B, feature_dim)``."""
    if features.ndim != 2 or features.shape[-1] != spec.feature_dim:
        raise ContractError(
            f"{spec.name} returned features of shape {tuple(features.shape)}, expected width "
            f"{spec.feature_dim}",
            hint=f"This is a bug of its plugin: see 'zoo check {spec.name}'.",
        )


def embedding_of(net: nn.Module, path: str, rows: int) -> nn.Module | None:
    """Return the token embedding: the layer at ``path``, or the first ``nn.Embedding`` with ``rows`` rows."""
    if path:
        return net.get_submodule(path)
    tables = (module for module in net.modules() if isinstance(module, nn.Embedding))
    return next((table for table in tables if table.num_embeddings == rows), None)
