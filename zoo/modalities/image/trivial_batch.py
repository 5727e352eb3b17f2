"""TrivialAugment of a whole batch, on its device: each image has its own operation and strength.

Torchvision's functions take one strength for all images, and Kornia draws one operation for a whole batch,
from torch's global generator. These take one strength per image, and compute what Pillow does, which
augments single images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from zoo.modalities.image.resampling import on_device
from zoo.system.tensors.torchvision_operators import transforms

Strengths: TypeAlias = NDArray[np.float64]
"""``(n,)``, one for each image of a group: from 0 to the greatest, or minus that."""

_LEVELS = 31  # strengths of an operation


def trivial_batch(
    images: Tensor, *, flip: bool, draw: Callable[[int], NDArray[np.float64]]
) -> Tensor:
    """As :func:`zoo.modalities.image.augmenting.trivial`: ``(B, 3, size, size)``, uint8.

    Does not wait for the device.

    Args:
        images: Of the same shape and type.
        flip: Whether a mirrored image still shows its class; otherwise none is rotated.
        draw: Uniform random numbers for each image, ``(B, count)``.
    """
    operations = [each for name, each in OPERATIONS.items() if flip or name != "Rotate"]
    operation, level, sign = (draw(3) * (len(operations), _LEVELS, 1)).T
    chosen, levels, minus = operation.astype(np.int64), level.astype(np.int64), sign <= 0.5
    order = np.argsort(chosen, kind="stable")
    counts = np.bincount(chosen, minlength=len(operations))
    groups = images.index_select(0, on_device(order, images.device, torch.int64))
    augmented, begin = [], 0
    for each, count in zip(operations, counts.tolist(), strict=True):
        rows = order[begin : begin + count]
        if count:
            group = groups[begin : begin + count]
            augmented.append(each.apply(group, each.strengths(levels[rows], minus[rows])))
        begin += count
    back = on_device(np.argsort(order), images.device, torch.int64)
    return torch.cat(augmented).index_select(0, back)


class Operation(NamedTuple):
    """One operation of TrivialAugment.

    Attributes:
        apply: From images ``(n, 3, size, size)`` and their strengths.
        least: The first strength.
        most: The last one.
        signed: Whether each strength may be negative.
    """

    apply: Callable[[Tensor, Strengths], Tensor]
    least: float = 0.0
    most: float = 0.0
    signed: bool = False

    def strengths(self, levels: NDArray[np.int64], minus: NDArray[np.bool_]) -> Strengths:
        """By level; rounded to float32 as torchvision's are, some of which are then truncated."""
        steps = torch.linspace(self.least, self.most, _LEVELS).double().numpy()
        strengths: Strengths = steps[levels] * np.where(minus & self.signed, -1.0, 1.0)
        return strengths


# -- geometry ----------------------------------------------------------------------------------


def _shear_x(images: Tensor, strengths: Strengths) -> Tensor:
    return _moved(images, _matrices(len(strengths), ((0, 1, strengths),)))


def _shear_y(images: Tensor, strengths: Strengths) -> Tensor:
    return _moved(images, _matrices(len(strengths), ((1, 0, strengths),)))


def _translate_x(images: Tensor, strengths: Strengths) -> Tensor:
    return _moved(images, _matrices(len(strengths), ((0, 2, -np.trunc(strengths)),)))


def _translate_y(images: Tensor, strengths: Strengths) -> Tensor:
    return _moved(images, _matrices(len(strengths), ((1, 2, -np.trunc(strengths)),)))


def _rotate(images: Tensor, strengths: Strengths) -> Tensor:
    angle = -np.radians(strengths)
    cos, sin = np.cos(angle).round(15), np.sin(angle).round(15)
    middle = images.shape[-1] / 2
    places = ((0, 0, cos), (0, 1, sin), (1, 0, -sin), (1, 1, cos))
    shifts = ((0, 2, middle * (1 - cos - sin)), (1, 2, middle * (1 - cos + sin)))
    return _moved(images, _matrices(len(strengths), (*places, *shifts)))


def _matrices(count: int, places: tuple[tuple[int, int, Any], ...]) -> NDArray[np.float64]:
    """``(count, 2, 3)``: from output to input pixels; the identity but for ``places``."""
    matrices = np.tile(np.eye(2, 3), (count, 1, 1))
    for row, column, values in places:
        matrices[:, row, column] = values
    return matrices


def _moved(images: Tensor, matrices: NDArray[np.float64]) -> Tensor:
    """Each output pixel is the one at its place in the input, or black."""
    count, bands, side, _ = images.shape
    matrix = on_device(matrices, images.device, torch.float32)
    middles = torch.arange(side, device=images.device) + 0.5
    x, y = (
        (m[:, 0, None] * middles + m[:, 2, None])[:, None, :]
        + (m[:, 1, None] * middles)[:, :, None]
        for m in (matrix[:, 0], matrix[:, 1])
    )  # (n, size, size)
    inside = (x >= 0) & (x < side) & (y >= 0) & (y < side)
    column, row = (place.floor().long().clamp_(0, side - 1) for place in (x, y))
    places = (row * side + column).view(count, 1, -1).expand(-1, bands, -1)
    moved = images.flatten(2).gather(2, places).view_as(images)
    return moved * inside[:, None]


# -- colours -----------------------------------------------------------------------------------


def _brightness(images: Tensor, strengths: Strengths) -> Tensor:
    return _blended(images, torch.zeros((), device=images.device), strengths)


def _colour(images: Tensor, strengths: Strengths) -> Tensor:
    return _blended(images, _grey(images), strengths)


def _contrast(images: Tensor, strengths: Strengths) -> Tensor:
    mean = _grey(images).mean(dim=(1, 2, 3), keepdim=True)
    return _blended(images, (mean + 0.5).floor(), strengths)


def _sharpness(images: Tensor, strengths: Strengths) -> Tensor:
    floats = images.float()
    kernel = torch.ones(1, 1, 3, 3, device=images.device)
    around = functional.conv2d(floats.flatten(0, 1)[:, None], kernel).view_as(floats[..., 2:, 2:])
    smooth = floats.clone()
    smooth[..., 1:-1, 1:-1] = ((around + 4 * floats[..., 1:-1, 1:-1]) / 13 + 0.5).floor()
    return _blended(images, smooth, strengths)


def _grey(images: Tensor) -> Tensor:
    """Pillow's luminance, ``(n, 1, size, size)``: whole numbers as floats."""
    red, green, blue = images.int().unbind(1)
    grey = (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16
    return grey[:, None].float()


def _blended(images: Tensor, other: Tensor, strengths: Strengths) -> Tensor:
    """From ``other`` at strength 0 through the image at 1 to beyond it."""
    factors = on_device(1 + strengths, images.device, torch.float32)
    blended = other + factors.view(-1, 1, 1, 1) * (images.float() - other)
    return blended.clamp_(0, 255).to(torch.uint8)


def _posterize(images: Tensor, strengths: Strengths) -> Tensor:
    bits = np.rint(8 - strengths).astype(np.int64)
    masks = on_device(256 - 2 ** (8 - bits), images.device, torch.uint8)
    return images & masks.view(-1, 1, 1, 1)


def _solarize(images: Tensor, strengths: Strengths) -> Tensor:
    limits = on_device(np.ceil(255 * strengths), images.device, torch.float32).view(-1, 1, 1, 1)
    return torch.where(images < limits, images, 255 - images)


def _autocontrast(images: Tensor, strengths: Strengths) -> Tensor:  # noqa: ARG001 - has no strength
    values = images.int()
    low, high = (getattr(values, end)(dim=(2, 3), keepdim=True) for end in ("amin", "amax"))
    stretched = (255 * (values - low)) // (high - low).clamp(min=1)
    return torch.where(high > low, stretched, values).to(torch.uint8)


def _equalize(images: Tensor, strengths: Strengths) -> Tensor:  # noqa: ARG001 - has no strength
    equalized: Tensor = transforms().v2.functional.equalize(images)
    return equalized


OPERATIONS: Mapping[str, Operation] = {
    "Identity": Operation(lambda images, _: images),
    "ShearX": Operation(_shear_x, most=0.99, signed=True),
    "ShearY": Operation(_shear_y, most=0.99, signed=True),
    "TranslateX": Operation(_translate_x, most=32.0, signed=True),
    "TranslateY": Operation(_translate_y, most=32.0, signed=True),
    "Rotate": Operation(_rotate, most=135.0, signed=True),
    "Brightness": Operation(_brightness, most=0.99, signed=True),
    "Color": Operation(_colour, most=0.99, signed=True),
    "Contrast": Operation(_contrast, most=0.99, signed=True),
    "Sharpness": Operation(_sharpness, most=0.99, signed=True),
    "Posterize": Operation(_posterize, most=6.0),
    "Solarize": Operation(_solarize, least=1.0),
    "AutoContrast": Operation(_autocontrast),
    "Equalize": Operation(_equalize),
}
"""The operations and strengths of TrivialAugment Wide, by torchvision's names."""
