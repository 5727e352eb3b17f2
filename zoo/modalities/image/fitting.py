"""Adapt the image input of a network to the data and the options: size, resizing, value range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zoo.contract.spec import BackboneSpec, ImageInput
from zoo.data.samples import Splits
from zoo.errors import UsageError
from zoo.modalities.augmentations import AUGMENTATIONS, NONE
from zoo.modalities.image.channels import (
    RGB,
    channels_for,
    measured,
    refuse_mixed,
    with_channels,
)
from zoo.modalities.image.not_seen import outside_in_words
from zoo.modalities.image.traits import range_of

SCRATCH_SIZE = 96
"""Default height and width, in pixels, for training from scratch with networks that take any size."""

SQUARES: Mapping[str, Mapping[str, Any]] = {
    "crop": {"crop_mode": "center"},
    "pad": {"crop_mode": "border", "crop": 1.0},
    "squash": {"crop_mode": "squash", "crop": 1.0},
}
"""Input settings by value of ``--resize``; padding and squashing keep the whole image."""


def fitted(
    spec: BackboneSpec, asked: Mapping[str, Any], splits: Splits, *, pretrained: bool
) -> BackboneSpec:
    """The spec with size, channels, resizing and value range for the options and the data.

    The value range, means and deviations are those of this data, even if training starts from a run
    with others.

    Raises:
        UsageError: The network does not support the size, or the range does not fit the data.
    """
    found = range_of(splits.train.traits) or range_of(splits.val.traits if splits.val else None)
    square = SQUARES[asked["resize"]] if asked["resize"] else {}
    varied = {name: asked[name] for name in ("flip", "random_crop") if asked.get(name) is not None}
    wanted, traits = asked.get("channels"), splits.train.traits
    channels = channels_for(spec.image_input, wanted, traits)
    refuse_mixed(traits, channels, wanted)
    if channels != RGB and asked.get("cache_images"):
        raise UsageError(
            f"--cache-images has no effect on images of {channels} channels",
            hint="Leave --cache-images out.",
        )
    if channels != RGB and asked.get("augment") not in (None, NONE, *AUGMENTATIONS):
        raise UsageError(
            f"--augment {asked['augment']} takes RGB images, not {channels} channels",
            hint=f"Use --augment {' or '.join(AUGMENTATIONS)}, or leave the option out.",
        )
    spec = spec.with_input(
        value_range=tuple(asked["value_range"] or found),
        **square,
        **varied,
        **with_channels(spec.image_input, channels),
    )
    if words := outside_in_words(spec.image_input, splits.train.traits):
        low, high = spec.image_input.value_range
        raise UsageError(
            f"--range {low:g} {high:g} does not fit the data: {words}",
            hint="Remove --range to estimate it from the images, or use other values.",
        )
    spec = replace(spec, input=measured(spec.image_input, splits.train) or spec.input)
    size = _size(spec, asked["image_size"], splits.image_size, pretrained=pretrained)
    return spec.with_input(size=size) if size else spec


def expected(spec: BackboneSpec, asked: Mapping[str, Any], *, pretrained: bool) -> BackboneSpec:
    """The spec with size, channels, resizing and value range, as far as known before the data is.

    Raises:
        UsageError: The network does not support the size.
    """
    square = SQUARES[asked["resize"]] if asked["resize"] else {}
    size = _size(spec, asked["image_size"], None, pretrained=pretrained)
    return spec.with_input(
        value_range=tuple(asked["value_range"] or ()),
        channels=asked.get("channels") or spec.image_input.channels,
        size=size or spec.image_input.size,
        **square,
    )


def _size(
    spec: BackboneSpec, wanted: int | None, suits: int | None, *, pretrained: bool
) -> int | None:
    """Height and width in pixels; ``None`` for those of the spec.

    Args:
        spec: The network's.
        wanted: As the user asks for it.
        suits: What suits the demo data.
        pretrained: Whether training starts from pretrained weights.
    """
    given: ImageInput = spec.image_input
    if given.fixed_size:
        return wanted
    if wanted is None:
        small = suits or (None if pretrained else min(SCRATCH_SIZE, given.size))
        return given.fitting(small) if small else None
    if wanted != (fit := given.fitting(wanted)):
        steps = f" in steps of {given.multiple_of}" if given.multiple_of > 1 else ""
        raise UsageError(
            f"--image-size must be at least {given.fitting(1)}{steps} for {spec.name}, got {wanted}",
            hint=f"The nearest size is --image-size {fit}.",
        )
    return wanted
