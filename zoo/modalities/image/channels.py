"""Choose the channels of a network's input for the data, and normalise them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from zoo.contract.spec import IMAGENET_MEAN, IMAGENET_STD, ImageInput, for_channels
from zoo.data.samples import Samples
from zoo.errors import UsageError
from zoo.modalities.image.bands import read_bands
from zoo.modalities.image.traits import Traits

RGB = 3

COLOURED = (1, 3)
"""Channels of images whose colors augmentations change."""

_SAMPLED = 256
"""Training images from which means and deviations are measured."""

_LEAST_BYTES = 0.01
"""Least deviation of a channel of 8 bits, as a constant one has none."""

_LEAST_DEEP = 1e-6


def channels_for(given: ImageInput, wanted: int | None, traits: Traits | None) -> int:
    """The number of channels to train on: the requested one, the network's, or that of all images.

    Images that Pillow can represent, such as RGBA, are read as RGB unless requested otherwise.
    """
    if wanted is not None or given.channels != RGB:
        return wanted or given.channels
    found = derived(traits)
    return found or given.channels


def derived(traits: Traits | None) -> int | None:
    """The number of channels of all images, if they cannot be read as RGB or grey."""
    if traits is None or not len(traits) or not traits["array"].all():
        return None
    counts = np.unique(traits["channels"])
    return int(counts[0]) if len(counts) == 1 and counts[0] not in (1, RGB) else None


def with_channels(given: ImageInput, channels: int) -> dict[str, object]:
    """The changes to an input for a number of channels, with its means or ImageNet's."""
    if channels == given.channels:
        return {}
    mean, std = given.mean, given.std
    if given.channels != RGB:
        mean, std = IMAGENET_MEAN, IMAGENET_STD
    return {
        "channels": channels,
        "mean": for_channels(mean, channels),
        "std": for_channels(std, channels),
    }


def measured(given: ImageInput, train: Samples) -> ImageInput | None:
    """The input with means and deviations of the training images; ``None`` if it does not change.

    For images with more than 8 bits all channels are measured, for others those beyond RGB.
    """
    deep = bool(given.value_range)
    if not len(train) or (given.channels <= RGB and not deep):
        return None
    mean, std = _moments(given, train)
    least = _LEAST_DEEP if deep else _LEAST_BYTES
    kept = 0 if deep or given.channels > RGB + 1 else RGB
    return replace(
        given,
        mean=(*given.mean[:kept], *np.clip(mean, 0, 1).tolist()[kept:]),
        std=(*given.std[:kept], *np.maximum(std, least).tolist()[kept:]),
    )


def _moments(given: ImageInput, train: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each channel, of values in [0, 1]."""
    chosen = np.unique(np.linspace(0, len(train) - 1, min(_SAMPLED, len(train))).astype(int))
    count, sums, squares = 0, np.zeros(given.channels), np.zeros(given.channels)
    # Around a value of their own, since the squares of 16 bits would lose what is below 8.
    around: NDArray[np.float64] | None = None
    for index in chosen.tolist():
        name = train.input(index)
        bands = read_bands(train.raw(index), given.channels, given.value_range, name=name)
        values = bands.reshape(-1, given.channels).astype(np.float64) / 255
        around = values.mean(axis=0) if around is None else around
        count += len(values)
        sums += (values - around).sum(axis=0)
        squares += ((values - around) ** 2).sum(axis=0)
    assert around is not None
    mean = sums / count
    return around + mean, np.sqrt(np.maximum(squares / count - mean**2, 0))


def refuse_mixed(traits: Traits | None, channels: int, wanted: int | None) -> None:
    """Raise a :class:`UsageError` if no image can be read with the requested channels."""
    if traits is None or not len(traits) or wanted is None or channels <= RGB + 1:
        return
    most = int(traits["channels"].max())
    if most < channels and not traits["frames"].any():
        raise UsageError(
            f"--channels {channels} was given, but the images have at most {most}",
            hint=f"Use --channels {most}, or leave the option out.",
        )
