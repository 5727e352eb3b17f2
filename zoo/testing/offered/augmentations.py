"""Augmentations of images, applied as in training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from zoo.contract.extensions import AugmentationSpec
from zoo.modalities import modality_named
from zoo.modalities.image.augmenting import Augment, BatchAugment
from zoo.registry.offers import Offer
from zoo.system.tensors.draws import Draws
from zoo.system.tensors.seeds import seed_devices

SIDE, SEEDS, COUNT = 32, 4, 8
"""Pixels of the images; how often each is augmented; images of a batch."""


def check_augmentation(offer: Offer[AugmentationSpec]) -> None:
    """Augment images of bytes and of floats; raises where the result cannot be trained on."""
    modality = modality_named(offer.value.modality)
    takes = "augment" in modality.options
    assert takes, f"{offer} is for {modality.nouns}, which have no --augment"
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    for flip in (True, False):
        for image in (Image.fromarray(noise), Image.fromarray(noise[:, :, 0].astype(np.float32))):
            _check(offer, image, flip=flip)
        if offer.value.apply_batch:
            _check_batch(offer, flip=flip)


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


def _check_batch(offer: Offer[AugmentationSpec], *, flip: bool) -> None:
    """What an image becomes must not depend on the batch that it is in."""
    noise = np.random.default_rng(0).integers(0, 256, (COUNT, 3, SIDE, SIDE), dtype=np.uint8)
    images, augment = torch.from_numpy(noise), BatchAugment(offer, flip=flip)
    before, keys = images.clone(), [(0, index) for index in range(COUNT)]
    whole = augment(images, Draws(0, keys))
    assert torch.equal(images, before), (
        f"the apply_batch of {offer} changes the images that it is given; augment a copy"
    )
    for part in (slice(0, 1), slice(1, COUNT)):
        found = augment(images[part], Draws(0, keys[part]))
        assert torch.equal(found, whole[part]), (
            f"the apply_batch of {offer} augments an image differently in another batch; draw "
            "random numbers from draw alone, and use those of its own row for each image"
        )
