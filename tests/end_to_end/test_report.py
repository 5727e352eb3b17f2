"""The page about a run, and runs side by side, as a user gets them."""

from __future__ import annotations

import csv
import html
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from tests.end_to_end.conftest import Zoo
from zoo.engine.progress import Quiet
from zoo.runs.reliability import calibration

HOSTILE = "<img src=x onerror=alert(1)>\u202e\x1b"
"""A class that would be a tag, turn the direction of writing, and speak to a terminal."""


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 60 images, of which a tenth have the label of another colour."""
    folder = tmp_path_factory.mktemp("colours")
    generator = np.random.default_rng(0)
    rows = []
    for number in range(60):
        channel = number % 2
        pixels = generator.integers(0, 90, (32, 32, 3), dtype=np.uint8)
        pixels[4:20, 4:20, channel] += 150
        Image.fromarray(pixels).save(folder / f"{number}.png")
        wrong = number % 10 == 3
        rows.append([f"{number}.png", (HOSTILE, "green")[channel ^ wrong]])
    with (folder / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "label"), *rows])
    return folder / "train.csv"


@pytest.fixture(scope="module")
def few(colours: Path) -> Path:
    """A table of eight other images, which no run was trained on."""
    generator = np.random.default_rng(9)
    lines = ["image,label"]
    for number in range(8):
        pixels = generator.integers(0, 90, (32, 32, 3), dtype=np.uint8)
        pixels[4:20, 4:20, 1] += 150
        Image.fromarray(pixels).save(colours.parent / f"other{number}.png")
        lines.append(f"other{number}.png,green")
    kept = colours.parent / "few.csv"
    kept.write_text("\n".join(lines))
    return kept


@pytest.fixture(scope="module")
def run(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "cnn-1"
    zoo.finetune(
        *("cnn", colours), image_size=32, epochs=3, val_split=0.4, output=folder, reporter=Quiet()
    )
    return folder


@pytest.fixture(scope="module")
def other(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "cnn-2"
    zoo.finetune(
        *("cnn", colours),
        image_size=16,
        epochs=1,
        val_split=0.4,
        output=folder,
        reporter=Quiet(),
    )
    return folder


def _page(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def test_every_run_has_a_page_with_all_its_parts(run: Path) -> None:
    page, record = _page(run), json.loads((run / "run.json").read_text())
    for part in ("trained", "learning", "classes", "calibration", "mistakes", "cost", "use"):
        assert f'<h2 id="{part}-title">' in page
    assert f"{record['results']['metrics']['accuracy']:.4f}" in page
    assert f"zoo predict {run}" in page
    assert "The most confident mistakes" in page
    found = record["results"]["calibration"]
    if found["temperature"] == 1:
        assert "No temperature lowers the loss" in page
    else:
        errors = [f"{found[key]:.4f}" for key in ("error_before", "error_after")]
        text = " ".join(page.split())
        assert f"held-out samples of training from {errors[0]} to {errors[1]}" in text
    assert "Grad-CAM at conv2, 8 × 8" in page
    images = re.findall(r'<img src="data:image/jpeg;base64,[^"]+" width="208"', page)
    assert len(images) == 2 * page.count("<article") > 0
    assert record["results"]["memory"]["process"] > 10**7
    assert len(page) < 500_000


def test_the_page_asks_for_nothing_from_outside(run: Path) -> None:
    page = _page(run)
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert "<script" not in page
    addresses = re.findall(r'(?:src|href|action)="([^"]*)"', page)
    assert all(a.startswith(("data:", "#")) for a in addresses)
    assert "style=" not in page


def test_names_of_classes_are_text_and_nothing_else(run: Path) -> None:
    page = _page(run)
    assert html.escape("<img src=x onerror=alert(1)>") in page
    assert "<img src=x" not in page
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e]", page)


def test_zoo_report_makes_it_again(run: Path, tmp_path: Path, zoo_cli: Zoo) -> None:
    again = tmp_path / "again.html"
    done = zoo_cli("report", run, "--output", again, "--json")
    assert done.code == 0, done.err
    assert done.json.keys() == {
        *("report", "evaluated_on", "samples", "metrics", "calibration_error", "mistakes"),
        "calibrated_error",
        *("attribution", "no_attribution"),
    }
    assert done.json["samples"] == 24
    assert done.json["mistakes"] > 0
    assert 0 <= done.json["calibration_error"] <= 1
    warmth = json.loads((run / "run.json").read_text())["results"]["calibration"]["temperature"]
    kept = zoo.open_run(run).kept_predictions()
    divided = torch.from_numpy(kept.outputs).log().div(warmth).softmax(dim=1).numpy()
    found = calibration(zoo.open_run(run).task, divided, kept.labels)
    assert found is not None
    assert done.json["calibrated_error"] == pytest.approx(found.error)
    (drawn,) = re.findall(r'<polyline class="after" points="([^"]*)"', again.read_text())
    assert len(drawn.split()) == sum(bool(each.count) for each in found.bins)
    assert again.read_text() == _page(run)


def test_open_shows_it_or_says_where_it_is(
    run: Path, tmp_path: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", shown.append)  # which says that there is no browser
    page = tmp_path / "page.html"
    done = zoo_cli("report", run, "--output", page, "--open")
    assert shown == [page.as_uri()]
    assert f"open it yourself: {page}" in done.err


def test_other_data_are_what_the_page_is_about(
    run: Path, few: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    output = tmp_path / "few.html"
    done = zoo_cli("report", run, "--data", few, "--output", output)
    assert done.code == 0, done.err
    assert done.out.strip() == f"report: {output}"
    assert f"8 samples of {few}" in output.read_text()
    assert zoo_cli("report", run, "--split", "val").code == 1
    assert "--split val" in zoo_cli("report", run, "--split", "val").err


def test_without_its_data_the_page_says_so(run: Path, tmp_path: Path, zoo_cli: Zoo) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    record = json.loads((moved / "run.json").read_text())
    record["request"]["data"] = str(tmp_path / "gone.csv")
    (moved / "run.json").write_text(json.dumps(record))
    done = zoo_cli("report", moved)
    assert done.code == 0, done.err
    assert "its data is not available" in done.err
    assert "No attribution: its data is not available" in _page(moved)
    assert "<img" not in _page(moved)
    record["machine"] = "many"
    (moved / "run.json").write_text(json.dumps(record))
    broken = zoo_cli("report", moved)
    assert (broken.code, "is damaged" in broken.err) == (1, True)
    (moved / "predictions.parquet").unlink()
    gone = zoo_cli("report", moved)
    assert (gone.code, "predictions.parquet" in gone.err) == (1, True)
    taken = zoo_cli("report", run, "--output", "/proc/nowhere/report.html")
    assert (taken.code, "cannot be written" in taken.err) == (1, True)


def test_data_that_have_changed_are_not_shown(run: Path, tmp_path: Path, zoo_cli: Zoo) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(run, changed)
    record = json.loads((changed / "run.json").read_text())
    record["data"]["fingerprint"] = "0" * 64
    (changed / "run.json").write_text(json.dumps(record))
    assert zoo_cli("report", changed).code == 0
    assert "the data has changed since" in _page(changed)
    assert "<img" not in _page(changed)


def test_zoo_finetune_names_the_page(colours: Path, tmp_path: Path, zoo_cli: Zoo) -> None:
    done = zoo_cli(
        *("finetune", "cnn", "--data", colours, "--image-size", 16, "--epochs", 1),
        *("--output", tmp_path / "run"),
    )
    assert f"report: {tmp_path / 'run' / 'report.html'}" in done.out


def test_without_heat_maps_the_page_is_there_and_says_so(
    run: Path, tmp_path: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no gradient")

    monkeypatch.setattr("zoo.modalities.image.attribution.grad_cam", fail)
    output = tmp_path / "plain.html"
    assert zoo_cli("report", run, "--output", output).code == 0
    page = output.read_text()
    assert "No attribution: " in page
    assert "no gradient" in page
    assert page.count('width="208"') == page.count("<article") > 0  # the images alone


def test_a_page_that_fails_costs_the_run_nothing(
    colours: Path, tmp_path: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    done = zoo_cli(
        *("finetune", "cnn", "--data", colours, "--image-size", 16, "--epochs", 1),
        *("--output", tmp_path / "run", "--json"),
    )
    assert done.code == 0, done.err
    assert done.json["report"] is None
    assert "failed to write report.html: " in done.err
    assert f"try 'zoo report {tmp_path / 'run'}'" in done.err
    assert not (tmp_path / "run" / "report.html").exists()
    assert zoo.open_run(tmp_path / "run").metrics["accuracy"] >= 0


# -- the other tasks ---------------------------------------------------------------------------


def test_texts_are_shown_with_the_words_that_spoke_for_the_answer(tmp_path: Path) -> None:
    table = tmp_path / "reviews.tsv"
    rows = [
        f"{'good' if i % 2 else 'dull'} film {i}\t{'yes' if i % 2 else 'no'}" for i in range(40)
    ]
    rows[::7] = [row.replace("yes", "no") for row in rows[::7]]
    table.write_text("text\tlabel\n" + "\n".join(rows))
    run = zoo.finetune("lstm", table, epochs=2, output=tmp_path / "run", reporter=Quiet())
    page = _page(run.folder)
    assert "integrated gradients over the token embeddings, 24 steps" in page
    assert re.search(r'<mark class="(for f|against a)[1-4]">\w+</mark>', page)
    assert "<img" not in page


def test_pairs_numbers_and_sets_of_labels_get_what_applies(tmp_path: Path) -> None:
    table = tmp_path / "pairs.csv"
    lines = [f"a dog {i},an animal {i},{i % 5},{'red|old' if i % 2 else 'red'}" for i in range(30)]
    table.write_text("one,two,grade,labels\n" + "\n".join(lines))
    options = {"text_column": ("one", "two"), "epochs": 1, "reporter": Quiet()}
    numbers = zoo.finetune(
        *("lstm", table), task="regression", label_column="grade", output=tmp_path / "n", **options
    )
    page = _page(numbers.folder)
    assert "The largest errors" in page
    assert "Predicted over true values: grade" in page
    assert 'id="calibration"' not in page
    assert page.count("<blockquote") == 2 * page.count("<article") > 0
    (_, same) = zoo.compare([numbers, numbers.folder]).contenders
    assert same.contest is not None
    assert (same.contest.name, same.contest.better, same.contest.p) == ("bootstrap", 0, 1.0)
    sets = zoo.finetune(*("lstm", table), label_column="labels", output=tmp_path / "s", **options)
    page = _page(sets.folder)
    assert "average precision" in page
    assert "decisions, one a class and sample," in page
    assert "Confusion matrix" not in page


# -- comparing ---------------------------------------------------------------------------------


def test_compare_tells_metrics_classes_and_chance(
    run: Path, other: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.tasks.significance.RESAMPLES", 40)
    done = zoo_cli("compare", run, other, run, "--json")
    assert done.code == 0, done.err
    first, second, same = done.json["runs"]
    assert done.json["samples"] == 24
    assert first["metrics"] == pytest.approx(zoo.open_run(run).metrics)
    assert first["test"] is None
    assert same["test"] == {
        "name": "mcnemar-exact", "better": 0, "worse": 0, "p": 1.0, "p_holm": 1.0,
        "interval": None,
    }  # fmt: skip
    test = second["test"]
    gained = second["metrics"]["accuracy"] - first["metrics"]["accuracy"]
    assert test["better"] - test["worse"] == round(24 * gained)
    assert test["p_holm"] == pytest.approx(min(1, 2 * test["p"]))
    assert same["differences"] == dict.fromkeys(zoo.open_run(run).classes, 0.0)
    assert first["params"] == zoo.open_run(run).record["params"]
    more = zoo_cli("compare", run, other, run, "--metric", "mcc")
    assert (
        "95 % interval of the difference +0.0000 to +0.0000; paired bootstrap, p = 1:" in more.out
    )
    shown = zoo_cli("compare", run, other, "--metric", "mcc", "--json").json["runs"]
    low, high = shown[1]["test"]["interval"]
    assert low <= shown[1]["metrics"]["mcc"] - shown[0]["metrics"]["mcc"] <= high
    assert shown[1]["test"]["name"] == "bootstrap"
    undefined = zoo_cli("compare", run, other, "--metric", "top_k:9")
    assert "top-9 accuracy: undefined" in undefined.out
    assert ("interval" in undefined.out, "nan" in undefined.out) == (False, False)
    printed = zoo_cli("compare", run, other, run)
    for words in ("on 24 validation samples", "macro F1", "McNemar", "Holm's method", "params"):
        assert words in printed.out


def test_compare_says_by_which_of_two_selection_metrics(
    run: Path, tmp_path: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.tasks.significance.RESAMPLES", 10)
    record = json.loads((run / "run.json").read_text())
    shutil.copytree(run, tmp_path / "mcc")
    (tmp_path / "mcc" / "run.json").write_text(
        json.dumps(record | {"task": {"name": "single-label", "metric": "mcc"}})
    )
    done = zoo_cli("compare", run, tmp_path / "mcc")
    assert f"compared by accuracy, the selection metric of {run};" in done.err
    assert f"selected in {tmp_path / 'mcc'} by MCC" in done.err
    done = zoo_cli("compare", run, tmp_path / "mcc", "--metric", "mcc")
    assert ("compared by" in done.err, "MCC: " in done.out) == (False, True)


def test_compare_refuses_what_cannot_be_compared(
    run: Path, photos: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    assert "two runs" in zoo_cli("compare", run).err
    record = json.loads((run / "run.json").read_text())
    for name, changes, words in (
        ("task", {"task": {"name": "multi-label", "metric": "map"}}, "is multi-label"),
        ("classes", {"classes": ["moss", "green"]}, "have different classes"),
    ):
        shutil.copytree(run, tmp_path / name)
        (tmp_path / name / "run.json").write_text(json.dumps(record | changes))
        done = zoo_cli("compare", run, tmp_path / name)
        assert (done.code, words in done.err) == (1, True), done.err


def test_runs_with_other_samples_are_compared_on_those_in_common(
    run: Path, colours: Path, few: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    seeded = tmp_path / "seeded"
    zoo.finetune(
        *("cnn", colours),
        image_size=16,
        epochs=1,
        val_split=0.4,
        seed=1,
        reporter=Quiet(),
        output=seeded,
    )
    done = zoo_cli("compare", run, seeded, "--json")
    assert done.code == 0, done.err
    assert 0 < done.json["samples"] < 24
    assert f"the {done.json['samples']} common" in done.json["remarks"][0]
    whole = zoo_cli("compare", run, seeded, "--data", few, "--json")
    assert whole.json["samples"] == 8
    import pyarrow.parquet as pq

    path = seeded / "predictions.parquet"
    table = pq.read_table(path)
    names = [f"elsewhere/{i}.png" for i in range(len(table))]
    pq.write_table(table.set_column(0, "input", [names]), path)
    none = zoo_cli("compare", run, seeded)
    assert (none.code, "no common samples" in none.err) == (1, True)
    assert "--data PATH" in none.err


def test_a_run_can_do_without_its_report_and_get_it_later(zoo_cli: Zoo, tmp_path: Path) -> None:
    told = zoo_cli(
        "finetune", "cnn", "--classes", 2, "--epochs", 1, "--no-report", "--json",
        "--output", tmp_path / "run",
    )  # fmt: skip
    assert told.code == 0
    assert told.json["report"] is None
    assert not (tmp_path / "run" / "report.html").exists()
    assert zoo_cli("report", tmp_path / "run").code == 0
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
