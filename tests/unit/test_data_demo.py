"""The embedded demo data."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tests.opened import demo_data
from zoo.errors import ClassesError
from zoo.modalities import IMAGE, TEXT
from zoo.modalities.image.reading import read_image


def test_digits_are_small_images_that_may_not_be_mirrored():
    splits = demo_data(IMAGE)
    assert splits.classes == tuple("0123456789")
    assert len(splits.train) + len(splits.val) == 1797
    assert len(splits.val) == pytest.approx(0.2 * 1797, abs=5)
    assert splits.source == "demo/digits"
    assert splits.image_size == 32
    assert not splits.flip
    image = read_image(splits.train.raw(0))
    assert image.size == (8, 8)
    assert np.asarray(image).max() > 200


def test_digits_carry_their_labels():
    from sklearn.datasets import load_digits

    data = load_digits()
    splits = demo_data(IMAGE, classes=5)
    assert splits.classes == tuple("01234")
    for i in range(0, len(splits.val), 20):
        position = int(splits.val.input(i).rsplit(" ", 1)[1]) - 1
        assert splits.val.labels[i] == data.target[position]
        grey = np.asarray(splits.val.raw(i))[..., 0] / 255 * 16
        assert np.abs(grey - data.images[position]).max() < 0.1


def test_messages_have_five_topics_and_no_text_twice():
    splits = demo_data(TEXT)
    assert len(splits.classes) == 5
    texts = [s.raw(i) for s in (splits.train, splits.val) for i in range(len(s))]
    assert len(set(texts)) == len(texts)
    counts = Counter(splits.train.labels.tolist()) + Counter(splits.val.labels.tolist())
    assert min(counts.values()) >= 100
    assert not any("{" in text for text in texts)
    assert splits.source == "demo/messages"


@pytest.mark.parametrize("modality", [IMAGE, TEXT])
def test_the_seed_decides(modality):
    first, again, other = (demo_data(modality, classes=3, seed=s) for s in (1, 1, 2))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert np.array_equal(first.val.labels, again.val.labels)


@pytest.mark.parametrize(("modality", "most"), [(IMAGE, 10), (TEXT, 5)])
@pytest.mark.parametrize("classes", [-1, 0, 1, 11])
def test_an_impossible_number_of_classes(modality, most, classes):
    with pytest.raises(ClassesError, match=f"2.*{most}"):
        demo_data(modality, classes=classes)
