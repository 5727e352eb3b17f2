"""TrivialAugment on training images."""

from __future__ import annotations

import pickle

import numpy as np
import torch
from PIL import Image

from zoo import BackboneSpec, ImageInput
from zoo.data.samples import Samples
from zoo.data.sequences import Listed
from zoo.engine.loader_factory import LoaderFactory
from zoo.modalities import IMAGE
from zoo.modalities.augmentations import find_augmentation
from zoo.modalities.image.transforms import make_transform

TRIVIAL = find_augmentation("trivial", "image")

INPUT = ImageInput(size=48)


def image() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 70, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_it_comes_after_crop_and_mirror_image_which_stay_the_same():
    plain = make_transform(INPUT, True)
    varied = make_transform(INPUT, True, augment=TRIVIAL)
    both = [(plain(image(), seed=s), varied(image(), seed=s)) for s in range(60)]
    assert all(b.shape == (3, 48, 48) and b.isfinite().all() for _, b in both)
    same = sum(torch.equal(a, b) for a, b in both)
    # one operation in fourteen does nothing, and others do nothing at their weakest
    assert 1 <= same < 20


def test_the_seed_decides_and_torchs_own_state_stays():
    varied = make_transform(INPUT, True, augment=TRIVIAL)
    state = torch.get_rng_state()
    first = [varied(image(), seed=s) for s in range(5)]
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    assert all(torch.equal(varied(image(), seed=s), first[s]) for s in range(5))


def test_validation_is_as_without():
    plain = make_transform(INPUT, False)
    assert torch.equal(make_transform(INPUT, False, augment=TRIVIAL)(image()), plain(image()))


def test_it_can_be_sent_to_a_worker_process():
    varied = make_transform(INPUT, True, augment=TRIVIAL, flip=False)
    varied(image(), seed=0)
    copy = pickle.loads(pickle.dumps(varied))
    assert all(torch.equal(copy(image(), seed=s), varied(image(), seed=s)) for s in range(10))


def test_what_must_not_be_mirrored_is_not_turned_either(monkeypatch):
    make_transform(INPUT, True)  # makes the import possible
    from torchvision.transforms import v2

    applied = set()
    original = v2.TrivialAugmentWide._apply_image_or_video_transform

    def recorded(self, image, operation, *arguments, **options):
        applied.add(operation)
        return original(self, image, operation, *arguments, **options)

    monkeypatch.setattr(v2.TrivialAugmentWide, "_apply_image_or_video_transform", recorded)
    found = {}
    for flip in (True, False):
        varied = make_transform(INPUT, True, flip=flip, augment=TRIVIAL)
        applied.clear()
        for seed in range(250):
            varied(image(), seed=seed)
        found[flip] = set(applied)
    assert len(found[True]) == 14
    assert found[True] - found[False] == {"Rotate"}


def test_a_feed_augments_training_and_nothing_else():
    spec = BackboneSpec(
        name="test/small",
        modality="image",
        feature_dim=8,
        params=0,
        input=INPUT,
        loader="nowhere:load",
    )
    plain, trivial = (LoaderFactory(spec=spec, augment=augment) for augment in (None, TRIVIAL))
    seeds = range(10)
    samples = Samples(IMAGE, Listed((image(),), ("1",)))

    def differs(train: bool) -> bool:
        readers = [
            (loaders.view(samples, 0) if train else loaders.plain(samples)).reader
            for loaders in (plain, trivial)
        ]
        one, other = (reader.transform for reader in readers)
        return any(not torch.equal(one(image(), seed=s), other(image(), seed=s)) for s in seeds)

    assert differs(train=True)
    assert not differs(train=False)
