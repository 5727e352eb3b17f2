"""What an image processor of the library does to images, as :class:`zoo.ImageInput`."""

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
"""By Pillow's numbers; its box and Hamming filters, which hardly any model uses, are near to bilinear."""

_CONVNEXT_SQUASHES_FROM = 384
"""ConvNeXt's processor squashes images to sizes from here on, and crops smaller ones."""


def read_input(name: str, folder: Path) -> ImageInput:
    """The preprocessing that ``preprocessor_config.json`` in ``folder`` declares.

    Raises:
        NameLookupError: It is not that of images in three channels, or cannot be read.
    """
    try:
        processor: Any = AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
            str(folder), local_files_only=True, trust_remote_code=False
        )
        return _input(processor)
    except Exception as error:  # the library lets through whatever a damaged file runs into
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
    """Size, share that is kept, and ``center`` or ``squash``."""
    sides = {key: value for key, value in dict(processor.size).items() if value}
    shorter = sides.get("shortest_edge")
    resized = int(shorter or min(sides["height"], sides["width"]))
    if (share := getattr(processor, "crop_pct", None)) and shorter:
        if resized >= _CONVNEXT_SQUASHES_FROM:
            return resized, 1.0, "squash"
        return resized, resized / int(resized / share), "center"
    mode = "center" if shorter else "squash"
    if not getattr(processor, "do_center_crop", False):
        return resized, 1.0, mode
    cropped = {key: value for key, value in dict(processor.crop_size).items() if value}
    size = int(min(cropped.values()))
    return size, min(size / resized, 1.0), mode


def _normalization(processor: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of values in [0, 1]; the library may scale them otherwise."""
    scale = 255 * float(processor.rescale_factor) if processor.do_rescale else 255.0
    offset = 1.0 if getattr(processor, "rescale_offset", False) else 0.0
    mean = processor.image_mean if processor.do_normalize else (0.0, 0.0, 0.0)
    std = processor.image_std if processor.do_normalize else (1.0, 1.0, 1.0)
    return (
        tuple((float(each) + offset) / scale for each in mean),
        tuple(float(each) / scale for each in std),
    )
