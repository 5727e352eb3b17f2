"""Batches of prepared inputs: stacked, or collated by the plugin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo.contract.inputs import InputSpec
from zoo.modalities.files.reading import calling

if TYPE_CHECKING:
    from zoo.modalities.files.functions import FileFunctions

_BESIDE = frozenset({"index", "labels"})


def collated(
    modality: FileFunctions, prepared: Sequence[Tensor], given: InputSpec
) -> dict[str, Tensor]:
    """The tensors of a batch.

    Raises:
        PluginError: The plugin's ``collate`` fails, or its tensors have another shape or number of
            samples.
    """
    if modality.collate is None:
        return {modality.main_input: torch.stack(list(prepared))}
    with calling(modality, "collate"):
        batch = dict(modality.collate(prepared, given))
        shape = (len(prepared), *modality.shape(given))
        main = batch.get(modality.main_input)
        if main is None or tuple(main.shape) != shape:
            found = "none" if main is None else str(tuple(main.shape))
            raise TypeError(f"{modality.main_input} must be a tensor {shape}, got {found}")
        wrong = [key for key, each in batch.items() if each.shape[:1] != shape[:1]]
        if wrong:
            raise TypeError(f"{wrong[0]} must have {len(prepared)} rows")
        return batch


def tensors_of(batch: Iterable[str]) -> list[str]:
    """The keys of a batch that a network takes."""
    return [key for key in batch if key not in _BESIDE]


def noise(
    modality: FileFunctions, given: InputSpec, count: int, *, seed: int = 0, padded: bool = False
) -> dict[str, Tensor]:
    """A batch of noise.

    Args:
        modality: The modality.
        given: What the network takes.
        count: Number of samples.
        seed: Determines the values.
        padded: Whether all but the first are half as long, where the plugin collates.
    """
    generator = torch.Generator().manual_seed(seed)
    with calling(modality, "shape"):
        shape = tuple(modality.shape(given))
    rows = list(torch.randn(count, *shape, generator=generator))
    if padded and modality.collate is not None:
        rows[1:] = [row[..., : max(1, row.shape[-1] // 2)] for row in rows[1:]]
    return collated(modality, rows, given)
