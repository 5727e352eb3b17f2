"""Exports for images: one tensor of pixels, and the preprocessing steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.export import Dim

from zoo.contract.network.backbone import Backbone
from zoo.contract.spec import BackboneSpec, ImageInput
from zoo.modalities.exporting import TensorBatch
from zoo.modalities.image.arrays import MODES
from zoo.modalities.image.band_steps import LONGEST
from zoo.modalities.image.bit_depth import OVERSAMPLING
from zoo.modalities.image.noise import random_batch
from zoo.modalities.image.transforms import resized
from zoo.modalities.named_network import named_network


@dataclass(frozen=True)
class ImageExport:
    """See :class:`zoo.modalities.exporting.ExportInputs`."""

    spec: BackboneSpec
    what: str = "an image"
    limits: str = "; height and width are those of the run"

    @property
    def axes(self) -> dict[str, tuple[str | int, ...]]:
        """Pixels of one size."""
        size = self.spec.image_input.size
        return {"pixel_values": ("batch", self.spec.image_input.channels, size, size)}

    def traced(self) -> TensorBatch:
        """Two images of noise."""
        return random_batch(self.spec, 2)

    def checked(self) -> Iterator[TensorBatch]:
        """One image and three."""
        for count in (1, 3):
            yield random_batch(self.spec, count, seed=count)

    def dynamic_shapes(self) -> dict[str, dict[int, Dim]]:
        """The number of images."""
        return {"pixel_values": {0: Dim("batch", min=1)}}

    def by_name(self, backbone: Backbone) -> nn.Module:
        """The network of ``pixel_values``."""
        return named_network(["pixel_values"], backbone)

    def preparation(self) -> dict[str, Any]:
        """The steps in their order."""
        return {"steps": steps(self.spec.image_input)}


def steps(given: ImageInput) -> list[dict[str, Any]]:
    """The steps from an encoded image to ``pixel_values``, with Pillow's resampling."""
    before, how = resized(given), {"interpolation": given.interpolation}
    decode = {
        "do": "decode",
        "mode": MODES.get(given.channels, "bands"),
        "channels": given.channels,
        "upright": True,
        "transparent": "white",
        "jpeg_draft": OVERSAMPLING * before,
        "deep": _deep(given, before),
    }
    resize: list[dict[str, Any]]
    if given.crop_mode == "border":
        colour = [round(255 * mean) for mean in given.mean]
        side = max(before, given.size)
        resize = [
            {"do": "resize", "longer_side": before, **how},
            {"do": "pad", "height": side, "width": side, "colour": colour},
        ]
    elif given.crop_mode == "squash":
        resize = [{"do": "resize", "height": before, "width": before, **how}]
    else:
        resize = [
            {"do": "crop_longer_side", "times_the_shorter": LONGEST},
            {"do": "resize", "shorter_side": before, **how},
        ]
    return [
        decode,
        *resize,
        {"do": "center_crop", "height": given.size, "width": given.size},
        {"do": "scale", "factor": 1 / 255},
        {"do": "normalise", "mean": list(given.mean), "std": list(given.std)},
    ]


def _deep(given: ImageInput, before: int) -> dict[str, float] | None:
    """How grey images with more than 8 bits are scaled; ``None`` if the run does not accept them."""
    if not given.value_range:
        return None
    black, white = given.value_range
    return {"black": black, "white": white, "reduce_to": OVERSAMPLING * before}
