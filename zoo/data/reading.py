"""What of the images a network does not get to see, for the header and for ``run.json``."""

from __future__ import annotations

from typing import Any

from zoo.data.samples import Splits
from zoo.data.traits import Counts, count, cut_short
from zoo.spec import ImageInput

_UNREAD = {
    "frames": "have several frames; the first is used",
    "bands": "have more bands than a color image; the first ones are used",
    "halved": "have 16 bits a color; the upper 8 are used",
}


def reading_in_words(image_input: ImageInput, splits: Splits, *, given: bool) -> dict[str, str]:
    """The scale of grey and what is left out of images, a fact a line; nothing where all is read.

    Args:
        image_input: How the network gets its images.
        splits: Training and validation count.
        given: Whether the user gave the range.
    """
    counts, cut = _counts(splits), _cut(image_input, splits)
    facts = {}
    if image_input.value_range:
        facts["range"] = _range_in_words(image_input, counts, given=given)
    for name, words in _UNREAD.items():
        if found := getattr(counts, name):
            facts[name] = f"{found} of {counts.images} images {words}"
    if cut:
        facts["crop"] = (
            f"{cut} of {counts.images} images lose more than 40 % of their longer side; "
            "--resize pad or --resize squash keeps all of it"
        )
    return facts


def _range_in_words(image_input: ImageInput, counts: Counts, *, given: bool) -> str:
    low, high = (f"{value:.6g}" for value in image_input.value_range)
    images = "image is" if counts.deep == 1 else "images are"
    what = f"{low} is black and {high} white; {counts.deep} {images} deeper than 8 bits"
    return what if given else f"{what}, from which it was found (--range LOW HIGH sets it)"


def reading_record(image_input: ImageInput, splits: Splits, *, given: bool) -> dict[str, Any]:
    """The same for ``run.json``."""
    counts = _counts(splits)
    return {
        "value_range": list(image_input.value_range),
        "value_range_given": given,
        "deep": counts.deep,
        **{name: getattr(counts, name) for name in _UNREAD},
        "cut": _cut(image_input, splits),
    }


def _counts(splits: Splits) -> Counts:
    return count(splits.train.traits, splits.val.traits if splits.val else None)


def _cut(image_input: ImageInput, splits: Splits) -> int:
    """How many images lose much of themselves to the centre crop."""
    if image_input.crop_mode != "center":
        return 0
    traits = (splits.train.traits, splits.val.traits if splits.val else None)
    return cut_short(image_input.crop, *traits)
