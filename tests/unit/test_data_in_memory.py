"""Lists, DataFrames, ``datasets``, torch datasets and mappings are read as files are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas
import pytest
import torch
from PIL import Image

import zoo
from tests.end_to_end.test_resume import StopsAt
from tests.opened import open_data, open_rows, open_subsample
from zoo.engine.progress import Quiet
from zoo.errors import BadFilesError, DataError, RunError, Stopped
from zoo.modalities import IMAGE, TEXT

TEXTS = [(f"good film {i}" if i % 2 else f"bad film {i}", i % 2) for i in range(20)]
FRAME = pandas.DataFrame(TEXTS, columns=["text", "label"])


def _pixels(i: int) -> np.ndarray[Any, Any]:
    pixels = np.random.default_rng(i).integers(0, 60, (24, 24, 3), dtype=np.uint8)
    pixels[..., i % 2] += 150
    return pixels


IMAGES = [(_pixels(i), ["red", "green"][i % 2]) for i in range(20)]


class Items(torch.utils.data.Dataset[Any]):
    """Tensors of bytes, ``(C, H, W)``, with labels as tensors."""

    classes = ("red", "green")

    def __len__(self) -> int:
        return len(IMAGES)

    def __getitem__(self, index: int) -> Any:
        if index >= len(IMAGES):
            raise IndexError(index)
        pixels = torch.from_numpy(IMAGES[index][0]).permute(2, 0, 1)
        return pixels, torch.tensor(index % 2)


def test_texts_in_memory_are_split_and_fingerprinted_as_their_table(tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "texts.csv", index=False)
    file = open_data(tmp_path / "texts.csv", kind=TEXT)
    dataset = datasets.Dataset.from_pandas(FRAME)
    turned = dataset.select(range(19, -1, -1)).select(range(19, -1, -1))
    for given in (TEXTS, FRAME, dataset, turned):
        splits = open_data(given, kind=TEXT)
        assert splits.fingerprint == file.fingerprint
        assert splits.source == f"memory:{type(given).__name__}"
        assert splits.val is not None
        assert [splits.val.raw(i) for i in range(4)] == [file.val.raw(i) for i in range(4)]  # type: ignore[union-attr]


def test_images_in_memory_are_the_same_as_arrays_images_and_tensors() -> None:
    frame = pandas.DataFrame({"photo": [a for a, _ in IMAGES], "label": [b for _, b in IMAGES]})
    listed = [(Image.fromarray(a), label) for a, label in IMAGES]
    found = {open_data(given, kind=IMAGE).fingerprint for given in (IMAGES, listed, frame, Items())}
    assert len(found) == 1
    assert open_data(Items(), kind=IMAGE).classes == ("green", "red")
    part, _ = torch.utils.data.random_split(Items(), [16, 4])
    assert open_data(part, kind=IMAGE).classes == ("green", "red")


def test_splits_leaks_and_paths_in_a_mapping(tmp_path: Path) -> None:
    for i, (pixels, _) in enumerate(IMAGES):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    listed = [(str(tmp_path / f"{i}.png"), label) for i, (_, label) in enumerate(IMAGES)]
    splits = open_data({"train": listed[:14], "validation": listed[12:]}, kind=IMAGE)
    assert (len(splits.train), len(splits.val or ())) == (14, 8)
    assert [pair.held_out for pair in splits.shared] == [listed[12][0], listed[13][0]]
    FRAME.to_csv(tmp_path / "train.csv", index=False)
    mixed = open_data({"train": tmp_path / "train.csv", "val": FRAME[:4]}, kind=TEXT)
    assert len(mixed.shared) == 4
    halves = datasets.Dataset.from_pandas(FRAME).train_test_split(0.5, seed=0)
    evaluated = open_data(halves, kind=TEXT, need="evaluate")
    assert (evaluated.val, len(evaluated.test or ())) == (None, 10)


def test_labels_of_every_task_and_inputs_without_labels() -> None:
    several = [(text, ["a", "b"] if label else ["a"]) for text, label in TEXTS]
    assert open_data(several, kind=TEXT).task == "multi-label"
    numbers = [(text, float(i)) for i, (text, _) in enumerate(TEXTS)]
    assert open_data(numbers, kind=TEXT, task="regression").task == "regression"
    pairs = [((text, "second"), label) for text, label in TEXTS]
    assert open_data(pairs, kind=TEXT).train.raw(0) == ("bad film 0", "second")
    rows = open_rows([text for text, _ in TEXTS], kind=TEXT)
    assert (len(rows), rows.task) == (20, None)
    assert open_rows([pixels for pixels, _ in IMAGES], kind=IMAGE).classes == ()
    assert open_subsample(IMAGES, samples=10, kinds=(IMAGE, TEXT)).kind == IMAGE


def _without_a_label() -> pandas.DataFrame:
    frame = FRAME.astype({"label": float})
    frame.loc[3, "label"] = np.nan
    return frame


class Broken(Items):
    def __getitem__(self, index: int) -> Any:
        raise OSError("no disk")


class Unlabelled(Items):
    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index)[0]


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (_without_a_label, TEXT, "DataFrame row 4: no label in column 'label'"),
        (lambda: [*TEXTS, ("a", None)], TEXT, "list row 21: no label"),
        (lambda: FRAME[["text"]], TEXT, "DataFrame has no column of labels"),
        (lambda: [text for text, _ in TEXTS], TEXT, "list has no labels"),
        (lambda: [*TEXTS, "x"], TEXT, "item 21 of list is a str"),
        (list, TEXT, "list is empty"),
        (lambda: FRAME[:0], TEXT, "DataFrame has no rows"),
        (lambda: iter(TEXTS), TEXT, "cannot be of type list_iterator"),
        (lambda: {"text": ["a"], "label": [1]}, TEXT, "names of splits, got 'text', 'label'"),
        (lambda: {"train": "memory:x"}, TEXT, "memory:x was data in memory"),
        (lambda: IMAGES, TEXT, "item 1 of list is a ndarray, but the model takes texts"),
        (lambda: TEXTS, IMAGE, "item 1 of list is a text"),
        (lambda: [(np.zeros((2, 2, 2, 3)), 0), IMAGES[1]], IMAGE, "item 1 of list is a ndarray"),
        (lambda: [(np.zeros((0, 4, 3)), 0), IMAGES[1]], IMAGE, "list item 1: has no pixels"),
        (lambda: pandas.DataFrame({"text": ["a", 3], "label": [0, 1]}), TEXT, "as a table"),
        (lambda: [("a", 0), ("b", object())], TEXT, "the labels of list cannot be read"),
        (lambda: torch.utils.data.Subset(Items(), []), IMAGE, "Subset has no items"),
        (Broken, IMAGE, "Broken raised an error at index 0: OSError: no disk"),
        (Unlabelled, IMAGE, "item 1 of Unlabelled is a Tensor, not (input, label)"),
    ],
)
def test_what_cannot_be_trained_on_is_named(make: Callable[[], Any], kind: Any, words: str) -> None:
    with pytest.raises(DataError) as error:
        open_data(make(), kind=kind)
    assert words in error.value.message
    assert error.value.hint


def test_a_path_with_splits_of_its_own_is_no_split(tmp_path: Path) -> None:
    for name in ("train", "val"):
        FRAME.to_csv(tmp_path / f"{name}.csv", index=False)
    with pytest.raises(DataError, match="itself split: train, val"):
        open_data({"train": tmp_path, "val": FRAME}, kind=TEXT)


class Flipped(Items):
    """As :class:`Items`, but mirrored at random."""

    def __getitem__(self, index: int) -> Any:
        pixels, label = super().__getitem__(index)
        return (pixels.flip(2) if torch.rand(()) < 0.5 else pixels), label


def test_random_transforms_of_a_dataset_are_reported() -> None:
    assert open_data(Items(), kind=IMAGE).notes == ()
    [note] = open_data(Flipped(), kind=IMAGE).notes
    assert note.startswith("items of Flipped differ each time they are read")


def test_bad_samples_are_skipped_and_reported() -> None:
    frame = pandas.DataFrame({"image": [a for a, _ in IMAGES], "label": [b for _, b in IMAGES]})
    frame.at[2, "image"] = None
    with pytest.raises(BadFilesError, match="DataFrame row 3: there is no image"):
        open_data(frame, kind=IMAGE)
    splits = open_data(frame, kind=IMAGE, bad_files="skip")
    assert splits.skipped == ("DataFrame row 3: there is no image",)


def test_a_run_in_memory_is_recorded_stopped_and_resumed_with_its_data(tmp_path: Path) -> None:
    options: dict[str, Any] = {"image_size": 16, "epochs": 2, "batch_size": 8, "report": False}
    whole = zoo.finetune("cnn", IMAGES, output=tmp_path / "whole", reporter=Quiet(), **options)
    with pytest.raises(Stopped) as stopped:
        zoo.finetune("cnn", IMAGES, output=tmp_path / "run", reporter=StopsAt(3), **options)
    assert f"zoo.resume({str(tmp_path / 'run')!r}, data=" in stopped.value.hint
    with pytest.raises(DataError, match="memory:list was data in memory") as error:
        zoo.resume(tmp_path / "run", reporter=Quiet(), report=False)
    assert "zoo.resume(RUN, data=…), zoo.rerun(RUN, data=…)" in error.value.hint
    with pytest.raises(RunError, match="has changed"):
        zoo.resume(tmp_path / "run", data=IMAGES[:-1], reporter=Quiet(), report=False)
    run = zoo.resume(tmp_path / "run", data=IMAGES, reporter=Quiet(), report=False)
    assert run.record["sha256"] == whole.record["sha256"]
    assert run.record["data"]["source"] == "memory:list"
    assert run.record["data"]["memory"] == {"all": {"type": "builtins.list", "size": 20}}
    assert run.evaluate(IMAGES)["val"].metrics == run.metrics
    quiet: dict[str, Any] = {"reporter": Quiet(), "report": False}
    repeat = zoo.rerun(whole, data=IMAGES, output=tmp_path / "again", **quiet)
    assert (repeat.identical, repeat.differences) == (True, ())
    with pytest.raises(RunError, match=r"has changed .* \(20 samples then, 19 now\)"):
        zoo.rerun(whole.folder, data=IMAGES[:-1], output=tmp_path / "other", **quiet)
    assert not (tmp_path / "other").exists()
    with pytest.raises(RunError, match="already finished") as finished:
        zoo.resume(whole.folder, data=IMAGES)
    assert f'weights="{whole.folder}"' in str(finished.value)


def test_predictions_of_anything_in_memory_become_a_data_frame(tmp_path: Path) -> None:
    options: dict[str, Any] = {"image_size": 16, "epochs": 1, "report": False}
    run = zoo.finetune("cnn", IMAGES, output=tmp_path / "run", reporter=Quiet(), **options)
    pixels = IMAGES[0][0]
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    given = [pixels, pixels / 255, tensor, tensor / 255, Image.fromarray(pixels)]
    said = run.predict([*given, tmp_path / "a.png"])
    assert isinstance(said, list)
    assert {tuple(each.to_json()["probabilities"].values()) for each in said} == {
        tuple(said[0].to_json()["probabilities"].values())
    }
    frame = said.to_pandas()
    assert list(frame) == ["input", "label", "probabilities.green", "probabilities.red"]
    assert len(frame) == 6
    for single in (pixels, tensor, Image.fromarray(pixels), str(tmp_path / "a.png")):
        assert run.predict(single)[0].to_json()["label"] == frame["label"][0]
    assert len(run.predict(np.stack([pixels, pixels]))) == 2
    column = pandas.DataFrame({"image": [None, pixels]})
    nothing, label = run.predict(column, bad_files="skip").to_pandas()["label"]
    assert (pandas.isna(nothing), label) == (True, frame["label"][0])
    for swapped, words in (
        (column, "DataFrame row 1: there is no image"),
        (np.zeros((3, 20, 20), np.uint8), "an array of the shape"),
        (torch.zeros(20, 20, 3), "a tensor of the shape"),
    ):
        with pytest.raises(BadFilesError, match=words):
            run.predict(swapped)
    with pytest.raises(BadFilesError, match="more than 8 bits"):
        run.predict(pixels[..., 0].astype(np.float32))
