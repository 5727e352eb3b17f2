"""An evaluation never mixes in what the run was trained on, whatever has become of the data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.end_to_end.conftest import Zoo, write_photos
from zoo.engine.progress import Quiet
from zoo.errors import DataError, RunError
from zoo.runs.run import Run

QUICK: dict[str, Any] = {
    "epochs": 1,
    "image_size": 32,
    "workers": 0,
    "device": "cpu",
    "reporter": Quiet(),
    "report": False,
}


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on data without splits: 57 of 72 images trained on, 15 held out."""
    folder = tmp_path_factory.mktemp("colours")
    photos = write_photos(folder / "photos")
    return zoo.finetune("cnn", photos, **QUICK, output=folder / "run").folder


@pytest.fixture
def trained(once: Path, tmp_path: Path) -> Run:
    """A copy of it, which a test may change."""
    return zoo.open_run(shutil.copytree(once, tmp_path / "run"))


def test_a_renamed_file_leaves_the_same_held_out_samples(
    trained: Run, photos: Path, zoo_cli: Zoo
) -> None:
    before = zoo_cli("evaluate", trained.folder, "--data", photos, "--json").json
    assert (before["split"], before["samples"], before["left_out"]) == ("val", 15, 0)
    (photos / "blue" / "0.jpg").rename(photos / "blue" / "zzz.jpg")
    after = zoo_cli("evaluate", trained.folder, "--data", photos, "--json").json
    assert (after["split"], after["samples"], after["left_out"]) == ("unseen", 15, 57)
    for name in ("accuracy", "macro_f1"):
        assert after["metrics"][name] == pytest.approx(trained.metrics[name])
    printed = zoo_cli("evaluate", trained.folder, "--data", photos).out
    assert "(15 samples; 57 training samples left out)" in printed


def test_images_that_are_added_are_measured_with_those_held_out(trained: Run, photos: Path) -> None:
    for i in range(3):
        (photos / "red" / f"new{i}.jpg").write_bytes(
            (photos / "red" / f"{i}.jpg").read_bytes() + bytes([i])
        )
    measured = trained.evaluate(photos)["unseen"]
    assert (measured.samples, measured.left_out) == (18, 57)


def test_a_test_split_is_measured_without_the_images_that_were_trained_on(
    photos: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    for path in list(photos.glob("*/*.jpg")):
        split = {"0": "val", "1": "test"}.get(path.stem, "train")
        to = tmp_path / "split" / split / path.parent.name / path.name
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, to)
    data = tmp_path / "split"
    shutil.copy(data / "train" / "red" / "2.jpg", data / "val" / "red" / "same.jpg")
    run = zoo.finetune("cnn", data, **QUICK, output=tmp_path / "run")
    shutil.copy(data / "train" / "red" / "5.jpg", data / "test" / "red" / "other-name.jpg")
    results = run.evaluate(data)
    assert (results["test"].samples, results["test"].left_out) == (3, 1)
    own = results["val"]
    assert (own.samples, own.left_out, own.trained_on) == (4, 0, 1)
    assert own.metrics == run.metrics, "the run's own validation samples stay whole"
    printed = zoo_cli("evaluate", run.folder, "--data", data).out
    assert "(3 samples; 1 training sample left out)" in printed
    assert "(4 samples; 1 of them also in the training data)" in printed
    with pytest.raises(DataError, match=r"66.*'all'"):
        run.evaluate(data / "train")


def test_what_the_run_before_was_trained_on_is_left_out_too(
    trained: Run, photos: Path, tmp_path: Path
) -> None:
    few = tmp_path / "few"
    for path in photos.glob("*/*.jpg"):
        if path.stem in "01":
            (few / path.parent.name).mkdir(parents=True, exist_ok=True)
            (few / path.parent.name / path.name).write_bytes(path.read_bytes() + b"x")
    second = zoo.finetune(
        "cnn",
        few,
        **QUICK,
        weights=str(trained.folder / "model.safetensors"),
        output=tmp_path / "second",
    )
    measured = second.evaluate(photos)["unseen"]
    assert (measured.samples, measured.left_out) == (15, 57)


def test_a_report_on_data_says_what_is_left_out(trained: Run, photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "red" / "0.jpg", photos / "red" / "again.jpg")
    said, samples, words = trained.evaluated(photos)
    assert samples is not None
    assert len(said) == len(samples)
    assert words.startswith(f"samples of {photos}, without 5")


def test_texts_are_recognised_by_their_contents(tmp_path: Path) -> None:
    rows = [f"{'good' if i % 2 else 'bad'} film number {i},{i % 2}" for i in range(40)]
    table = tmp_path / "x.csv"
    table.write_text("\n".join(["text,label", *rows]) + "\n")
    run = zoo.finetune("lstm", table, epochs=1, device="cpu", report=False, output=tmp_path / "run")
    table.write_text("\n".join(["text,label", *reversed(rows), "A new one,1"]) + "\n")
    measured = run.evaluate(table)["unseen"]
    assert (measured.samples, measured.left_out) == (9, 32)


def test_a_run_that_has_lost_its_digests_says_so(trained: Run, photos: Path, zoo_cli: Zoo) -> None:
    digests = trained.folder / "trained_on.bin"
    assert digests.stat().st_size == 8 * 57
    digests.write_bytes(b"three")
    with pytest.raises(RunError, match=r"trained_on\.bin"):
        trained.evaluate(photos)
    digests.unlink()
    assert "was trained on" not in zoo_cli("evaluate", trained.folder, "--data", photos).err
    (photos / "blue" / "0.jpg").unlink()
    told = zoo_cli("evaluate", trained.folder, "--data", photos)
    assert "no record of its training samples" in told.err
    assert json.loads((trained.folder / "run.json").read_text())["data"]["val_fingerprint"]


def test_without_data_it_is_the_runs_own_test_split_or_else_val(
    trained: Run, photos: Path, zoo_cli: Zoo, tmp_path: Path
) -> None:
    given = zoo_cli("evaluate", trained.folder, "--data", trained.record["request"]["data"])
    own = zoo_cli("evaluate", trained.folder)
    assert own.out == given.out
    assert "which the run was trained on: val" in own.err
    for name in ("train", "test"):
        shutil.copytree(photos, tmp_path / "split" / name)
    for path in (tmp_path / "split" / "test").rglob("[0-9].jpg"):  # ten of each class are others
        path.write_bytes(path.read_bytes() + b"\0")
    record = json.loads((trained.folder / "run.json").read_text())
    record["request"]["data"] = str(tmp_path / "split")
    (trained.folder / "run.json").write_text(json.dumps(record))
    found = zoo_cli("evaluate", trained.folder, "--json")
    assert (found.json["split"], list(found.json["splits"])) == ("test", ["test"])
    assert "which the run was trained on: test" in found.err


@pytest.mark.parametrize(
    ("request_json", "message"),
    [
        (None, "does not record where its data is"),
        ({"data": "memory:DataFrame"}, "data in memory"),
        ({"data": "/nowhere/photos"}, "no file or folder /nowhere/photos"),
    ],
)
def test_own_data_that_is_not_there_is_said(
    trained: Run, request_json: dict[str, str] | None, message: str
) -> None:
    request = trained.record.pop("request")
    if request_json:
        trained.record["request"] = {**request, **request_json}
    with pytest.raises((DataError, RunError), match=message) as failed:
        trained.evaluate()
    assert failed.value.hint


def test_a_run_on_the_demo_data_is_evaluated_on_it(tmp_path: Path) -> None:
    run = zoo.finetune("cnn", classes=2, **{**QUICK, "output": tmp_path / "demo"})
    (result,) = run.evaluate().values()
    assert dict(result.metrics)["accuracy"] == pytest.approx(run.metrics["accuracy"])
