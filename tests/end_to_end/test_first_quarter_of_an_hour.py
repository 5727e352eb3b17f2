"""What a newcomer types first, on small inputs."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import zoo
from tests.end_to_end.conftest import Zoo, write_photos
from tests.opened import demo_data
from zoo.engine.progress import Quiet
from zoo.modalities import IMAGE


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CNN that has learned the colours."""
    folder = tmp_path_factory.mktemp("colours")
    return zoo.finetune(
        "cnn", write_photos(folder / "photos"), image_size=32, epochs=6, batch_size=8, workers=0,
        output=folder / "run", reporter=Quiet(),
    ).folder  # fmt: skip


@pytest.fixture
def trained(once: Path, tmp_path: Path) -> Path:
    """A copy of it, which a test may change."""
    return Path(shutil.copytree(once, tmp_path / "runs" / "cnn-1"))


def test_finetune_says_what_it_does_and_what_to_type_next(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zoo_cli: Zoo
) -> None:
    monkeypatch.chdir(tmp_path)
    done = zoo_cli("finetune", "cnn", "--data", photos, "--image-size", 32, "--epochs", 2)
    for fact in ("57 training, 15 validation", "3: blue, green, red", "basics/cnn", "random"):
        assert fact in done.err
    assert "full 1/2" in done.err
    assert "next: zoo predict runs/cnn-1" in done.out
    assert "best epoch" in done.out
    again = zoo_cli(
        "finetune", "cnn", "--data", photos, "--image-size", 32, "--epochs", 1, "--no-report"
    )
    assert "run: runs/cnn-2" in again.out


def test_finetune_json_is_one_document_with_the_documented_keys(
    photos: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    done = zoo_cli(
        *("finetune", "cnn", "--data", photos, "--image-size", 32, "--epochs", 1, "--json"),
        *("--output", tmp_path / "run"),
    )
    assert done.json.keys() == {
        *("run", "backbone", "weights", "classes", "strategy", "best_epoch", "metrics"),
        *("samples_per_second", "seconds", "skipped", "ignored", "task"),
        *("notes", "shared", "near", "removed", "report", "columns", "quoting", "metric"),
        *("interval", "calibration", "folds", "shared_groups"),
    }
    assert done.json["report"] == str(tmp_path / "run" / "report.html")
    assert Path(done.json["report"]).is_file()
    assert done.json["metrics"].keys() == {"accuracy", "macro_f1", "loss"}
    assert (done.json["backbone"], done.json["weights"]) == ("basics/cnn", "none")


def test_the_run_folder_holds_what_the_design_names(trained: Path) -> None:
    files = {path.name for path in trained.iterdir()}
    assert files >= {
        *("run.json", "model.safetensors", "metrics.jsonl", "predictions.parquet", "README.md"),
        "report.html",
    }
    assert not [path for path in trained.parent.iterdir() if path.name.startswith(".")]
    record = json.loads((trained / "run.json").read_text())
    assert record["data"]["fingerprint"]
    assert record["recipe"]["seed"] == 0
    assert len((trained / "metrics.jsonl").read_text().splitlines()) == 6


def test_predict_names_the_classes_of_images_and_folders(
    trained: Path, photos: Path, zoo_cli: Zoo
) -> None:
    done = zoo_cli("predict", trained, photos / "red" / "0.jpg", photos / "blue", "--json")
    assert len(done.json) == 25
    assert done.json[0]["label"] == "red"
    assert done.json[0]["probabilities"].keys() == {"red", "green", "blue"}
    assert sum(done.json[0]["probabilities"].values()) == pytest.approx(1)
    assert [row["label"] for row in done.json[1:]] == ["blue"] * 24


def test_predict_writes_tables(trained: Path, photos: Path, tmp_path: Path, zoo_cli: Zoo) -> None:
    table = tmp_path / "labels.csv"
    done = zoo_cli("predict", trained, photos / "green", "--output", table, "--top-k", 2)
    assert done.code == 0, done.err
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["green"] * 24
    parquet = tmp_path / "labels.parquet"
    assert zoo_cli("predict", trained, photos / "green", "--output", parquet).code == 0
    assert pq.read_table(parquet).column_names == [
        *("input", "label", "probability", "p(blue)", "p(green)", "p(red)")
    ]


def test_evaluate_agrees_with_training_to_the_last_digit(
    trained: Path, photos: Path, zoo_cli: Zoo
) -> None:
    record = json.loads((trained / "run.json").read_text())
    done = zoo_cli("evaluate", trained, "--data", photos, "--json")
    assert done.json["metrics"] == record["results"]["metrics"]
    assert done.json["metrics"]["accuracy"] >= 0.9
    assert sum(map(sum, done.json["confusion"])) == 15
    printed = zoo_cli("evaluate", trained, "--data", photos)
    assert "confusion" in printed.out


def test_a_run_needs_its_folder_alone(
    trained: Path, photos: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    image = tmp_path / "new.jpg"
    (photos / "red" / "0.jpg").rename(image)
    elsewhere = tmp_path / "elsewhere"
    trained.rename(elsewhere)
    for path in photos.rglob("*.jpg"):
        path.unlink()
    assert zoo_cli("predict", elsewhere, image, "--json").json[0]["label"] == "red"


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(photos: Path, tmp_path: Path) -> None:
    runs = [
        zoo.finetune(
            "cnn", photos, image_size=32, epochs=1, output=tmp_path / name, workers=w, report=False
        )
        for name, w in (("a", 0), ("b", 0), ("c", 2))
    ]
    first, *others = [(run.folder / "model.safetensors").read_bytes() for run in runs]
    assert all(other == first for other in others)


def test_the_probe_leaves_the_backbone_as_it_was(photos: Path, tmp_path: Path) -> None:
    whole = zoo.finetune(
        "cnn", photos, image_size=32, epochs=1, output=tmp_path / "whole", report=False
    )
    start = whole.folder / "model.safetensors"
    probed = zoo.finetune(
        "cnn", photos, image_size=32, epochs=3, strategy="probe", weights=str(start),
        output=tmp_path / "probed", report=False,
    )  # fmt: skip
    before, after = whole.load(), probed.load()
    for name, tensor in before.net.state_dict().items():
        assert torch.equal(tensor, after.net.state_dict()[name])
    assert not torch.equal(before.head.weight, after.head.weight)
    assert probed.record["weights"]["sha256"] == whole.record["sha256"]


def test_a_probes_metrics_are_those_of_its_evaluation(photos: Path, tmp_path: Path) -> None:
    run = zoo.finetune(
        "cnn", photos, image_size=32, epochs=3, strategy="probe", weights="none",
        output=tmp_path / "run", report=False,
    )  # fmt: skip
    assert run.evaluate(photos)["val"].metrics == run.metrics


def test_freeze_until_keeps_the_first_stages(photos: Path, tmp_path: Path) -> None:
    spec = zoo.Registry.discover().spec("cnn")
    stages = [stage.name for stage in zoo.build(spec, None).stages()]
    start = zoo.finetune(
        "cnn", photos, image_size=32, epochs=1, output=tmp_path / "start", report=False
    )
    run = zoo.finetune(
        "cnn", photos, image_size=32, epochs=1, strategy="full", freeze_until=stages[0],
        weights=str(start.folder / "model.safetensors"), output=tmp_path / "frozen", report=False,
    )  # fmt: skip
    before, after = start.load(), run.load()
    for stage, same in ((stages[0], True), (stages[-1], False)):
        for name, tensor in before.stage_parameters(stage).items():
            assert torch.equal(tensor, after.stage_parameters(stage)[name]) is same, name


def test_texts_from_a_table_train_an_lstm_and_are_predicted_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zoo_cli: Zoo
) -> None:
    table = tmp_path / "reviews.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "stars"])
        for number in range(120):
            good = number % 2 == 0
            word = ("wonderful", "lovely")[number % 3 == 0] if good else "dreadful"
            writer.writerow([f"a {word} film about number {number}", "good" if good else "bad"])
    run = tmp_path / "run"
    done = zoo_cli(
        *(
            "finetune",
            "--no-report",
            "lstm",
            "--data",
            table,
            "--label-column",
            "stars",
            "--epochs",
            12,
        ),
        *("--output", run, "--json"),
    )
    assert done.code == 0, done.err
    assert done.json["metrics"]["accuracy"] >= 0.9
    source = tmp_path / "lines.txt"
    source.write_text("a wonderful film\na dreadful film\n")
    with source.open() as lines:
        monkeypatch.setattr("sys.stdin", lines)
        rows = zoo_cli("predict", run, "-", "--json").json
    assert [row["label"] for row in rows] == ["good", "bad"]
    assert rows[0]["input"] == "a wonderful film"


def test_the_demo_runs_without_data_or_network(tmp_path: Path, zoo_cli: Zoo) -> None:
    done = zoo_cli(
        *("finetune", "cnn", "--classes", 2, "--epochs", 3, "--output", tmp_path / "run"),
        *("--json", "--no-report"),
    )
    assert done.code == 0, done.err
    assert done.json["classes"] == ["0", "1"]
    assert done.json["metrics"]["accuracy"] >= 0.9
    digits = demo_data(IMAGE, classes=2)
    assert digits.val is not None
    image = digits.val.raw(0)
    assert isinstance(image, Image.Image)
    predicted = zoo.open_run(tmp_path / "run").predict([image])[0].label
    assert digits.val.labels is not None
    assert predicted == digits.classes[digits.val.labels[0]]


def test_features_are_computed_once_listed_and_removed(
    photos: Path, tmp_path: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    probe = ("finetune", "cnn", "--data", photos, "--image-size", 32, "--strategy", "probe")
    first = zoo_cli(*probe, "--output", tmp_path / "1", "--json").json
    rows = [row for row in zoo_cli("cache", "--json").json if "backbone" in row]
    assert {(r["backbone"], r["split"], r["samples"], r["features"]) for r in rows} == {
        *(("basics/cnn", "train", 57, 128), ("basics/cnn", "val", 15, 128))
    }
    arrays = {row["path"]: Path(row["path"]).stat().st_ino for row in rows}
    for path in arrays:
        os.utime(path, (1, 1))
    again = zoo_cli(*probe, "--output", tmp_path / "2", "--json").json
    assert again["metrics"] == first["metrics"]
    assert {path: Path(path).stat().st_ino for path in arrays} == arrays
    assert all(row["used"] > 1 for row in zoo_cli("cache", "--json").json)
    assert "3 files" in zoo_cli("cache", "--prune").out  # with what was found in the images
    assert zoo_cli(*probe, "--output", tmp_path / "3", "--json").json["metrics"] == first["metrics"]
    assert len(zoo_cli("cache", "--json").json) == 3
