"""What of the images a network does not get to see: for headers, records, notes and answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zoo.contract.spec import ImageInput
from zoo.data.samples import Splits
from zoo.errors import BadFilesError
from zoo.modalities.image.traits import Traits

Mask: TypeAlias = NDArray[np.bool_]

_WORDS: Mapping[str, str] = {
    "frames": "several frames in {images}; the first is used",
    "bands": "more bands than a color image in {images}; the first ones are used",
    "halved": "16 bits a color in {images}; the upper 8 are used",
    "nodata": "pixels without data (GDAL's nodata value) in {images}; they are black, and count for "
    "no range",
    "beyond": "values beyond {range} in {images}; they become black or white",
    "shallow": "8 bits a pixel in {images}, of which 0 is black and 255 white; the training images "
    "were deeper, with black and white at {range}",
    "crop": "more than 40 % of the longer side is cut off in {images}; {advice}",
}
"""By the name of what is not seen, or seen otherwise, as records and answers have it."""

_LEAST_KEPT = 0.6
"""Of an image's longer side: a photograph of 4:3 keeps 0.66 at the usual crop of 0.875; those are
too many to be told of."""

_ADVICE = {
    False: "--resize pad or --resize squash keeps all of it",
    True: "the run was trained so (zoo finetune --resize pad or squash keeps all of it)",
}

_WINDOW = 0.05
"""The share of training images from which on it is usual that most pixels are out of the range, as
with windows of CT numbers."""

_NO_RANGE = (
    "it has more than 8 bits a pixel, and what is black and white in it is not known: the training "
    "images had 8 bits"
)


@dataclass(frozen=True)
class Reading:
    """How a network gets its images, and what of them it therefore does not see.

    Attributes:
        input: What the network takes.
        trained: Whether it is that of a finished run.
        deep: Whether all training images had more than 8 bits a pixel.
        windowed: Whether it is usual, as in training, that most pixels are out of the range.
    """

    input: ImageInput
    trained: bool = False
    deep: bool = False
    windowed: bool = False

    def unread(self, traits: Traits) -> dict[str, Mask]:
        """Which of N images have what the network does not see, by its name; ``(N,)`` each."""
        return {
            "frames": traits["frames"],
            "bands": traits["bands"],
            "halved": traits["halved"],
            "nodata": traits["nodata"],
            "beyond": _beyond(self.input, traits),
            "shallow": ~traits["deep"] & self.deep,
            "crop": _cut_short(self.input, traits),
        }

    def names(self, traits: Traits) -> tuple[tuple[str, ...], ...]:
        """Of each image, the names of what the network does not see of it."""
        masks = self.unread(traits)
        rows = range(len(traits))
        return tuple(tuple(name for name, mask in masks.items() if mask[i]) for i in rows)

    def in_words(self, traits: Traits) -> dict[str, str]:
        """How many images have what the network does not see, a fact each, by its name."""
        total = f"{len(traits):,} image{'s' if len(traits) != 1 else ''}"
        fill = {"range": _ends(self.input), "advice": _ADVICE[self.trained]}
        return {
            name: _WORDS[name].format(images=f"{int(mask.sum()):,} of {total}", **fill)
            for name, mask in self.unread(traits).items()
            if mask.any()
        }

    def with_range(self, traits: Traits) -> dict[str, str]:
        """As :meth:`in_words`, and the scale of grey where images have more than 8 bits."""
        if not self.input.value_range or not traits["deep"].any():
            return self.in_words(traits)
        words = _range_in_words(self.input, traits, given=True)
        return {"range": words, **self.in_words(traits)}

    def misfits(self, traits: Traits) -> dict[int, str]:
        """The indices of images that are on another scale than the training images, and why."""
        if not self.input.value_range:
            return {int(i): _NO_RANGE for i in np.flatnonzero(traits["deep"])}
        if self.windowed:
            return {}
        words = (
            f"more than half of its pixels are beyond {_ends(self.input)}, the range of the "
            "training images"
        )
        return {int(i): words for i in np.flatnonzero(_outside(self.input, traits))}

    def refuse(self, traits: Traits, name: str) -> None:
        """Raise a :class:`BadFilesError` unless an image, ``(1,)`` of traits, fits."""
        for reason in self.misfits(traits).values():
            raise BadFilesError(
                f"{name} cannot be used: {reason}",
                paths=(name,),
                hint="Convert it to the scale of the training images, or leave such images out "
                "with --bad-files skip.",
            )


def reading_in_words(image_input: ImageInput, splits: Splits, *, given: bool) -> dict[str, str]:
    """The scale of grey and what is left out of images, a fact a line; nothing where all is read.

    Args:
        image_input: How the network gets its images.
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
    scale = {"value_range": list(image_input.value_range), "value_range_given": given}
    if traits is None:  # of the demo
        return scale
    return {
        **scale,
        "deep": int(traits["deep"].sum()),
        **{name: int(mask.sum()) for name, mask in Reading(image_input).unread(traits).items()},
        "all_deep": bool(traits["deep"].all()),
        "windowed": _windowed(image_input, splits.train.traits),
    }


def outside_in_words(image_input: ImageInput, traits: Traits | None) -> str:
    """That a range leaves nothing of more than half of the deep images; else empty."""
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
    images = "image is" if deep == 1 else "images are"
    what = f"{low} is black and {high} white; {deep} {images} deeper than 8 bits"
    if deep < total:
        what += f", in the other {total - deep} 0 is black and 255 white"
    return what if given else f"{what}; found from the images (--range LOW HIGH sets it)"


def _ends(image_input: ImageInput) -> str:
    return " to ".join(f"{value:.6g}" for value in image_input.value_range)


def _traits(splits: Splits) -> Traits | None:
    known = [each.traits for each in (splits.train, splits.val) if each is not None]
    found = [each for each in known if each is not None]
    return np.concatenate(found) if found else None


def _beyond(image_input: ImageInput, traits: Traits) -> Mask:
    """Images of which more than a pixel in a thousand is beyond either end of the range."""
    if not image_input.value_range:
        return np.zeros(len(traits), np.bool_)
    low, high = image_input.value_range
    found: Mask = traits["deep"] & ((traits["low"] < low) | (traits["high"] > high))
    return found


def _outside(image_input: ImageInput, traits: Traits) -> Mask:
    """Images of which at least half of the pixels are beyond one end of the range."""
    low, high = image_input.value_range
    found: Mask = traits["deep"] & ((traits["middle"] < low) | (traits["middle"] > high))
    return found


def _windowed(image_input: ImageInput, train: Traits | None) -> bool:
    """Whether many training images are mostly beyond the range."""
    if train is None or not image_input.value_range or not train["deep"].any():
        return False
    return bool(_outside(image_input, train).sum() > _WINDOW * train["deep"].sum())


def _cut_short(image_input: ImageInput, traits: Traits) -> Mask:
    """Images that lose much of themselves to the centre crop."""
    if image_input.crop_mode != "center":
        return np.zeros(len(traits), np.bool_)
    found: Mask = image_input.crop / np.maximum(traits["length"], 1) < _LEAST_KEPT
    return found
