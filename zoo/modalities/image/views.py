"""Views of images for test-time augmentation: mirrored, and the middle enlarged."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional

from zoo.contract.spec import ImageInput
from zoo.modalities.views import View

_MIDDLE = 7 / 8  # of height and width


def image_views(image_input: ImageInput, *, mirrored: bool) -> list[View]:
    """The views beside the image as it is.

    Args:
        image_input: The network's; a network that takes no crops gets no enlarged middle.
        mirrored: Whether a mirrored image still shows its class.
    """
    found: list[View] = [_mirrored] if mirrored else []
    if image_input.random_crop:
        found += [_enlarged, *([lambda batch: _mirrored(_enlarged(batch))] if mirrored else [])]
    return found


def _mirrored(batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return {**batch, "pixel_values": batch["pixel_values"].flip(-1)}


def _enlarged(batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    pixels = batch["pixel_values"]  # (B, C, H, W)
    side = pixels.shape[-1]
    kept = max(1, round(side * _MIDDLE))
    start = (side - kept) // 2
    middle = pixels[..., start : start + kept, start : start + kept]
    large = functional.interpolate(middle, size=(side, side), mode="bilinear", align_corners=False)
    return {**batch, "pixel_values": large}
