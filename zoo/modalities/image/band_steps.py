"""Resize, crop and pad arrays with any number of channels, as tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from zoo.contract.spec import CropMode, ImageInput
from zoo.system.tensors.torchvision_operators import transforms

Step: TypeAlias = Callable[[Tensor], Tensor]

LONGEST = 16  # times its width that an image's length may be


def tensor_of(bands: Any) -> Tensor:
    """``(C, H, W)`` of an array ``(H, W, C)``."""
    return torch.from_numpy(np.array(np.moveaxis(bands, -1, 0)))


def plain_steps(image_input: ImageInput, before: int) -> Step:
    """Resize and crop as in evaluation.

    Args:
        image_input: What the network wants.
        before: Pixels of the side that is resized before the centre crop.
    """
    v2 = transforms().v2
    size, interpolation = image_input.size, _interpolation(image_input)
    crop = v2.CenterCrop(size)
    whole = v2.Resize([before, before], interpolation=interpolation)
    first: Mapping[CropMode, Sequence[Any]] = {
        "border": [_PadLonger(before, image_input)],
        "squash": [whole],
        "center": [_middle, v2.Resize([before], interpolation=interpolation)],
    }
    steps: Step = v2.Compose([*first[image_input.crop_mode], crop])
    return steps


def crop_steps(image_input: ImageInput, min_scale: float) -> Step:
    """A random crop, resized."""
    step: Step = transforms().v2.RandomResizedCrop(
        image_input.size,
        scale=(min_scale, 1.0),
        interpolation=_interpolation(image_input),
    )
    return step


def _interpolation(image_input: ImageInput) -> Any:
    """The interpolation for tensors: bicubic instead of Lanczos, which torch does not support."""
    name = image_input.interpolation.upper()
    return transforms().InterpolationMode["BICUBIC" if name == "LANCZOS" else name]


def _middle(pixels: Tensor) -> Tensor:
    """Crop an image with an aspect ratio of 16 or more to its middle."""
    height, width = pixels.shape[-2:]
    top, left = max(0, (height - LONGEST * width) // 2), max(0, (width - LONGEST * height) // 2)
    return pixels[..., top : height - top, left : width - left]


class _PadLonger:
    """Resize the longer side to ``longer`` pixels, and pad to a square with the means."""

    def __init__(self, longer: int, image_input: ImageInput) -> None:
        self.longer, self.side = longer, max(longer, image_input.size)
        self.means = tuple(255 * mean for mean in image_input.mean)
        self.interpolation = _interpolation(image_input)

    def __call__(self, pixels: Tensor) -> Tensor:
        height, width = pixels.shape[-2:]
        scale = self.longer / max(height, width)
        sides = [max(1, round(side * scale)) for side in (height, width)]
        small = transforms().v2.functional.resize(pixels, sides, interpolation=self.interpolation)
        means = torch.tensor(self.means)
        means = means if pixels.dtype.is_floating_point else means.round()
        square = means.to(pixels.dtype).view(-1, 1, 1).repeat(1, self.side, self.side)
        top, left = (self.side - sides[0]) // 2, (self.side - sides[1]) // 2
        square[:, top : top + sides[0], left : left + sides[1]] = small
        return square


class CropInProportion:
    """A random crop of about the image's own proportion, resized as in evaluation."""

    def __init__(self, min_scale: float, resize: Step) -> None:
        self.scale, self.resize = [min_scale, 1.0], resize

    def __call__(self, pixels: Tensor) -> Tensor:
        aspect = pixels.shape[-1] / pixels.shape[-2]
        top, left, height, width = transforms().RandomResizedCrop.get_params(
            pixels, self.scale, [aspect * 3 / 4, aspect * 4 / 3]
        )
        return self.resize(pixels[..., top : top + height, left : left + width])
