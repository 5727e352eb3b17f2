"""Augmentation of training images beyond crops and flips."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.contract.extensions import AugmentationSpec, imported
from zoo.errors import first_line
from zoo.modalities.image.channels import COLOURED
from zoo.registry.offers import Offer
from zoo.system.tensors.draws import Draws
from zoo.system.tensors.seeds import seeded
from zoo.system.tensors.torchvision_operators import transforms


class BatchAugment:
    """Applies an augmentation to a batch of cropped and resized images, on its device.

    Args:
        offer: With ``apply_batch``.
        flip: Whether a mirrored image still shows its class.
    """

    def __init__(self, offer: Offer[AugmentationSpec], *, flip: bool) -> None:
        self._offer, self._flip = offer, flip

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """The augmented images, as ``images``: ``(B, 3, size, size)``, uint8.

        Raises:
            PluginError: A plugin's function fails, or returns something else.
        """
        augment = imported(self._offer.value.apply_batch)
        if not self._offer.plugin:
            augmented: Tensor = augment(images, flip=self._flip, draw=draws)
            return augmented
        try:
            with seeded(int(draws(1)[0, 0] * 2**53)), _seeded():
                given = augment(images, flip=self._flip, draw=draws)
        except Exception as error:  # whatever the plugin raises
            raised = first_line(error, kind=True)
            raise self._offer.broken(f"its {self._offer} raised {raised}") from error
        expected = (images.shape, images.dtype, images.device)
        if not isinstance(given, Tensor) or (given.shape, given.dtype, given.device) != expected:
            shown = getattr(given, "shape", given), getattr(given, "dtype", type(given).__name__)
            raise self._offer.broken(
                f"the apply_batch of its {self._offer} returned {shown}, not a tensor of "
                f"{images.dtype} {tuple(images.shape)} on {images.device}"
            )
        return given


class Augment:
    """Applies an augmentation to a cropped and resized image. Can be pickled.

    Args:
        offer: zoo's own, or a plugin's.
        flip: Whether a mirrored image still shows its class.
    """

    def __init__(self, offer: Offer[AugmentationSpec], *, flip: bool) -> None:
        self._offer, self._flip = offer, flip

    def __call__(self, image: Image.Image) -> Image.Image | Tensor:
        """The augmented image, or float32 ``(3, size, size)`` of 0 to 255.

        Raises:
            PluginError: A plugin's function fails, or returns something else.
        """
        if not self._offer.plugin:
            augmented: Image.Image | Tensor = imported(self._offer.value.apply)(
                image, flip=self._flip
            )
            return augmented
        try:
            with _seeded():
                given = imported(self._offer.value.apply)(image, flip=self._flip)
        except Exception as error:  # whatever the plugin raises
            raised = first_line(error, kind=True)
            raise self._offer.broken(f"its {self._offer} raised {raised}") from error
        if (
            not isinstance(given, Image.Image)
            or given.size != image.size
            or given.mode != image.mode
        ):
            raise self._offer.broken(
                f"its {self._offer} returned {given!r}, not an image of mode {image.mode} and size "
                f"{image.width} x {image.height}"
            )
        return given

    def on_tensor(self, pixels: Tensor) -> Tensor:
        """The augmented pixels ``(C, size, size)`` of 0 to 255, in their own type.

        A plugin's function gets images of Pillow's, so three channels are rounded to bytes for it.
        """
        if not self._offer.plugin:
            return trivial_bands(pixels, flip=self._flip)
        bands = pixels.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
        image = self(Image.fromarray(np.ascontiguousarray(bands.numpy())))
        assert isinstance(image, Image.Image)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).to(pixels.dtype)


@contextmanager
def _seeded() -> Iterator[None]:
    """Seed NumPy and ``random`` from torch, whose state depends on sample and epoch."""
    seed = int(torch.randint(2**32, ()))
    numpy_state, state = np.random.get_state(), random.getstate()
    np.random.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(state)


def trivial(image: Image.Image, *, flip: bool) -> Image.Image | Tensor:
    """One operation of TrivialAugment Wide, drawn at random with its strength.

    Müller and Hutter 2021, arXiv:2103.10158: shear, translate, rotate, brightness, colour,
    contrast, sharpness, posterise, solarise, equalise, or identity. Without ``flip``, images are not
    rotated: at up to 135 degrees a 6 becomes a 9, and classes that must not be mirrored can mostly
    not be rotated either. The other operations keep the orientation.
    """
    if image.mode == "F":  # Pillow's own operations know bytes alone
        grey = torch.from_numpy(np.array(image)).clamp_(0, 255).expand(3, -1, -1)
        shares = _trivial(flip)(grey / 255)  # (3, size, size)
        return torch.as_tensor(shares).clamp(0, 1) * 255
    varied: Image.Image = _trivial(flip)(image)
    return varied


_GEOMETRIC = frozenset(("Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"))


def trivial_bands(pixels: Tensor, *, flip: bool) -> Tensor:
    """:func:`trivial` of ``(C, H, W)`` of 0 to 255; of other channels only geometric operations."""
    varied: Tensor = _trivial(flip, pixels.shape[-3] not in COLOURED)(pixels.float() / 255)
    varied = varied.clamp(0, 1) * 255
    return varied if pixels.dtype == torch.float32 else varied.round().to(torch.uint8)


@cache
def _trivial(rotate: bool, geometric: bool = False) -> Any:
    """TrivialAugment Wide; apart from what is pickled, because its operations cannot be."""
    transform = transforms().v2.TrivialAugmentWide()
    # no option of torchvision's leaves one out
    transform._AUGMENTATION_SPACE = {
        name: how
        for name, how in transform._AUGMENTATION_SPACE.items()
        if (rotate or name != "Rotate") and (not geometric or name in _GEOMETRIC)
    }
    return transform
