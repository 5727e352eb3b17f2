"""Batches in which each class comes equally often."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.opened import make_loader
from tests.unit.test_data_loader import WORDS, texts
from zoo import BackboneSpec, ImageInput
from zoo.contract.spec import TextInput
from zoo.data.balance import balanced_probabilities, repetitions
from zoo.data.batch_order import BatchOrder
from zoo.data.samples import Samples
from zoo.data.sequences import Listed, Paths
from zoo.engine.loader_factory import LoaderFactory
from zoo.errors import UsageError
from zoo.modalities import IMAGE, TEXT
from zoo.modalities.image.transforms import make_transform
from zoo.modalities.text.tokenization import TextEncoder, train_tokenizer

LABELS = np.array([0] * 90 + [1] * 9 + [2])


def batches(epoch: int = 0, **options) -> list[list[tuple[int, int]]]:
    settings = {"batch_size": 16, "shuffle": True, "seed": 3, "drop_last": False}
    made = BatchOrder(100, **settings | {"probabilities": balanced_probabilities(LABELS)} | options)
    made.epoch = epoch
    return list(made)


def drawn(epoch: int = 0, **options) -> list[int]:
    return [index for batch in batches(epoch, **options) for _, index in batch]


def test_an_epoch_has_as_many_samples_with_each_class_equally_often():
    counts = Counter(int(LABELS[i]) for epoch in range(30) for i in drawn(epoch))
    assert sum(counts.values()) == 3_000
    # 1,000 of each, give or take five standard deviations
    assert all(abs(counts[c] - 1_000) < 130 for c in range(3))
    assert [len(batch) for batch in batches()] == [16] * 6 + [4]


def test_seed_and_epoch_alone_decide_what_is_drawn():
    assert batches(4) == batches(4)
    assert drawn(4) != drawn(5)
    assert drawn(4) != drawn(4, seed=2)


def test_without_shuffling_every_sample_comes_once():
    assert drawn(shuffle=False) == list(range(100))


def test_no_draw_of_a_sample_has_the_variation_of_another():
    keys = [key for epoch in range(3) for batch in batches(epoch) for key in batch]
    assert len(set(keys)) == len(keys)
    firsts = [key for batch in batches(2) for key in batch if key[0] == 2]
    assert len(firsts) == len(set(drawn(2)))


def test_processes_share_the_draws_and_an_epoch_can_begin_in_its_middle():
    whole = batches(2)
    shares = [batches(2, share=(rank, 2)) for rank in range(2)]
    for keys, first, second in zip(whole, *shares, strict=True):
        assert (first, second) == (keys[::2], keys[1::2])
    chances = balanced_probabilities(LABELS)
    made = BatchOrder(
        100, batch_size=16, shuffle=True, seed=3, drop_last=False, probabilities=chances
    )
    made.epoch, made.start = 2, 3
    assert list(made) == whole[3:]


def test_chances_of_single_labels_are_even_over_the_classes_that_occur():
    chances = balanced_probabilities(np.array([0, 0, 0, 3]))
    assert chances.tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])


def test_chances_of_several_labels_are_those_of_drawing_a_class_and_then_a_sample():
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 0, 0]], dtype=np.float32)
    # two classes occur, and to have none is the third; the sample in front of two gets both
    expected = [1 / 9, 1 / 9 + 1 / 3, 1 / 3, 1 / 9]
    assert balanced_probabilities(labels).tolist() == pytest.approx(expected)
    assert balanced_probabilities(labels[:2]).sum() == pytest.approx(1)


@pytest.mark.parametrize("labels", [None, np.array([[0.5], [1.0]])])
def test_numbers_have_no_balance(labels):
    with pytest.raises(UsageError, match="balanced") as error:
        balanced_probabilities(labels)
    assert "--balanced" in error.value.hint


def test_repetitions_count_what_came_before():
    assert repetitions(np.array([7, 3, 7, 7, 0, 3])).tolist() == [0, 0, 1, 2, 0, 1]


def test_balanced_texts_of_like_length_still_come_together():
    generator = np.random.default_rng(0)
    sizes = generator.integers(1, 40, 400)
    items = tuple(" ".join(generator.choice(WORDS, size=size)) for size in sizes)
    labels = (np.arange(400) % 20 == 0).astype(np.int64)
    samples = Samples(TEXT, Listed(items, tuple(map(str, range(400)))), labels)
    encoder = TextEncoder(train_tokenizer(texts().inputs.items, 200), TextInput(max_length=16))
    loader = make_loader(samples, encoder=encoder, batch_size=8, shuffle=True, balanced=True)
    made = list(loader)
    seen = torch.cat([batch["labels"] for batch in made])
    assert len(seen) == 400
    assert 150 < seen.sum() < 250
    masks = [batch["attention_mask"] for batch in made]
    assert sum(m.sum() for m in masks) / sum(m.numel() for m in masks) > 0.95


@pytest.fixture
def images(tmp_path: Path) -> Samples:
    for i in range(8):
        pixels = np.random.default_rng(i).integers(0, 256, (24, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    labels = np.array([0] * 7 + [1])
    return Samples(IMAGE, Paths.under(tmp_path, [f"{i}.png" for i in range(8)]), labels)


def test_an_image_that_is_drawn_again_is_varied_again(images):
    transform = make_transform(ImageInput(size=16), True)
    loader = make_loader(
        images, transform=transform, batch_size=8, shuffle=True, seed=1, balanced=True
    )
    (batch,) = loader
    again = batch["pixel_values"][batch["index"] == 7]
    assert len(again) > 1
    assert len(again.unique(dim=0)) == len(again)
    assert (batch["labels"] == torch.from_numpy(images.labels)[batch["index"]]).all()


def test_a_feed_balances_training_and_nothing_else(images):
    spec = BackboneSpec(
        name="test/small",
        modality="image",
        feature_dim=8,
        params=0,
        input=ImageInput(size=16),
        loader="nowhere:load",
    )
    loaders = LoaderFactory(spec=spec, balanced=True, workers=0)
    seen = [
        label
        for epoch in range(20)
        for loader in [loaders.shuffled(images, batch_size=4)]
        if loader.set_epoch(epoch) is None
        for batch in loader
        for label in batch["labels"].tolist()
    ]
    assert 50 < sum(seen) < 110  # of 160; 20 without balance
    (plain,) = loaders.plain(images)
    assert plain["index"].tolist() == list(range(8))
