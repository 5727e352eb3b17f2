"""Augmentations of images, applied as in training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from zoo.contract.extensions import AugmentationSpec
from zoo.modalities import modality_named
from zoo.modalities.image.augmenting import Augment
from zoo.registry.offers import Offer
from zoo.system.tensors.seeds import seed_devices

SIDE, SEEDS = 32, 4
"""Pixels of the images; how often each is augmented."""


def check_augmentation(offer: Offer[AugmentationSpec]) -> None:
    """Augment images of bytes and of floats; raises where the result cannot be trained on."""
    modality = modality_named(offer.value.modality)
    takes = "augment" in modality.options
    assert takes, f"{offer} is for {modality.nouns}, which have no --augment"
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    for image in (Image.fromarray(noise), Image.fromarray(noise[:, :, 0].astype(np.float32))):
        for flip in (True, False):
            _check(offer, image, flip=flip)


def _check(offer: Offer[AugmentationSpec], image: Image.Image, *, flip: bool) -> None:
    before, augment = image.copy(), Augment(offer, flip=flip)
    for seed in range(SEEDS):
        first, second = (_augmented(augment, image, seed) for _ in range(2))
        unchanged = np.array_equal(np.asarray(image), np.asarray(before))
        assert unchanged, f"{offer} changes the image that it is given; augment a copy"
        assert np.isfinite(first).all(), f"{offer}: pixels are not finite"
        assert np.array_equal(first, second), (
            f"{offer}: two images from one seed; draw random numbers from torch, NumPy or random alone"
        )


def _augmented(augment: Augment, image: Image.Image, seed: int) -> NDArray[Any]:
    with torch.random.fork_rng():
        seed_devices(seed)
        return np.asarray(augment(image))
