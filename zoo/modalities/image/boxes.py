"""Which part of each image of a batch goes where: crops, sizes and places, without the pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from zoo.contract.spec import CropMode, ImageInput
from zoo.modalities.image.band_steps import LONGEST
from zoo.system.tensors.draws import Draws

Integers: TypeAlias = NDArray[np.int64]
"""``(B,)``, one for each image."""

_RATIOS = (3 / 4, 4 / 3)
_TRIES = 10  # as torchvision's RandomResizedCrop


@dataclass(frozen=True)
class Axis:
    """How one side of each image becomes one side of the output.

    Attributes:
        start: The first pixel that is kept.
        length: How many are kept.
        target: The pixels that these are resized to.
        shift: The resized pixel at the beginning of the output; negative after padding.
    """

    start: Integers
    length: Integers
    target: Integers
    shift: Integers


@dataclass(frozen=True)
class Boxes:
    """The places of a batch of images.

    Attributes:
        rows: From top to bottom.
        columns: From left to right.
        mirrored: ``(B,)``, whether columns run from right to left afterwards.
    """

    rows: Axis
    columns: Axis
    mirrored: NDArray[np.bool_]

    def part(self, chosen: slice) -> Boxes:
        """Those of some of the images."""
        rows, columns = (
            Axis(axis.start[chosen], axis.length[chosen], axis.target[chosen], axis.shift[chosen])
            for axis in (self.rows, self.columns)
        )
        return Boxes(rows, columns, self.mirrored[chosen])


def random_boxes(
    given: ImageInput,
    heights: Integers,
    widths: Integers,
    draws: Draws,
    *,
    flip: bool,
    min_scale: float,
) -> Boxes:
    """Boxes with the distribution of the augmentation of single images.

    See :func:`zoo.modalities.image.transforms.make_transform`.
    """
    mirrored = draws(1)[:, 0] < 0.5 if flip and given.flip else np.zeros(len(heights), np.bool_)
    if not given.random_crop:
        return replace(plain_boxes(given, heights, widths), mirrored=mirrored)
    if given.crop_mode == "center":
        rows, columns = _random_crops(heights, widths, 1.0, draws, min_scale)
        size = np.full(len(heights), given.size)
        zero = np.zeros_like(size)
        return Boxes(Axis(*rows, size, zero), Axis(*columns, size, zero), mirrored)
    rows, columns = _random_crops(heights, widths, widths / heights, draws, min_scale)
    boxes = plain_boxes(replace(given, crop=1.0), rows[1], columns[1])
    return Boxes(
        replace(boxes.rows, start=boxes.rows.start + rows[0]),
        replace(boxes.columns, start=boxes.columns.start + columns[0]),
        mirrored,
    )


def plain_boxes(given: ImageInput, heights: Integers, widths: Integers) -> Boxes:
    """Boxes of images that are not augmented, as :class:`ImageTransform` prepares them."""
    before = math.floor(given.size / given.crop + 1e-3)
    fit: Mapping[CropMode, Callable[[Integers, Integers, int, int], Axis]] = {
        "border": _padded,
        "squash": _squashed,
        "center": _centred,
    }
    axis = fit[given.crop_mode]
    rows = axis(heights, widths, before, given.size)
    columns = axis(widths, heights, before, given.size)
    return Boxes(rows, columns, np.zeros(len(heights), np.bool_))


def _random_crops(
    heights: Integers,
    widths: Integers,
    aspect: float | NDArray[np.float64],
    draws: Draws,
    min_scale: float,
) -> tuple[tuple[Integers, Integers], tuple[Integers, Integers]]:
    """Start and length of rows and of columns, as torchvision's ``RandomResizedCrop`` draws them."""
    count = len(heights)
    least, most = (np.broadcast_to(aspect * ratio, (count,)) for ratio in _RATIOS)
    share, ratio, top, left = draws(4 * _TRIES).reshape(count, 4, _TRIES).transpose(1, 0, 2)
    area = (heights * widths)[:, None] * (min_scale + (1 - min_scale) * share)
    low, high = np.log(least)[:, None], np.log(most)[:, None]
    ratios = np.exp(low + (high - low) * ratio)
    tall, wide = np.rint(np.sqrt(area / ratios)), np.rint(np.sqrt(area * ratios))
    fits = (tall > 0) & (tall <= heights[:, None]) & (wide > 0) & (wide <= widths[:, None])
    first = fits.argmax(axis=1)[:, None]
    tall, wide, top, left, found = (
        np.take_along_axis(each, first, axis=1)[:, 0] for each in (tall, wide, top, left, fits)
    )
    own = widths / heights
    tall = np.where(found, tall, np.where(own < least, np.rint(widths / least), heights))
    wide = np.where(found, wide, np.where(own > most, np.rint(heights * most), widths))
    starts = (
        np.where(found, np.floor(place * (side - kept + 1)), (side - kept) // 2)
        for place, side, kept in ((top, heights, tall), (left, widths, wide))
    )
    rows, columns = (
        (start.astype(np.int64), kept.astype(np.int64))
        for start, kept in zip(starts, (tall, wide), strict=True)
    )
    return rows, columns


def _centred(sides: Integers, others: Integers, before: int, size: int) -> Axis:
    """The shorter side to ``before`` pixels, then the middle; long images are cropped first."""
    start = np.maximum(0, (sides - LONGEST * others) // 2)
    other = others - 2 * np.maximum(0, (others - LONGEST * sides) // 2)
    length = sides - 2 * start
    shorter = np.minimum(length, other)
    target = np.where(length == shorter, before, (before * length / shorter).astype(np.int64))
    return Axis(start, length, target, _middle(target, size))


def _squashed(sides: Integers, others: Integers, before: int, size: int) -> Axis:  # noqa: ARG001 - each side alone
    target = np.full_like(sides, before)
    return Axis(np.zeros_like(sides), sides, target, _middle(target, size))


def _padded(sides: Integers, others: Integers, before: int, size: int) -> Axis:
    """The longer side to ``before`` pixels, in the middle of a square."""
    square = max(before, size)
    scale = before / np.maximum(sides, others)
    target = np.maximum(1, np.rint(sides * scale)).astype(np.int64)
    shift = _middle(np.full_like(sides, square), size) - (square - target) // 2
    return Axis(np.zeros_like(sides), sides, target, shift)


def _middle(sides: Integers, size: int) -> Integers:
    return np.rint((sides - size) / 2).astype(np.int64)
