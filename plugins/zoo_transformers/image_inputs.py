"""Convert the library's image processors to :class:`zoo.ImageInput`."""

from __future__ import annotations

from zoo import Backbone as Backbone  # first: readies torch for torchvision
from zoo import ImageInput, Interpolation, NameLookupError, first_line

# isort: split
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import AutoImageProcessor

_INTERPOLATION: Mapping[int, Interpolation] = {
    0: "nearest",
    1: "lanczos",
    2: "bilinear",
    3: "bicubic",
    4: "bilinear",
    5: "bilinear",
}
"""Pillow's filter numbers. Its box and Hamming filters, which few models use, are close to bilinear."""

_CONVNEXT_SQUASHES_FROM = 384
"""ConvNeXt's processor squashes images to sizes of at least this, and crops to smaller sizes."""


def read_input(name: str, folder: Path) -> ImageInput:
    """Read the preprocessing from ``preprocessor_config.json`` in ``folder``.

    Raises:
        NameLookupError: The file cannot be read, or is not for images with three channels.
    """
    try:
        processor: Any = AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
            str(folder), local_files_only=True, trust_remote_code=False
        )
        return _input(processor)
    except Exception as error:  # a damaged file makes the library raise anything
        raise NameLookupError(
            f"failed to read the image processor of {name}: {first_line(error)}",
            hint="Copy the model's preprocessor_config.json to the folder of its weights.",
        ) from error


def _input(processor: Any) -> ImageInput:
    size, crop, mode = _geometry(processor)
    mean, std = _normalization(processor)
    return ImageInput(
        size=size,
        crop=crop,
        crop_mode=mode,  # type: ignore[arg-type]
        mean=mean,
        std=std,
        interpolation=_INTERPOLATION[int(processor.resample or 0)],
    )


def _geometry(processor: Any) -> tuple[int, float, str]:
    """Return the size in pixels, the fraction kept by the crop, and ``center`` or ``squash``."""
    sides = {key: value for key, value in dict(processor.size).items() if value}
    shorter = sides.get("shortest_edge")
    resized = int(shorter or min(sides["height"], sides["width"]))
    if (crop_fraction := getattr(processor, "crop_pct", None)) and shorter:
        if resized >= _CONVNEXT_SQUASHES_FROM:
            return resized, 1.0, "squash"
        return resized, resized / int(resized / crop_fraction), "center"
    mode = "center" if shorter else "squash"
    if not getattr(processor, "do_center_crop", False):
        return resized, 1.0, mode
    cropped = {key: value for key, value in dict(processor.crop_size).items() if value}
    size = int(min(cropped.values()))
    return size, min(size / resized, 1.0), mode


def _normalization(processor: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation for pixel values in [0, 1], whatever the library's range."""
    scale = 255 * float(processor.rescale_factor) if processor.do_rescale else 255.0
    offset = 1.0 if getattr(processor, "rescale_offset", False) else 0.0
    mean = processor.image_mean if processor.do_normalize else (0.0, 0.0, 0.0)
    std = processor.image_std if processor.do_normalize else (1.0, 1.0, 1.0)
    return (
        tuple((float(each) + offset) / scale for each in mean),
        tuple(float(each) / scale for each in std),
    )
