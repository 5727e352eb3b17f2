"""Metrics, losses, tasks, augmentations and formats of a plugin, from the user's command to the run."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.end_to_end.conftest import Zoo
from zoo.data.sources.tables import read_source
from zoo.engine.progress import Console, Quiet
from zoo.errors import PluginError, Stopped, UsageError

PLUGIN = '''
import zoo

CALLS = []


@zoo.hookimpl
def zoo_metrics():
    single = "single-label"
    return {
        "rising": zoo.Metric(title="rise", measures={single: rising}, higher=False),
        "above": zoo.Metric(
            title="share above {}",
            measures={single: above},
            argument=zoo.Argument(default=0.5, at_least=0, at_most=1),
        ),
        "text": zoo.Metric(title="text", measures={single: lambda given: "high"}),
        "worthless": zoo.Metric(title="nothing", measures={single: worthless}),
        "nothing": 3,
    }


def rising(given):
    """The first epoch has the lowest: the plugin decides, not the accuracy; the second has none."""
    CALLS.append(len(given.labels))
    return float("nan") if len(CALLS) == 3 else float(len(CALLS))


def above(given):
    return float((given.outputs.max(axis=1) > given.argument).mean())


def worthless(given):
    given.remark("it is never defined")
    return float("nan")


@zoo.hookimpl
def zoo_losses():
    tasks = ("single-label",)
    return {
        "double": zoo.LossSpec(formula=double, tasks=tasks),
        "mean": zoo.LossSpec(formula=lambda logits, *_: logits.mean(), tasks=tasks),
    }


def double(logits, targets, weights):
    from torch.nn import functional

    return 2 * functional.cross_entropy(logits, targets, reduction="none")


@zoo.hookimpl
def zoo_tasks():
    return {"misnamed": "zoo.tasks.single_label:SingleLabel"}


@zoo.hookimpl
def zoo_augmentations():
    return {
        "black": zoo.AugmentationSpec(apply=lambda image, flip: image.point(lambda _: 0)),
        "noise": zoo.AugmentationSpec(apply=noise),
        "half": zoo.AugmentationSpec(apply=lambda image, flip: image.resize((3, 3))),
        "raises": zoo.AugmentationSpec(apply=lambda image, flip: 1 / 0),
        "words": zoo.AugmentationSpec(apply=str, modality="text"),
    }


def noise(image, flip):
    import random

    import numpy as np
    from PIL import Image

    pixels = np.asarray(image).astype(int) + np.random.randint(-9, 9) + random.randint(-9, 9)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@zoo.hookimpl
def zoo_readers():
    yield zoo.ReaderSpec(name="cards", read=read_cards, suffixes=(".acme",))
    yield zoo.ReaderSpec(name="archive", read=read_archive, scheme="acme")


def read_cards(path):
    if path.read_text() == "number":
        return 7
    lines = [line.split(": ", 1) for line in path.read_text().splitlines()]
    return {"label": [label for label, _ in lines], "text": [text for _, text in lines]}


def read_archive(source):
    if source == "acme:odd":
        return {"first": []}
    rows = [{"text": f"{word} film", "label": word} for word in ("good", "bad") * 6]
    return {"train": rows, "val": (rows[:4], "four rows are held out")}


@zoo.hookimpl
def zoo_exporters():
    return {"lost": zoo.ExporterSpec(write=print, run=lost, model="lost.bin")}


def lost(folder):
    import torch

    return lambda batch: torch.zeros(len(batch["pixel_values"]), 2)
'''

Finetune = Callable[..., zoo.Run]


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The plugin, installed; its module."""
    site = tmp_path / "site"
    metadata = site / "acme_parts-0.1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "entry_points.txt").write_text("[zoo.plugins]\nacme = acme_parts\n")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-parts\nVersion: 0.1\n")
    (site / "acme_parts.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delitem(sys.modules, "acme_parts", raising=False)
    importlib.invalidate_caches()
    yield importlib.import_module("acme_parts")
    sys.modules.pop("acme_parts", None)


@pytest.fixture
def finetune(acme: Any, photos: Path, tmp_path: Path) -> Finetune:
    def run(name: str, **options: Any) -> zoo.Run:
        usual = {"epochs": 1, "image_size": 16, "report": False, "workers": 0}
        return zoo.finetune("cnn", photos, output=tmp_path / name, **{**usual, **options})

    return run


def lines(run: zoo.Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_plugin_s_metric_selects_the_epoch_and_stops_early(
    finetune: Finetune, photos: Path, zoo_cli: Zoo, capfd: pytest.CaptureFixture[str]
) -> None:
    run = finetune("run", epochs=6, metric="rising", patience=2, reporter=Console())
    assert [line["best"] for line in lines(run)] == [True, False, False]
    assert [line["acme/rising"] for line in lines(run)] == [2.0, None, 4.0]
    assert "NaN" not in (run.folder / "metrics.jsonl").read_text()
    for table in (run.history, zoo.open_run(run.folder).history):
        assert table["acme/rising"].isna().tolist() == [False, True, False]
    shown = capfd.readouterr().err
    assert "val rise 2.0000" in shown
    assert "val rise undefined" in shown
    assert (run.task.metric, run.record["results"]["best_epoch"]) == ("acme/rising", 1)
    assert run.record["plugins"]["acme"]["distribution"] == "acme-parts"
    assert "| rise (validation) | 2.0000 |" in (run.folder / "README.md").read_text()
    assert "rise 2.0000, accuracy" in run._repr_html_()
    other = finetune("other", metric="above:0.9")
    assert other.task.metric == "acme/above:0.9"
    (evaluation,) = other.evaluate(photos, split="val").values()
    assert evaluation.metrics["acme/above:0.9"] == other.metrics["acme/above:0.9"]
    compared = zoo_cli("compare", run.folder, other.folder, "--metric", "auroc", "--json").json
    assert compared["metric"] == "auroc"
    assert all("auroc" in each["metrics"] for each in compared["runs"])
    evaluated = zoo_cli("evaluate", run.folder, "--data", photos, "--metric", "acme/above:0.9").out
    assert "share above 0.9 " in evaluated
    absent = zoo_cli("evaluate", run.folder, "--data", photos, "--no-plugin", "acme")
    assert absent.code == 1
    assert "acme" in absent.err


@pytest.mark.slow
def test_stopping_and_resuming_selects_the_same_epoch(photos: Path, tmp_path: Path) -> None:
    metric = "auroc"
    options = {"epochs": 4, "image_size": 16, "metric": metric, "workers": 0, "lr": 0.02}
    whole = zoo.finetune("cnn", photos, output=tmp_path / "whole", report=False, **options)

    class StopsIn2(Quiet):
        def epoch(self, record: Any, epochs: int) -> None:
            if record["epoch"] == 2:
                os.kill(os.getpid(), 15)

    with pytest.raises(Stopped):
        zoo.finetune(
            "cnn", photos, output=tmp_path / "part", report=False, reporter=StopsIn2(), **options
        )
    part = zoo.resume(tmp_path / "part", report=False)
    assert part.record["results"]["best_epoch"] == whole.record["results"]["best_epoch"]
    assert part.record["sha256"] == whole.record["sha256"]
    assert part.metrics == whole.metrics
    keys = ("loss", "train_loss", metric, "best")
    assert [[row[key] for key in keys] for row in lines(part)] == [
        [row[key] for key in keys] for row in lines(whole)
    ]


@pytest.mark.slow
def test_a_plugin_s_loss_trains(finetune: Finetune) -> None:
    usual, double = finetune("usual"), finetune("double", loss="acme/double")
    ratio = lines(double)[0]["train_loss"] / lines(usual)[0]["train_loss"]
    assert 1.5 < ratio < 2.5
    assert double.record["recipe"]["loss"] == "acme/double"
    assert "training" in double.record["plugins"]["acme"]


@pytest.mark.slow
def test_a_plugin_s_augmentation_changes_what_is_trained_on(finetune: Finetune) -> None:
    plain, black = finetune("plain", lr=0.02), finetune("black", lr=0.02, augment="black")
    assert lines(black)[0]["train_loss"] > lines(plain)[0]["train_loss"]
    first, second = (finetune(name, augment="acme/noise") for name in ("first", "second"))
    assert first.record["sha256"] == second.record["sha256"] != plain.record["sha256"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metric": "acme/text"}, "'acme'.*metric 'acme/text' returned 'high', not a number"),
        ({"metric": "acme/nothing"}, "metric 'acme/nothing' is 3, not a Metric"),
        ({"loss": "mean"}, r"'acme'.*loss 'acme/mean' returned a tensor of shape \(\) for"),
        ({"task": "acme/misnamed"}, "'acme'.*'name' of its task .* is 'single-label'"),
        ({"augment": "half"}, "'acme'.*augmentation 'acme/half' returned .* size 16 x 16"),
        ({"augment": "raises"}, "'acme'.*augmentation 'acme/raises' raised ZeroDivisionError"),
    ],
)
def test_what_a_plugin_does_wrong_is_its_fault_by_name(
    finetune: Finetune, options: dict[str, str], words: str, tmp_path: Path
) -> None:
    with pytest.raises(PluginError, match=words) as error:
        finetune("run", **options)
    assert error.value.hint
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"metric": "worthless"},
            "cannot be computed on the validation split; it is never defined",
        ),
        ({"metric": "acme/above:2"}, "must be from 0 to 1"),
        ({"metric": "acme/unknown"}, "'acme/unknown' is not a metric of regression, multi-label"),
        ({"loss": "acme/unknown"}, "'acme/unknown' is not a loss for regression, multi-label"),
        ({"augment": "words"}, "augment=\"words\" is for the modality 'text', not 'image'"),
        ({"loss": "double", "focal": 2.0}, "focal.* is not supported by the loss 'acme/double'"),
    ],
)
def test_what_does_not_apply_is_refused(
    finetune: Finetune, options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=words) as error:
        finetune("run", **options)
    assert error.value.hint
    assert not (tmp_path / "run").exists()


def test_a_format_that_writes_nothing_is_not_kept(finetune: Finetune, tmp_path: Path) -> None:
    run = finetune("run")
    with pytest.raises(PluginError, match=r"its export format 'acme/lost' did not write lost.bin"):
        zoo.export_run(run, format="acme/lost", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_plugin_s_format_of_data_is_read_by_every_command(
    acme: Any, tmp_path: Path, zoo_cli: Zoo
) -> None:
    cards = tmp_path / "cards.acme"
    cards.write_text("".join(f"{word}: a {word} film\n" for word in ("good", "bad") * 8))
    for name, data in (("file", cards), ("scheme", "acme:reviews")):
        run = tmp_path / name
        options = ("--epochs", 1, "--no-report", "--output", run, "--json")
        done = zoo_cli("finetune", "lstm", "--data", data, *options)
        assert done.code == 0, done.err
        assert done.json["classes"] == ["bad", "good"]
        assert zoo.open_run(run).record["plugins"]["acme"]["training"]
    assert len(zoo_cli("predict", run, cards, "--json").json) == 16
    assert zoo_cli("evaluate", run, "--data", cards, "--json").json["samples"] in (14, 16)
    for wrong, words in (("number", "returned int, not a table"), ("no colon", "by the reader")):
        cards.write_text(wrong)
        done = zoo_cli("evaluate", run, "--data", cards)
        assert (done.code, words in done.err, "acme/cards" in done.err) == (1, True, True), done.err
    done = zoo_cli("evaluate", run, "--data", "acme:odd")
    assert "splits are first" in done.err
    absent = zoo_cli("evaluate", run, "--data", cards, "--no-plugin", "acme")
    assert "neither a folder nor a table" in absent.err


def test_a_reader_states_what_it_reads() -> None:
    for wrong in ({}, {"suffixes": ("acme",)}, {"suffixes": (".a",), "scheme": "a"}):
        with pytest.raises(zoo.ContractError, match="the reader 'x' is not valid"):
            zoo.ReaderSpec(name="x", read="acme:read", **wrong)


@pytest.mark.slow
def test_an_undefined_metric_is_null_in_the_record_and_undefined_in_words(
    tmp_path: Path, zoo_cli: Zoo
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for split, label in (("train", "{0}.5"), ("val", "3.5")):
        rows = [f"word{i} {split},{label.format(i)}" for i in range(8)]
        (data / f"{split}.csv").write_text("\n".join(["text,label", *rows, ""]))
    options = ("--task", "regression", "--epochs", 1, "--no-report")
    done = zoo_cli("finetune", "lstm", "--data", data, *options, "--output", tmp_path / "run")
    assert "R² undefined" in done.out
    text = (tmp_path / "run" / "run.json").read_text()
    assert json.loads(text, parse_constant=lambda _: 1 / 0)["results"]["metrics"]["r2"] is None
    assert "| R² (validation) | undefined |" in (tmp_path / "run" / "README.md").read_text()
    evaluated = zoo_cli("evaluate", tmp_path / "run", "--data", data / "val.csv")
    assert "R²: undefined: the true values do not vary" in evaluated.err
    added = zoo_cli("add", tmp_path / "run", "--name", "constant", "--json")
    assert added.code == 0, added.err
    assert zoo_cli("show", "constant", "--json").code == 0


def test_a_source_with_other_splits_is_refused(acme: Any) -> None:
    reader = zoo.ReaderSpec(name="odd", read=acme.read_archive, scheme="acme", plugin="acme")
    with pytest.raises(zoo.ZooError, match="reader acme/odd: its splits are first") as error:
        read_source("acme:odd", reader)
    assert error.value.hint
