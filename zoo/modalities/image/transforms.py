"""Preprocess and augment images to the tensors that a network expects."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.contract.extensions import AugmentationSpec
from zoo.contract.spec import CropMode, ImageInput
from zoo.modalities.batches import MIN_SCALE
from zoo.modalities.image.arrays import FoundArray
from zoo.modalities.image.augmenting import Augment
from zoo.modalities.image.band_steps import (
    LONGEST,
    CropInProportion,
    Step,
    crop_steps,
    plain_steps,
    tensor_of,
)
from zoo.modalities.image.bands import read_bands
from zoo.modalities.image.reading import found_in, read_image
from zoo.modalities.image.traits import Traits
from zoo.registry.offers import Offer
from zoo.system.tensors.seeds import seeded
from zoo.system.tensors.torchvision_operators import declare_missing_operators, transforms

# Here, not where a transform is made: a spawned worker unpickles one, and torchvision with it.
declare_missing_operators()

RGB = 3


def make_transform(
    image_input: ImageInput,
    train: bool,
    *,
    flip: bool = True,
    min_scale: float = MIN_SCALE,
    augment: Offer[AugmentationSpec] | None = None,
) -> ImageTransform:
    """Make the transform of images for a network.

    Args:
        image_input: The input of the network.
        train: Whether to augment: a random crop of ``min_scale`` to all of the area, with an aspect
            ratio of 3:4 to 4:3, and with ``flip`` a mirror image with probability 0.5.
        flip: Whether a mirrored image still shows its class.
        min_scale: The smallest fraction of the area that a crop keeps, in (0, 1].
        augment: Applied to each training image after that.
    """
    return ImageTransform(image_input, train, flip=flip, min_scale=min_scale, augment=augment)


class ImageTransform:
    """Transforms an image to ``(C, size, size)``, float32, normalised. Can be pickled.

    Accepts results of :func:`zoo.modalities.image.reading.read_image`: RGB, or floats from 0 to 255
    in one band.

    Attributes:
        input: The input of the network.
        train: Whether it augments.
        decode_size: The shorter side, in pixels, that a decoded image must have at least.
    """

    def __init__(
        self,
        image_input: ImageInput,
        train: bool,
        *,
        flip: bool = True,
        min_scale: float = MIN_SCALE,
        augment: Offer[AugmentationSpec] | None = None,
    ) -> None:
        self.input = image_input
        self.train = train
        self.decode_size = image_input.size if train else resized(image_input)
        self._steps = (
            _varied(image_input, flip, min_scale, augment) if train else _plain(image_input)
        )
        self._mirrored = flip and image_input.flip
        self._min_scale = min_scale
        self._augment = None if augment is None else Augment(augment, flip=self._mirrored)
        self._normalise = Normalise(image_input)

    @cached_property
    def _bands(self) -> Step:
        return _bands_steps(self.input, self.train, self._mirrored, self._min_scale)

    def read(self, source: Any, name: str, traits: Traits | None = None) -> Image.Image | Tensor:
        """Read an image, no larger than needed, with the run's value range.

        A tensor ``(C, H, W)`` from 0 to 255 if Pillow cannot represent the image.

        Args:
            source: The image.
            name: Its name in errors.
            traits: One row to fill with the image's traits.

        Raises:
            BadFilesError: It cannot be read.
        """
        size, values, channels = self.decode_size, self.input.value_range, self.input.channels
        found = found_in(source, name)
        if channels != RGB or isinstance(found, FoundArray):
            return tensor_of(read_bands(found, channels, values, name=name, traits=traits))
        return read_image(found, size=size, name=name, values=values, traits=traits)

    def together(self, pixels: Sequence[Tensor]) -> Tensor:
        """Stack results of :meth:`pixels` to a batch ``(B, C, size, size)``, channels last.

        Bytes stay bytes, a quarter of the size of floats, and are normalised on the device. If one
        image is of floats, all become floats and are normalised here.
        """
        if any(each.dtype != torch.uint8 for each in pixels):
            pixels = [self._normalise(each) for each in pixels]
        # By NumPy: each thread that calls torch's own would start further threads for it.
        rows = np.stack([each.permute(1, 2, 0).numpy() for each in pixels])
        return torch.from_numpy(rows).permute(0, 3, 1, 2)

    def __call__(self, image: Image.Image | Tensor, *, seed: int | None = None) -> Tensor:
        """Prepare one image, as :meth:`pixels`, and normalise it: ``(C, size, size)``, float32."""
        return self._normalise(self.pixels(image, seed=seed))

    def pixels(self, image: Image.Image | Tensor, *, seed: int | None = None) -> Tensor:
        """Crop, resize and augment one image: ``(C, size, size)`` from 0 to 255, channels last.

        Bytes; float32 for images with more than 8 bits.

        Args:
            image: A result of :meth:`read`, of any size.
            seed: Seed of the augmentation, which does not change torch's random state; ``None``
                uses that state.
        """
        if self.train and seed is not None:
            with seeded(seed):
                return self._prepared(image)
        return self._prepared(image)

    def _prepared(self, image: Image.Image | Tensor) -> Tensor:
        if not isinstance(image, Tensor):
            return _as_tensor(self._steps(image))
        pixels: Tensor = self._bands(image)
        if self.train and self._augment is not None:
            pixels = self._augment.on_tensor(pixels)
        if pixels.dtype.is_floating_point:  # resizing may go a little beyond
            pixels = pixels.clamp(0, 255)
        return pixels


def _as_tensor(image: Image.Image | Tensor) -> Tensor:
    if isinstance(image, Tensor):
        return image
    if image.mode == "F":  # resizing may go a little beyond
        grey = torch.from_numpy(np.array(image)).clamp_(0, 255)
        return grey.expand(3, -1, -1)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


class Normalise:
    """Normalises pixels from 0 to 255: ``(x / 255 - mean) / std``, float32.

    Accepts an image ``(C, H, W)`` or a batch ``(B, C, H, W)`` on any device, and keeps its memory
    layout.
    """

    def __init__(self, image_input: ImageInput) -> None:
        std = torch.tensor(image_input.std).view(-1, 1, 1)
        # in two passes over the pixels rather than three
        self._factor = 1 / (255 * std)
        self._offset = -torch.tensor(image_input.mean).view(-1, 1, 1) / std

    def __call__(self, pixels: Tensor) -> Tensor:
        """The pixels, normalised."""
        factor, offset = (each.to(pixels.device) for each in (self._factor, self._offset))
        floats = pixels.clone() if pixels.dtype == torch.float32 else pixels.float()
        return floats.mul_(factor).add_(offset)

    def inverse(self, normalised: Tensor) -> Tensor:
        """Convert normalised pixels to bytes, for display."""
        factor, offset = (each.to(normalised.device) for each in (self._factor, self._offset))
        return ((normalised - offset) / factor).round().clamp(0, 255).to(torch.uint8)


def resized(image_input: ImageInput) -> int:
    """The side in pixels to resize to before the centre crop: 256 for 224 at 0.875.

    Rounded down as timm does; the small term keeps 224 / (224 / 232) at 232.
    """
    return math.floor(image_input.size / image_input.crop + 1e-3)


def _varied(
    image_input: ImageInput,
    flip: bool,
    min_scale: float,
    augment: Offer[AugmentationSpec] | None,
) -> Any:
    v2 = transforms().v2
    flip = flip and image_input.flip
    crop: Any = v2.RandomResizedCrop(
        image_input.size, scale=(min_scale, 1.0), interpolation=_interpolation(image_input)
    )
    if not image_input.random_crop:
        crop = _plain(image_input)
    elif image_input.crop_mode != "center":
        crop = _CropInProportion(image_input, min_scale)
    steps = [crop, v2.RandomHorizontalFlip()] if flip else [crop]
    if augment is not None:
        steps.append(Augment(augment, flip=flip))
    return v2.Compose(steps)


def _bands_steps(image_input: ImageInput, train: bool, mirrored: bool, min_scale: float) -> Step:
    """The steps for tensors, as :func:`_varied` and :func:`_plain` for images."""
    plain = plain_steps(image_input, resized(image_input))
    if not train:
        return plain
    if not image_input.random_crop:
        crop = plain
    elif image_input.crop_mode == "center":
        crop = crop_steps(image_input, min_scale)
    else:
        whole = replace(image_input, crop=1.0)
        crop = CropInProportion(min_scale, plain_steps(whole, whole.size))
    if not mirrored:
        return crop
    v2 = transforms().v2
    steps: Step = v2.Compose([crop, v2.RandomHorizontalFlip()])
    return steps


class _CropInProportion:
    """A random crop with about the image's aspect ratio, resized as in evaluation.

    A square crop would cut off most of a long image, which squashing and padding are meant to keep.
    """

    def __init__(self, image_input: ImageInput, min_scale: float) -> None:
        whole = replace(image_input, crop=1.0)
        self.scale = [min_scale, 1.0]
        self.resize = _plain(whole)

    def __call__(self, image: Image.Image) -> Image.Image:
        aspect = image.width / image.height
        top, left, height, width = transforms().RandomResizedCrop.get_params(
            image, self.scale, [aspect * 3 / 4, aspect * 4 / 3]
        )
        crop = image.crop((left, top, left + width, top + height))
        prepared: Image.Image = self.resize(crop)
        return prepared


def _plain(image_input: ImageInput) -> _Plain:
    """As torchvision's ``Resize`` and ``CenterCrop``, whose import takes a tenth of torch's."""
    before = resized(image_input)
    resample = Image.Resampling[image_input.interpolation.upper()]
    fit: Mapping[CropMode, Sequence[Callable[[Image.Image], Image.Image]]] = {
        "border": [_FitLonger(before, image_input)],
        "squash": [_Resize(before, resample, squash=True)],
        "center": [_middle, _Resize(before, resample)],
    }
    return _Plain([*fit[image_input.crop_mode], _CenterCrop(image_input.size)])


class _Plain:
    """Steps one after the other."""

    def __init__(self, steps: Sequence[Callable[[Image.Image], Image.Image]]) -> None:
        self.steps = steps

    def __call__(self, image: Image.Image) -> Image.Image:
        for step in self.steps:
            image = step(image)
        return image


class _Resize:
    """Resize the shorter side to ``side`` pixels; with ``squash`` both sides."""

    def __init__(self, side: int, resample: Image.Resampling, *, squash: bool = False) -> None:
        self.side, self.resample, self.squash = side, resample, squash

    def __call__(self, image: Image.Image) -> Image.Image:
        shorter = min(image.size)
        width, height = (
            self.side if self.squash or side == shorter else int(self.side * side / shorter)
            for side in image.size
        )
        same = (width, height) == image.size
        return image if same else image.resize((width, height), self.resample)


class _CenterCrop:
    """Crop the middle of an image that is as large or larger."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, image: Image.Image) -> Image.Image:
        left, top = (round((side - self.size) / 2) for side in image.size)
        return image.crop((left, top, left + self.size, top + self.size))


def _middle(image: Image.Image) -> Image.Image:
    """Crop an image with an aspect ratio of 16 or more to its middle.

    The rest would be cropped anyway, after taking gigabytes: 1 x 20,000 pixels would be resized to
    256 x 5,120,000.
    """
    width, height = image.size
    left, top = (
        (side - LONGEST * other) // 2 for side, other in ((width, height), (height, width))
    )
    left, top = max(0, left), max(0, top)
    return image.crop((left, top, width - left, height - top)) if left or top else image


class _FitLonger:
    """Resize the longer side to ``longer`` pixels, and pad to a square with the mean colour."""

    def __init__(self, longer: int, image_input: ImageInput) -> None:
        self.longer = longer
        self.side = max(longer, image_input.size)
        self.colour = tuple(round(255 * mean) for mean in image_input.mean)
        self.resample = Image.Resampling[image_input.interpolation.upper()]

    def __call__(self, image: Image.Image) -> Image.Image:
        scale = self.longer / max(image.size)
        width, height = (max(1, round(side * scale)) for side in image.size)
        deep = image.mode == "F"
        colour = sum(self.colour) / len(self.colour) if deep else self.colour
        square = Image.new(image.mode, (self.side, self.side), colour)
        resized = image.resize((width, height), self.resample)
        square.paste(resized, ((self.side - width) // 2, (self.side - height) // 2))
        return square


def _interpolation(image_input: ImageInput) -> Any:
    return transforms().InterpolationMode[image_input.interpolation.upper()]
