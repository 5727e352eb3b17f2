"""Attribution for files by occlusion: set each part of an input to zero in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.contract.network.backbone import Backbone
from zoo.contract.network.batch import Batch
from zoo.errors import first_line
from zoo.modalities.attribution import Attributed, Attribution, Question
from zoo.modalities.files.collating import tensors_of
from zoo.modalities.files.reading import calling
from zoo.modalities.files.showing import in_color
from zoo.modalities.image.showing import image_uri, overlay_uri

if TYPE_CHECKING:
    from zoo.modalities.files.functions import FileFunctions

PARTS = 16
"""Parts of an input, each of which is blanked in one forward pass."""

_PLACES = ("the beginning", "the middle", "the end")

_LEAST_SEEN = 1e-30


def attribute(modality: FileFunctions, question: Question) -> Attributed:
    """Return the inputs as the network sees them, with the evidence for the output."""
    names = [question.samples.input(i) for i in range(len(question.samples))]
    if modality.image is None:
        plain = tuple(Attribution(name) for name in names)
        return Attributed(plain, absent=f"{modality.nouns} cannot be shown as images")
    batch = question.loader.batch([(0, i) for i in range(len(names))])
    given = batch[modality.main_input]
    pixels = [_pixels(modality, each, question) for each in given]
    shown = [Attribution(name, image_uri(own)) for name, own in zip(names, pixels, strict=True)]
    if modality.across is None:
        return Attributed(tuple(shown), absent=f"{modality.nouns} have no attribution")
    try:
        backbone = question.network().to(question.device).eval()
        with calling(modality, "across"):
            axis = 1 + modality.across(question.spec.input) % (given.ndim - 1)
        placed = {key: batch[key].to(question.device) for key in tensors_of(batch)}
        signs = [-1.0 if negative else 1.0 for negative in question.against]
        heat = occlusion(backbone, modality.main_input, placed, axis, question.outputs, signs)
    except Exception as error:  # a plugin's network may raise anything; show plain inputs then
        return Attributed(tuple(shown), absent=first_line(error))
    shown = [
        replace(each, overlay=overlay_uri(own, _map(row)), place=_place(row))
        for each, own, row in zip(shown, pixels, heat, strict=True)
    ]
    return Attributed(tuple(shown), f"occlusion of each of {heat.shape[1]} parts")


@torch.no_grad()
def occlusion(
    backbone: Backbone,
    name: str,
    batch: Batch,
    axis: int,
    outputs: Sequence[int],
    signs: Sequence[float],
) -> NDArray[np.float32]:
    """Occlusion (Zeiler and Fergus 2014, arXiv:1311.2901) along one axis: ``(B, parts)`` in [0, 1].

    Args:
        backbone: In evaluation mode, with its head.
        name: The key of the input.
        batch: Prepared inputs, on their device.
        axis: Of the input, ``(B, …)``; its parts are set to zero in turn.
        outputs: The output to attribute, for each input.
        signs: -1 for evidence against the output, for each input.
    """
    given = batch[name]
    chosen = torch.tensor(outputs, device=given.device)[:, None]

    def logits(inputs: Tensor) -> Tensor:
        found: Tensor = backbone({**batch, name: inputs})
        return found.float().gather(1, chosen)[:, 0]

    whole, drops = logits(given), []
    parts = min(PARTS, given.shape[axis])
    for part in torch.arange(given.shape[axis], device=given.device).tensor_split(parts):
        drops.append(whole - logits(given.index_fill(axis, part, 0.0)))
    heat = torch.stack(drops, 1) * torch.tensor(signs, device=given.device)[:, None]
    heat = heat.clamp(min=0)
    peak = heat.amax(dim=1, keepdim=True)
    scaled = torch.where(peak > _LEAST_SEEN, heat / peak.clamp(min=_LEAST_SEEN), 0.0)
    return np.asarray(scaled.cpu().numpy(), dtype=np.float32)


def _pixels(modality: FileFunctions, prepared: Tensor, question: Question) -> NDArray[np.uint8]:
    """``(height, width, 3)``."""
    assert modality.image is not None
    with calling(modality, "image"):
        return in_color(modality.image(prepared, question.spec.input))


def _map(row: NDArray[np.float32]) -> NDArray[np.float32]:
    """As high as wide, each part a column."""
    return np.ascontiguousarray(np.repeat(row[None], len(row), axis=0))


def _place(row: NDArray[np.float32]) -> str:
    """The part with the most evidence, in words; empty if there is none."""
    if not row.any():
        return ""
    return _PLACES[int(3 * row.argmax() / len(row))]
