"""Parts of images that the network does not see, for summaries, records, notes and predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zoo.contract.spec import ImageInput
from zoo.data.samples import Splits
from zoo.errors import BadFilesError
from zoo.modalities.image.channels import COLOURED, derived
from zoo.modalities.image.traits import Traits

Mask: TypeAlias = NDArray[np.bool_]

_WORDS: Mapping[str, str] = {
    "frames": "several frames in {images}; only the first is used",
    "bands": "more bands than a color image in {images}; only the first ones are used",
    "halved": "16 bits per channel in {images}; only the upper 8 are used",
    "nodata": "pixels without data (GDAL's nodata value) in {images}; they become black, and are "
    "left out of the range",
    "beyond": "values outside {range} in {images}; they become black or white",
    "shallow": "8 bits per pixel in {images}, with 0 black and 255 white; the training images had "
    "more, with black and white at {range}",
    "crop": "more than 40 % of the longer side is cropped in {images}; {advice}",
}
"""By name, as in records and predictions."""

_RGB = 3

_MIN_KEPT = 0.6
"""The share of the longer side below which cropping is reported. A 4:3 photograph keeps 0.66 at the
usual crop of 0.875, too common to report."""

_ADVICE = {
    False: "--resize pad or --resize squash keeps the whole image",
    True: "as in training (zoo finetune --resize pad or squash keeps the whole image)",
}

_WINDOW = 0.05
"""The share of training images above which it is normal that most pixels are out of range, as with
windowed CT scans."""

_NO_RANGE = (
    "it has more than 8 bits per pixel, but the training images had 8 bits, so its value range is "
    "not known"
)


@dataclass(frozen=True)
class Reading:
    """How a network reads images, and what it does not see of them.

    Attributes:
        input: The input of the network.
        trained: Whether it belongs to a finished run.
        deep: Whether all training images had more than 8 bits per pixel.
        windowed: Whether it is normal, as in training, that most pixels are out of range.
    """

    input: ImageInput
    trained: bool = False
    deep: bool = False
    windowed: bool = False

    def unread(self, traits: Traits) -> dict[str, Mask]:
        """Which of N images have unread parts, by the name of the part; ``(N,)`` each."""
        some = self.input.channels <= _RGB
        return {
            "frames": traits["frames"] & some,
            "bands": (traits["bands"] | traits["array"]) & self._leaves_bands(traits),
            "halved": traits["halved"],
            "nodata": traits["nodata"],
            "beyond": _beyond(self.input, traits),
            "shallow": ~traits["deep"] & self.deep,
            "crop": _cut_short(self.input, traits),
        }

    def _leaves_bands(self, traits: Traits) -> Mask:
        found: Mask = traits["channels"] > max(_RGB, self.input.channels)
        return found

    def names(self, traits: Traits) -> tuple[tuple[str, ...], ...]:
        """The names of the unread parts of each image."""
        masks = self.unread(traits)
        rows = range(len(traits))
        return tuple(tuple(name for name, mask in masks.items() if mask[i]) for i in rows)

    def in_words(self, traits: Traits) -> dict[str, str]:
        """How many images have unread parts, one note per name."""
        total = f"{len(traits):,} image{'s' if len(traits) != 1 else ''}"
        fill = {"range": _ends(self.input), "advice": _ADVICE[self.trained]}
        return {
            name: _WORDS[name].format(images=f"{int(mask.sum()):,} of {total}", **fill)
            for name, mask in self.unread(traits).items()
            if mask.any()
        }

    def with_range(self, traits: Traits) -> dict[str, str]:
        """As :meth:`in_words`, and the value range if images have more than 8 bits."""
        if not self.input.value_range or not traits["deep"].any():
            return self.in_words(traits)
        words = _range_in_words(self.input, traits, given=True)
        return {"range": words, **self.in_words(traits)}

    def misfits(self, traits: Traits) -> dict[int, str]:
        """Images whose values do not fit the range of the training images: reasons by index."""
        if not self.input.value_range:
            return {int(i): _NO_RANGE for i in np.flatnonzero(traits["deep"] & ~traits["unit"])}
        if self.windowed:
            return {}
        words = (
            f"more than half of its pixels are outside {_ends(self.input)}, the range of the "
            "training images"
        )
        return {int(i): words for i in np.flatnonzero(_outside(self.input, traits))}

    def refuse(self, traits: Traits, name: str) -> None:
        """Raise a :class:`BadFilesError` if an image, ``(1,)`` of traits, does not fit the range."""
        for reason in self.misfits(traits).values():
            raise BadFilesError(
                f"{name} cannot be used: {reason}",
                paths=(name,),
                hint="Convert it to the range of the training images, or skip such images with "
                "--bad-files skip.",
            )


def steps_in_words(
    image_input: ImageInput, splits: Splits, asked: Mapping[str, Any]
) -> dict[str, str]:
    """The channels, and which augmentations are off, one note per line of the summary."""
    facts = {}
    channels = image_input.channels
    if channels != _RGB:
        found = "as asked for" if asked.get("channels") else "as the images have"
        by_default = derived(splits.train.traits) == channels
        found = found if asked.get("channels") or by_default else "as the network was trained with"
        facts["channels"] = f"{channels}, {found}"
    off = [
        words
        for on, words in (
            (image_input.random_crop, "random crops"),
            (image_input.flip and splits.flip, "mirroring"),
        )
        if not on
    ]
    if asked.get("augment") == "trivial" and channels not in COLOURED:
        off.append(f"changes of color (for {channels} channels)")
    return {**facts, "augmentation": f"without {' and '.join(off)}"} if off else facts


def reading_in_words(image_input: ImageInput, splits: Splits, *, given: bool) -> dict[str, str]:
    """The value range and the unread parts of images, one note per line of the summary.

    Args:
        image_input: The input of the network.
        splits: Training and validation count.
        given: Whether the user gave the range.
    """
    traits = _traits(splits)
    if traits is None:
        return {}
    facts = {}
    if image_input.value_range:
        facts["range"] = _range_in_words(image_input, traits, given=given)
    return facts | Reading(image_input).in_words(traits)


def reading_record(image_input: ImageInput, splits: Splits, *, given: bool) -> dict[str, Any]:
    """The same for ``run.json``."""
    traits = _traits(splits)
    scale = {
        "mirrored": image_input.flip and splits.flip,
        "value_range": list(image_input.value_range),
        "value_range_given": given,
    }
    if traits is None:  # demo data
        return scale
    return {
        **scale,
        "deep": int(traits["deep"].sum()),
        **{name: int(mask.sum()) for name, mask in Reading(image_input).unread(traits).items()},
        "all_deep": bool(traits["deep"].all()),
        "windowed": _windowed(image_input, splits.train.traits),
    }


def outside_in_words(image_input: ImageInput, traits: Traits | None) -> str:
    """Why a range does not fit most of the deep images; else empty."""
    if traits is None or not image_input.value_range or not traits["deep"].any():
        return ""
    deep, (low, high) = traits[traits["deep"]], image_input.value_range
    nothing = (deep["low"] >= high) | (deep["high"] <= low)
    if nothing.mean() <= 0.5:
        return ""
    least, greatest = np.nanmin(deep["low"]), np.nanmax(deep["high"])
    return (
        f"{int(nothing.sum()):,} of {len(deep):,} images would be all black or all white; their "
        f"values are {least:.6g} to {greatest:.6g}"
    )


def _range_in_words(image_input: ImageInput, traits: Traits, *, given: bool) -> str:
    low, high = (f"{value:.6g}" for value in image_input.value_range)
    deep, total = int(traits["deep"].sum()), len(traits)
    images = "image has" if deep == 1 else "images have"
    text = f"{low} is black and {high} white; {deep} {images} more than 8 bits per pixel"
    if deep < total:
        text += f", in the other {total - deep} 0 is black and 255 white"
    return text if given else f"{text}; estimated from the images (set with --range LOW HIGH)"


def _ends(image_input: ImageInput) -> str:
    return " to ".join(f"{value:.6g}" for value in image_input.value_range)


def _traits(splits: Splits) -> Traits | None:
    known = [each.traits for each in (splits.train, splits.val) if each is not None]
    found = [each for each in known if each is not None]
    return np.concatenate(found) if found else None


def _beyond(image_input: ImageInput, traits: Traits) -> Mask:
    """Images with more than one pixel in a thousand outside the range."""
    if not image_input.value_range:
        return np.zeros(len(traits), np.bool_)
    low, high = image_input.value_range
    found: Mask = traits["deep"] & ((traits["low"] < low) | (traits["high"] > high))
    return found


def _outside(image_input: ImageInput, traits: Traits) -> Mask:
    """Images with at least half of the pixels beyond one end of the range."""
    low, high = image_input.value_range
    found: Mask = traits["deep"] & ((traits["middle"] < low) | (traits["middle"] > high))
    return found


def _windowed(image_input: ImageInput, train: Traits | None) -> bool:
    """Whether many training images are mostly outside the range."""
    if train is None or not image_input.value_range or not train["deep"].any():
        return False
    return bool(_outside(image_input, train).sum() > _WINDOW * train["deep"].sum())


def _cut_short(image_input: ImageInput, traits: Traits) -> Mask:
    """Images that lose much of their area to the center crop."""
    if image_input.crop_mode != "center":
        return np.zeros(len(traits), np.bool_)
    found: Mask = image_input.crop / np.maximum(traits["length"], 1) < _MIN_KEPT
    return found
