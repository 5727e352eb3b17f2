"""A run, a backbone and the catalogue in a notebook: HTML, DataFrames, figures, progress."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas
import pytest

import zoo
from tests.end_to_end.test_own_network import trained
from zoo.engine.progress import Console, Quiet
from zoo.errors import UsageError


def test_a_run_shows_its_history_confusion_and_mistakes(photos: Path, tmp_path: Path) -> None:
    run = trained("cnn", photos, tmp_path / "run", epochs=2, lr=1e-7)
    assert list(run.history.index) == [1, 2]
    last = run.history.loc[run.record["results"]["best_epoch"]]
    assert last["accuracy"] == run.metrics["accuracy"]
    assert last["loss"] == run.metrics["loss"]
    kept = pandas.read_parquet(run.folder / "predictions.parquet")
    counts = run.confusion()
    assert list(counts.index) == list(counts.columns) == list(run.classes)
    for true in run.classes:
        for predicted in run.classes:
            found = (kept["label"] == true) & (kept["predicted"] == predicted)
            assert counts.loc[true, predicted] == found.sum()
    mistakes = run.mistakes()
    wrong = kept[kept["label"] != kept["predicted"]]
    assert sorted(mistakes["input"]) == sorted(wrong["input"])
    assert len(wrong) > 0
    assert list(mistakes["probability"]) == sorted(mistakes["probability"], reverse=True)
    first = mistakes.iloc[0]
    assert first[f"p({first['predicted']})"] == first["probability"]
    again = run.confusion(photos, split=None)
    assert again.to_numpy().sum() == run.record["data"]["val"]
    figure = run.plot()
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy"]
    assert list(figure.axes[0].lines[1].get_ydata()) == list(run.history["loss"])
    assert figure._repr_png_().startswith(b"\x89PNG")
    page = run._repr_html_()
    assert f"accuracy {run.metrics['accuracy']:.4f}" in page
    assert "model.safetensors" in run.push("hf:acme/mine", dry_run=True).files
    (run.folder / "metrics.jsonl").unlink()
    with pytest.raises(UsageError, match="nothing to plot"):
        zoo.open_run(run.folder).plot()


@pytest.mark.slow(0.3)
def test_a_run_exports_itself(photos: Path, tmp_path: Path) -> None:
    run = trained("cnn", photos, tmp_path / "run")
    exported = run.export("torch-export", output=tmp_path / "exported")
    assert exported.difference < 1e-4


@pytest.mark.slow(0.1)
def test_names_are_escaped(tmp_path: Path, photos: Path) -> None:
    (photos / "red").rename(photos / "<b>red")
    run = trained("cnn", photos, tmp_path / "<i>run")
    page = run._repr_html_()
    assert "&lt;b&gt;red" in page
    assert "&lt;i&gt;run" in page
    assert not {"<b>red", "<i>run"} & set(page.split())


def test_a_regression_run_has_no_confusion_matrix(tmp_path: Path) -> None:
    rows = [("a fine warm film", 1.0), ("a dull cold film", 2.5)] * 6
    run = zoo.finetune(
        "lstm", rows, task="regression", output=tmp_path / "run", epochs=1, workers=0,
        report=False, reporter=Quiet(),
    )  # fmt: skip
    with pytest.raises(UsageError, match="no confusion matrix"):
        run.confusion()
    errors = run.mistakes()
    assert len(errors) == run.record["data"]["val"]


def test_a_backbone_and_the_catalogue_show_themselves() -> None:
    backbone = zoo.load("cnn", classes=3)
    first = backbone.stages()[0].name
    backbone.freeze(first)
    page = backbone._repr_html_()
    assert "basics/cnn" in page
    assert page.count(">yes<") == 1
    names = zoo.list_backbones("resnet*")
    assert isinstance(names, list)
    assert "torchvision/resnet18" in names
    page = names._repr_html_()
    assert "11,689,512" in page
    many = zoo.list_backbones()._repr_html_()
    assert many.count("<tr>") == 101
    assert "more</i>" in many


def test_a_notebook_gets_one_bar_that_moves_and_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[str] = []

    class Handle:
        def update(self, value: Any) -> None:
            shown.append(value)

    def display(value: Any, *, display_id: bool) -> Handle:
        assert display_id
        shown.append(value)
        return Handle()

    shell = SimpleNamespace(kernel=object())
    module: Any = SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(
        sys.modules,
        "IPython.display",
        SimpleNamespace(HTML=str, display=display),  # type: ignore[arg-type]
    )
    monkeypatch.setattr("zoo.engine.notebook_bar._SECONDS", 0)
    console = Console()
    with console.steps("<epoch>", 3) as advance:
        for _ in range(3):
            advance()
    assert [value.partition(" <")[0] for value in shown] == ["&lt;epoch&gt;"] * 4 + [""]
    assert "3/3" in shown[3]
    console.note("a line")
    assert capsys.readouterr() == ("a line\n", "")
    monkeypatch.setattr("zoo.engine.notebook_bar._SECONDS", 60)
    shown.clear()
    with console.steps("epoch", 1000) as advance:
        for _ in range(1000):
            advance()
    assert len(shown) == 2  # no flood
