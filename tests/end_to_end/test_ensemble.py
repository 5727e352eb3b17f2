"""Ensembles: the mean of the probabilities of runs, as a run like any other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo
from tests.end_to_end.conftest import Zoo
from zoo.engine.progress import Quiet
from zoo.errors import RunError
from zoo.export.joined import joined
from zoo.system.files import sha256_of


@pytest.fixture
def runs(tmp_path: Path, few: Path) -> list[zoo.Run]:
    """Two runs on the same data, of which the second has larger images and its classes reversed."""
    options: Any = {"epochs": 1, "workers": 0, "report": False, "reporter": Quiet()}
    folders = [tmp_path / "small", tmp_path / "large"]
    for folder, size in zip(folders, (24, 32), strict=True):
        zoo.finetune("cnn", few, output=folder, image_size=size, **options)
    _reverse(folders[1])
    return [zoo.Run(folder) for folder in folders]


def _reverse(folder: Path) -> None:
    file = folder / "model.safetensors"
    state = load_file(file)
    state |= {name: state[name].flip(0).contiguous() for name in ("head.weight", "head.bias")}
    save_file(state, file, {"format": "pt"})
    record = json.loads((folder / "run.json").read_text())
    record |= {"classes": record["classes"][::-1], "sha256": sha256_of(file)}
    (folder / "run.json").write_text(json.dumps(record))
    table = pq.read_table(folder / "predictions.parquet")
    rows = [row[::-1] for row in table["probabilities"].to_pylist()]
    place = table.column_names.index("probabilities")
    table = table.set_column(place, "probabilities", pa.array(rows, table["probabilities"].type))
    pq.write_table(table, folder / "predictions.parquet")


def test_the_prediction_is_the_mean_whatever_the_order_of_classes_and_the_size(
    runs: list[zoo.Run], few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zoo_cli: Zoo
) -> None:
    monkeypatch.chdir(tmp_path)
    done = zoo_cli("ensemble", *(run.folder for run in runs))
    assert done.code == 0, done.err
    assert "runs/ensemble-1" in done.out
    assert "MB" in done.out or "kB" in done.out
    for run in runs:  # it needs nothing but its folder
        run.folder.rename(tmp_path / f"moved-{run.folder.name}")
    made = zoo.Run("runs/ensemble-1")
    members = [zoo.Run(tmp_path / f"moved-{run.folder.name}") for run in runs]
    files = sorted((few / "val").rglob("*.png"))
    each = [
        [one.to_json()["probabilities"] for one in member.predict(files, workers=0)]
        for member in members
    ]
    found = made.predict(files, workers=0)
    few_at_a_time = made.predictor().predict([str(file) for file in files])
    for place, prediction in enumerate(found):
        probabilities = prediction.to_json()["probabilities"]
        served = few_at_a_time[place].to_json()["probabilities"]
        for name in made.classes:
            expected = np.mean([rows[place][name] for rows in each])
            assert probabilities[name] == pytest.approx(expected, abs=1e-5)
            assert served[name] == pytest.approx(expected, abs=1e-5)
    assert made.evaluate(few, workers=0)["val"].metrics == pytest.approx(made.metrics, abs=1e-5)
    assert made.record["params"] == sum(member.record["params"] for member in members)
    assert "ensemble of 2 runs" in (made.folder / "README.md").read_text()
    assert made.report().path.is_file()
    with pytest.raises(RunError, match="read inputs differently"):
        zoo.export_run(made, format="onnx")
    with pytest.raises(RunError, match="an ensemble of 2 networks"):
        made.load()
    refused = zoo_cli("add", made.folder, "--name", "both")
    assert refused.code == 1
    assert "members/1" in refused.err
    again = zoo_cli("rerun", made.folder)
    assert again.code == 1
    assert "zoo ensemble" in again.err


def test_members_that_read_alike_are_exported_as_one_network(
    runs: list[zoo.Run], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(runs[0].folder, other)
    file = other / "model.safetensors"
    halved = {k: v * 0.5 if v.is_floating_point() else v for k, v in load_file(file).items()}
    save_file(halved, file, {"format": "pt"})
    _reverse(other)
    made = zoo.make_ensemble([runs[0], other], tmp_path / "both")
    network = joined(made)
    with runs[0].loaders(0).plain(_samples(made, tmp_path), None) as loader:
        (batch, *_) = [runs[0].forward("cpu").place(batch) for batch in loader]
    expected = made.logits(_samples(made, tmp_path), device="cpu", workers=0, reporter=None)[0]
    with torch.no_grad():
        logits = network(batch)
    torch.testing.assert_close(
        logits.softmax(1), expected[batch["index"]].softmax(1), atol=1e-5, rtol=0
    )


def _samples(run: zoo.Run, folder: Path) -> Any:
    from zoo.runs.predicting import open_new

    options: Any = {"text_column": None, "bad_files": "error", "quoting": None}
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 255, (32, 32, 3), dtype=np.uint8) for _ in range(4)]
    return open_new(run, images, reporter=Quiet(), **options)[0]


def test_what_does_not_fit_together_is_refused_and_nothing_is_left(
    runs: list[zoo.Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = runs
    record = json.loads((second.folder / "run.json").read_text())
    cut = pq.read_table(second.folder / "predictions.parquet").slice(0, 2)
    pq.write_table(cut, second.folder / "predictions.parquet")
    with pytest.raises(RunError, match="2 samples, expected 4"):
        zoo.make_ensemble([first, second.folder], tmp_path / "both")
    (second.folder / "run.json").write_text(json.dumps({**record, "classes": ["red", "blue"]}))
    with pytest.raises(RunError, match="classes differ"):
        zoo.make_ensemble([first, second.folder], tmp_path / "both")
    assert not (tmp_path / "both").exists()
    copied = _copy(first.folder)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfile", _full)
        with pytest.raises(RunError, match="cannot be written"):
            zoo.make_ensemble([first, copied], tmp_path / "both")
    assert not (tmp_path / "both").exists()
    made = zoo.make_ensemble([first, copied], tmp_path / "both")
    record = json.loads((made.folder / "run.json").read_text())
    record["ensemble"]["members"][0]["folder"] = "../small"
    (made.folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match="members/1"):
        zoo.Run(made.folder).predictor()


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def _copy(folder: Path) -> Path:
    return shutil.copytree(folder, folder.with_name("copy"))
