"""The input of a network as the data and the user want it: size, squares, scale of grey."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.contract.spec import BackboneSpec, ImageInput
from zoo.data.samples import Splits
from zoo.errors import UsageError
from zoo.modalities.image.not_seen import outside_in_words
from zoo.modalities.image.traits import range_of

SCRATCH_SIZE = 96
"""Height and width, in pixels, on which networks of any size train from random parameters."""

SQUARES: Mapping[str, Mapping[str, Any]] = {
    "crop": {"crop_mode": "center"},
    "pad": {"crop_mode": "border", "crop": 1.0},
    "squash": {"crop_mode": "squash", "crop": 1.0},
}
"""What ``--resize`` asks of a network's input; padding and squashing keep all of an image."""


def fitted(
    spec: BackboneSpec, asked: Mapping[str, Any], splits: Splits, *, pretrained: bool
) -> BackboneSpec:
    """The spec with the size, squares and scale that the options and the data ask for.

    The scale of grey is that of these data, also where training starts from a run with another.

    Raises:
        UsageError: A size that the network does not take, or a range that the data are not in.
    """
    found = range_of(splits.train.traits) or range_of(splits.val.traits if splits.val else None)
    square = SQUARES[asked["resize"]] if asked["resize"] else {}
    spec = spec.with_input(value_range=tuple(asked["value_range"] or found), **square)
    if words := outside_in_words(spec.image_input, splits.train.traits):
        low, high = spec.image_input.value_range
        raise UsageError(
            f"--range {low:g} {high:g} does not fit the data: {words}",
            hint="Leave --range out to have it found from the images, or give black and white.",
        )
    size = _size(spec, asked["image_size"], splits, pretrained=pretrained)
    return spec.with_input(size=size) if size else spec


def _size(
    spec: BackboneSpec, wanted: int | None, splits: Splits, *, pretrained: bool
) -> int | None:
    """Height and width; ``None`` for those of the spec."""
    given: ImageInput = spec.image_input
    if given.fixed_size:
        return wanted
    if wanted is None:
        small = splits.image_size or (None if pretrained else min(SCRATCH_SIZE, given.size))
        return given.fitting(small) if small else None
    if wanted != (fit := given.fitting(wanted)):
        steps = f" in steps of {given.multiple_of}" if given.multiple_of > 1 else ""
        raise UsageError(
            f"{spec.name} takes images of {given.fitting(1)} pixels and more{steps}, not of {wanted}",
            hint=f"The nearest size is {fit}: --image-size {fit}.",
        )
    return wanted
