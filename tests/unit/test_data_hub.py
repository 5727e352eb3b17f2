"""Hub datasets, without the Hub."""

from __future__ import annotations

import time

import pytest

datasets = pytest.importorskip("datasets")

from tests.opened import open_data
from zoo.data.sources import hub
from zoo.errors import DataError
from zoo.modalities import IMAGE, TEXT


def published(**splits: dict[str, list[object]]):
    features = datasets.Features(
        sentence=datasets.Value("string"), label=datasets.ClassLabel(names=["negative", "positive"])
    )
    return datasets.DatasetDict(
        {name: datasets.Dataset.from_dict(rows, features=features) for name, rows in splits.items()}
    )


def rows(count: int, label: int | None = None) -> dict[str, list[object]]:
    return {
        "sentence": [f"sentence {i}" for i in range(count)],
        "label": [i % 2 if label is None else label for i in range(count)],
    }


@pytest.fixture
def serve(monkeypatch):
    asked = []

    def serving(data):
        def load(name, config):
            asked.append((name, config))
            return data

        monkeypatch.setattr(hub, "_load", load)
        return asked

    return serving


def test_splits_and_class_names_are_the_publisher_s(serve):
    asked = serve(published(train=rows(8), validation=rows(4), test=rows(6, label=-1)))
    splits = open_data("hf:glue:sst2", kind=TEXT)
    assert asked == [("glue", "sst2")]
    assert splits.classes == ("negative", "positive")
    assert (len(splits.train), len(splits.val)) == (8, 4)
    assert splits.source == "hf:glue:sst2"
    assert splits.train.input(2) == "hf:glue:sst2 train row 3"


def test_a_published_test_split_without_labels_leaves_the_evaluation_to_validation(serve):
    serve(published(train=rows(8), validation=rows(4), test=rows(6, label=-1)))
    splits = open_data(
        "hf:org/x", kind=TEXT, need="evaluate", known_classes=("negative", "positive")
    )
    assert {n: len(s) for n, s in splits.to_evaluate(trained_on="").items()} == {"val": 4}


def test_a_data_set_without_validation_is_split(serve):
    serve(published(train=rows(20)))
    splits = open_data("hf:x", kind=TEXT)
    assert (len(splits.train), len(splits.val)) == (16, 4)


def test_images_of_the_hub_are_read(serve):
    from PIL import Image

    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=["cat", "dog"])
    )
    images = [Image.new("RGB", (8, 8), (i, 0, 0)) for i in range(10)]
    data = {"image": images, "label": [i % 2 for i in range(10)]}
    serve(datasets.DatasetDict(train=datasets.Dataset.from_dict(data, features=features)))
    splits = open_data("hf:pets", kind=IMAGE)
    assert (len(splits.train), len(splits.val)) == (8, 2)
    with pytest.raises(DataError, match="takes texts"):
        open_data("hf:pets", kind=TEXT)


def test_other_splits_are_named(serve):
    serve(published(unsupervised=rows(4)))
    with pytest.raises(DataError, match="its splits: unsupervised"):
        open_data("hf:x", kind=TEXT)


def test_out_of_reach_is_said_within_seconds(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    before = (constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE)
    start = time.monotonic()
    with pytest.raises(DataError, match="'nobody/nothing'") as caught:
        open_data("hf:nobody/nothing", kind=TEXT)
    assert time.monotonic() - start < 5
    assert "--data PATH" in caught.value.hint
    assert before == (constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE)


def test_what_the_hub_answers_instead_is_said_in_its_first_line(monkeypatch):
    def refuse(name, config):
        raise ValueError("BuilderConfig 'sst9' not found.\nAvailable: a, b")

    monkeypatch.setattr(hub, "hub_reachable", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", refuse)
    message = "'glue' of the Hugging Face Hub failed: BuilderConfig 'sst9' not found"
    with pytest.raises(DataError, match=message) as caught:
        open_data("hf:glue:sst9", kind=TEXT)
    assert ":<configuration>" in caught.value.hint
