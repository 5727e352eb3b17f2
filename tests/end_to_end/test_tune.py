"""A search over hyperparameters: what it tries, keeps, says, and how it continues."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from tests.end_to_end.conftest import Zoo
from zoo.engine.progress import Quiet
from zoo.errors import DataError, NameLookupError, RunError, Stopped, UsageError
from zoo.tuning.tune import TuneWatch

pytest.importorskip("optuna", reason="Optuna (the extra 'tune') is not installed")

WORDS = [("good", "bad"), ("great", "poor"), ("fine", "awful"), ("lovely", "boring")]
OPTIONS = {"backbones": ["lstm"], "epochs": 2, "batch_size": 16, "precision": "fp32"}


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """120 texts, no two alike."""
    rows = [
        f"film {i} was {WORDS[i % 4][i // 4 % 2]},{('yes', 'no')[i // 4 % 2]}" for i in range(120)
    ]
    path = tmp_path / "films.csv"
    path.write_text("\n".join(["text,label", *rows]))
    return path


class StopsIn(Quiet):
    """Sends a signal in the training of a trial."""

    def __init__(self, title: str) -> None:
        self.title = title

    @contextmanager
    def steps(self, what: str, total: int) -> Iterator[Any]:
        if what.startswith(f"{self.title}: full"):
            os.kill(os.getpid(), signal.SIGINT)
        yield lambda: None


@pytest.mark.slow(0.5)
def test_a_search_continues_after_a_stop_and_estimates_on_unseen_samples(
    texts: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "search"
    search = {"time_limit": "5m", "trials": 3, "output": folder, **OPTIONS}
    with pytest.raises(Stopped) as stopped:
        zoo.tune(texts, watch=TuneWatch(StopsIn("trial 3")), **search)
    assert f"zoo tune --resume {shlex.quote(str(folder))}" in stopped.value.hint
    before = json.loads((folder / "tune.json").read_text())
    assert [(each["probe"], each["options"]) for each in before["trials"]] == [
        (True, {}),
        (False, {}),  # the defaults come first
    ]
    assert [each["epochs"] for each in before["trials"]] == [0, 2]  # the head is solved
    assert not (folder / "trials" / "3").exists()

    found = zoo.tune(texts, **search)  # the same again continues
    assert [each.number for each in found.trials] == [1, 2, 3, 4]
    assert [each.probe for each in found.trials] == [True, False, False, False]
    assert found.trials[2].options
    best = max(each.score for each in found.trials if each.state == "finished")
    assert found.best.score == best
    assert found.best_run.metrics["accuracy"] == found.best.value
    kept = {int(path.name) for path in (folder / "trials").iterdir()}
    assert kept == {each.number for each in found.trials if each.folder}
    assert len(kept) <= 3
    assert (folder / "trials.png").stat().st_size > 5000

    # The estimate is the metric on the part set aside, which the best run neither trained nor chose by.
    evaluated = found.best_run.evaluate(texts, reporter=Quiet())
    assert found.estimate.source == "aside"
    assert found.estimate.samples == evaluated["test"].samples == 24
    assert found.estimate.value == evaluated["test"].metrics["accuracy"]
    assert found.best_run.record["data"]["test"] == 24

    # The command repeats the best run.
    words = shlex.split(found.command)
    assert words[:3] == ["zoo", "finetune", "lstm"]
    again = zoo.rerun(found.best_run, output=tmp_path / "again", report=False, reporter=Quiet())
    assert again.identical

    # Finished: opened again at once, with the same estimate; more trials go on.
    assert zoo.tune(resume=folder).estimate == found.estimate
    more = zoo.tune(resume=folder, trials=4)
    assert len(more.trials) == 5
    with pytest.raises(RunError, match=r"another search: .*the seed differed"):
        zoo.tune(texts, **search | {"seed": 3})


def test_one_fine_tune_on_data_with_a_test_split(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    data = {
        split: [
            (f"film {split} {i} {generator.integers(9)} {word}", label)
            for i in range(count)
            for word, label in (("good", "yes"), ("bad", "no"))
        ]
        for split, count in (("train", 20), ("val", 8), ("test", 7))
    }
    ended: list[tuple[int, bool]] = []
    watch = TuneWatch(Quiet(), lambda tried, best: ended.append((tried.number, best)))
    found = zoo.tune(data, time_limit="5m", trials=1, output=tmp_path / "s", watch=watch, **OPTIONS)
    assert (found.estimate.source, found.estimate.samples) == ("test", 14)
    assert found.best_run.record["data"]["train"] == 40
    assert [number for number, _ in ended] == [1, 2]
    assert ended[0][1]
    assert "14 samples of the test split" in found.estimate.in_words("accuracy")


def test_what_cannot_be_searched(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(kind: type[Exception], match: str, **options: Any) -> None:
        given: dict[str, Any] = {"output": tmp_path / "s", **OPTIONS, **options}
        with pytest.raises(kind, match=match):
            zoo.tune(given.pop("data", texts), **given)
        assert not (tmp_path / "s").exists()

    for limit in (0, "abc", "5s"):
        refused(UsageError, "must be a time of at least 10 s", time_limit=limit)
    refused(UsageError, "trials must be at least 1", trials=0)
    refused(NameLookupError, "resnet81", backbones=["resnet81"])
    refused(UsageError, "takes images", backbones=["lstm", "cnn"])
    refused(UsageError, "does not work in a search", folds=3)
    refused(UsageError, "unknown option 'learning_rat'", learning_rat=1)
    refused(UsageError, "metric", metric="acuracy")
    refused(UsageError, "has no test split", test_split=0.0)
    refused(UsageError, "too short", time_limit=10, started=0.0)
    few = [("good film", "yes"), ("bad film", "no")] * 2
    refused(DataError, "2 samples|too few|so none can be held out", data=few)
    with pytest.raises(RunError, match="is not the folder of a search"):
        zoo.tune(resume=tmp_path)
    monkeypatch.setattr("zoo.tuning.starts.find_candidates", lambda *_, **__: ([], []))
    refused(UsageError, "no backbone for such data", backbones=())
    monkeypatch.setitem(sys.modules, "optuna", None)
    refused(UsageError, "needs Optuna")


def test_a_damaged_search_and_other_options(tmp_path: Path) -> None:
    (tmp_path / "tune.json").write_text("{")
    with pytest.raises(RunError, match="is damaged"):
        zoo.tune(resume=tmp_path)
    state = {"format": 1, "search": {"data": "nowhere", "options": {}, "backbones": []}}
    state |= {"time_limit": 60, "trials": []}
    (tmp_path / "tune.json").write_text(json.dumps(state))
    with pytest.raises(RunError, match="the data of the search is not at"):
        zoo.tune(resume=tmp_path)
    with pytest.raises(UsageError, match="does not accept other options"):
        zoo.tune(resume=tmp_path, seed=1)


def test_the_command_prints_trials_estimate_and_how_to_repeat(
    texts: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    words = ["tune", texts, "--backbones", "lstm", "--epochs", 1, "--trials", 1]
    done = zoo_cli(*words, "--output", tmp_path / "s", "--time-limit", "20m")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].split() == ["trial", "backbone", "settings", "accuracy", "epochs", "s"]
    assert max(map(len, lines[:3])) <= 80
    text = done.out.replace("\n", " ")
    assert "estimate: accuracy " in text
    assert "on 24 samples set aside before the search, 95 % interval" in text
    assert f"best run: {tmp_path / 's' / 'trials'}" in text
    assert f"repeat: zoo finetune lstm --data {texts} --test-split 0.2" in text
    assert "2  lstm  default" in done.err
    again = zoo_cli("tune", "--resume", tmp_path / "s", "--json")
    assert [each["number"] for each in again.json["trials"]] == [1, 2]
    assert again.json["estimate"]["source"] == "aside"
