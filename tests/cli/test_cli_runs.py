"""``zoo runs``: run folders listed, filtered and deleted."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from filelock import FileLock

from tests.cli.conftest import Zoo
from zoo.errors import RunError
from zoo.registry import run_list


def _run(
    folder: Path,
    *,
    backbone: str,
    finished: bool = True,
    score: float = 0.5,
    metric: str = "accuracy",
) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"x" * 1_000)
    record = {
        "format": 1,
        "finished": finished,
        "backbone": backbone,
        "spec": {},
        "params": 1,
        "weights": None,
        "origin": None,
        "surgery": None,
        "classes": ["a"],
        "head": "linear",
        "precision": "fp32",
        "device": "cpu",
        "versions": {},
        "recipe": {},
        "task": {"name": "single-label", "metric": metric},
        "strategy": "probe",
        "phases": [{"epochs": 2}, {"epochs": 3}],
        "data": {"source": "plants/"},
        "results": {"metrics": {metric: score}},
    }
    (folder / "run.json").write_text(json.dumps(record))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """One run of each state, but for ``training``."""
    folder = tmp_path / "runs"
    _run(folder / "cnn-1", backbone="basics/cnn", score=0.25)
    _run(folder / "lstm-1", backbone="basics/lstm", score=0.75)
    (_run(folder / "cnn-2", backbone="basics/cnn", finished=False) / "last").mkdir()
    _run(folder / "cnn-3", backbone="basics/cnn", finished=False)
    (folder / "broken").mkdir()
    (folder / "broken" / "run.json").write_text("{")
    return folder


def test_runs_are_listed_with_what_they_are(zoo: Zoo, runs: Path) -> None:
    found = {Path(each["run"]).name: each for each in zoo("runs", "--json").document}
    assert {name: each["state"] for name, each in found.items()} == {
        "cnn-1": "finished",
        "lstm-1": "finished",
        "cnn-2": "stopped",
        "cnn-3": "failed",
        "broken": "damaged",
    }
    first = found["cnn-1"]
    assert (first["backbone"], first["data"], first["strategy"]) == (
        *("basics/cnn", "plants/"),
        "probe",
    )
    assert (first["metric"], first["score"], first["epochs"]) == ("accuracy", 0.25, 5)
    assert first["bytes"] >= 1_000
    result = zoo("runs")
    assert "broken" in result.out
    assert "run.json cannot be read" in result.err


def test_runs_are_filtered_and_sorted(zoo: Zoo, runs: Path) -> None:
    def names(*options: str) -> list[str]:
        return [Path(each["run"]).name for each in zoo("runs", *options, "--json").document]

    assert names("--state", "finished", "--sort", "score") == ["lstm-1", "cnn-1"]
    assert names("--backbone", "CNN", "--sort", "name") == ["cnn-1", "cnn-2", "cnn-3"]
    assert names("--data", "plant*", "--state", "stopped") == ["cnn-2"]
    assert "No run passes these filters; 5 runs" in zoo("runs", "--data", "cars").err
    assert "Did you mean 'finished'?" in zoo("runs", "--state", "done").err


def test_the_best_score_is_first_also_where_lower_is_better(zoo: Zoo, tmp_path: Path) -> None:
    for name, score in (("a", 3.0), ("b", 1.0), ("c", 2.0)):
        _run(tmp_path / "runs" / name, backbone="cnn", score=score, metric="mae")
    found = zoo("runs", tmp_path / "runs", "--sort", "score", "--json").document
    assert [Path(each["run"]).name for each in found] == ["b", "c", "a"]


def test_no_runs_is_said(zoo: Zoo, tmp_path: Path) -> None:
    result = zoo("runs")
    assert (result.code, result.out) == (0, "")
    assert "No runs in runs" in result.err


def test_runs_are_deleted_when_confirmed(
    zoo: Zoo, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.confirm", lambda text, **_: asked.append(text))
    assert zoo("runs", "--delete", runs / "cnn-1", runs / "cnn-2").code == 0
    assert [text.partition(",")[0] for text in asked] == ["Delete 2 runs"]
    assert sorted(os.listdir(runs)) == ["broken", "cnn-3", "lstm-1"]
    assert zoo("runs", "--delete", "--state", "failed", "--yes").code == 0
    assert sorted(os.listdir(runs)) == ["broken", "lstm-1"]


def test_without_an_answer_nothing_is_deleted(zoo: Zoo, runs: Path) -> None:
    result = zoo("runs", "--delete", runs / "cnn-1")
    assert (result.code, "Add --yes" in result.err) == (1, True)
    assert (runs / "cnn-1" / "run.json").exists()


def test_what_is_not_a_run_is_not_deleted(zoo: Zoo, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to(runs / "cnn-1")
    (tmp_path / "linked").symlink_to(runs)
    for name, says in {
        "photos": "is not a run folder",
        "runs": "is not a run folder",
        "link": "is a symbolic link",
        "linked/cnn-1": "is a symbolic link",
        "absent": "is not a folder",
    }.items():
        result = zoo("runs", "--delete", "--yes", runs / "lstm-1", name)
        assert (result.code, says in result.err) == (1, True), result.err
    assert len(os.listdir(runs)) == 5
    assert "--delete needs runs or a filter" in zoo("runs", "--delete", "--yes").err
    assert "--yes needs --delete" in zoo("runs", "--yes").err


def test_a_run_that_trains_is_not_deleted(
    zoo: Zoo, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FileLock(runs / "cnn-2" / ".lock"):
        result = zoo("runs", "--delete", runs / "cnn-2", "--yes")
        assert "a process is training in" in result.err
        assert [r["state"] for r in zoo("runs", runs / "cnn-2", "--json").document] == ["training"]
    monkeypatch.chdir(runs / "cnn-2")
    assert "contains the current directory" in zoo("runs", "--delete", runs / "cnn-2", "--yes").err
    assert (runs / "cnn-2" / "run.json").exists()


def test_a_run_that_cannot_be_deleted_is_an_error(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("shutil.rmtree", refuse)
    with pytest.raises(RunError, match="cannot be deleted: Permission denied"):
        run_list.remove_run(run_list.listed_run(runs / "cnn-1"))
