"""``zoo clean``: labels that are probably wrong come first, and a person decides."""

from __future__ import annotations

import csv
import json
import random
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zoo
from tests.end_to_end.conftest import Zoo
from tests.opened import open_data
from zoo.cleaning.probe import folds
from zoo.data.rows import open_rows
from zoo.data.samples import joined
from zoo.errors import DataError, RunError, UsageError
from zoo.modalities import IMAGE, TEXT
from zoo.tasks import task_named, tasks_for

HOSTILE = "</script><script>alert(1)</script> \u202e lovely fine"
GOOD, BAD = (
    ["great", "lovely", "superb", "fine", "happy"],
    ["awful", "bad", "poor", "broken", "sad"],
)
WRONG = {"8", "21", "40"}
"""Rows whose label is another one."""


def reviews(path: Path, *, column: str = "label", suffix: str = "") -> Path:
    draw, lines = random.Random(0), []
    for row in range(1, 61):
        words = " ".join(draw.choices((GOOD, BAD)[row % 2], k=4))
        label = ("good", "bad")[(row % 2) ^ (str(row) in WRONG)]
        lines.append([f"{words} thing {row}", label])
    lines[29][0] = HOSTILE
    lines[49] = ["Lovely  GREAT day", "good"]
    lines[51] = ["lovely great day", "bad"]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["text", column], *([t, f"{la}{suffix}"] for t, la in lines)])
    return path


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory: pytest.TempPathFactory) -> zoo.Cleaned:
    folder = tmp_path_factory.mktemp("clean")
    data = reviews(folder / "reviews.csv")
    return zoo.clean(data, backbone="lstm", weights="none", output=folder / "out", workers=0)


def test_wrong_labels_come_first_with_the_right_ones_suggested(cleaned: zoo.Cleaned) -> None:
    first = cleaned.judged[:4]
    assert {each.key for each in first} == {*WRONG, "52"}
    assert all("mislabelled" in each.reasons for each in first)
    assert all({each.label, each.suggested} == {"good", "bad"} for each in first)
    assert len(cleaned.judged) == 60
    assert cleaned.counts["near-duplicate with another label"] == 2
    assert {each.key: each.near for each in cleaned.judged if each.near} == {"50": "52", "52": "50"}
    quality = [each.quality for each in cleaned.judged]
    assert quality == sorted(quality)
    assert 0 <= quality[0] < 0.2 < 0.5 < quality[-1] <= 1


def test_the_table_has_every_label_and_is_a_file_of_corrections(
    cleaned: zoo.Cleaned, tmp_path: Path
) -> None:
    with cleaned.labels.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [*rows[0]] == [
        "row",
        "split",
        "label",
        "suggested",
        "quality",
        "reason",
        "near",
        "decision",
    ]
    assert [row["row"] for row in rows] == [each.key for each in cleaned.judged]
    assert {row["decision"] for row in rows} == {""}
    assert {row["split"] for row in rows} == {"all"}
    lines = cleaned.labels.read_text().splitlines()
    decided = [line + ("relabel" if i in (1, 2, 3, 4) else "") for i, line in enumerate(lines)]
    (tmp_path / "decided.csv").write_text("\n".join(decided))
    data = cleaned.output.parent / "reviews.csv"
    again = open_data(data, kind=TEXT, corrections=str(tmp_path / "decided.csv"))
    assert again.corrections is not None
    assert again.corrections.relabelled == 4


def test_the_page_escapes_what_it_shows_and_asks_nobody(cleaned: zoo.Cleaned) -> None:
    page = cleaned.page.read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert "\u202e" not in page
    assert page.count("<article") == 60
    assert "http" not in page.replace("http-equiv", "")


def test_several_labels_and_numbers_are_judged_too(tmp_path: Path, zoo_cli: Zoo) -> None:
    tags = reviews(tmp_path / "tags.csv", column="labels", suffix="; all")
    command = ("--backbone", "lstm", "--weights", "none", "--workers", "0", "--json")
    found = zoo_cli("clean", tags, *command, "--output", tmp_path / "tags").json
    assert {each["row"] for each in found["suspicious"][:4]} == {*WRONG, "52"}
    assert found["suspicious"][0]["suggested"] in (["all", "good"], ["all", "bad"])
    text = (reviews(tmp_path / "n.csv").read_text()).replace(",good", ",5.5").replace(",bad", ",1")
    (tmp_path / "n.csv").write_text(text)
    found = zoo_cli(
        *("clean", tmp_path / "n.csv", *command, "--task", "regression"),
        *("--output", tmp_path / "numbers", "--top", "2"),
    ).json
    first = found["suspicious"][0]
    assert {each["row"] for each in found["suspicious"]} >= WRONG
    assert len(found["suspicious"]) <= 10
    assert abs(first["suggested"] - first["label"]) > 2
    assert (tmp_path / "numbers" / "labels.html").read_text().count("<article") == 4


def test_it_says_what_it_found_and_takes_the_next_free_folder(
    tmp_path: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reviews(tmp_path / "reviews.csv")
    Path("reviews-clean").mkdir()
    said = zoo_cli("clean", "reviews.csv", "--backbone", "lstm", "--weights", "none")
    assert said.code == 0, said.err
    assert "60 labels judged with basics/lstm: mislabelled" in said.out
    assert "page: reviews-clean-2/labels.html" in said.out
    before = (tmp_path / "reviews.csv").read_bytes()
    assert reviews(tmp_path / "same.csv").read_bytes() == before


def test_classes_that_nobody_or_everybody_has_are_no_obstacle() -> None:
    draw = np.random.default_rng(0)
    labels = np.zeros((30, 3), dtype=np.float32)
    labels[:, 2], labels[:15, 0] = 1, 1
    probabilities = np.where(labels, 0.9, 0.1) + draw.uniform(-0.05, 0.05, (30, 3))
    labels[4, 0] = 0
    alone = task_named("multi-label").label_quality(probabilities, labels)
    assert (int(alone.quality.argmin()), alone.wrong[4]) == (4, True)
    assert alone.suggested[4].tolist() == [1, 0, 1]
    classes = np.repeat([0, 2, 3], 10)
    of_four = np.full((30, 4), 0.05)
    of_four[np.arange(30), classes] = 0.85
    classes[4] = 3
    single = task_named("single-label").label_quality(of_four, classes)
    assert (int(single.quality.argmin()), int(single.suggested[4])) == (4, 0)


# -- images ----------------------------------------------------------------------------------------


def images(root: Path) -> Path:
    """Dark and light images with a copy of one in another class and split, and one of another kind."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 10), ("val", 4)):
        for label, level in (("dark", 40), ("light", 200)):
            (root / split / label).mkdir(parents=True)
            for i in range(count):
                pixels = draw.normal(level, 25, (32, 32, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / split / label / f"<b>{label}{i}.png")
    copy = Image.open(root / "train/dark/<b>dark3.png")
    copy.resize((48, 48), Image.Resampling.BICUBIC).save(root / "val/light/copy.png")
    return root


def test_images_of_all_splits_are_judged_and_shown(tmp_path: Path, zoo_cli: Zoo) -> None:
    root = images(tmp_path / "photos")
    found = zoo_cli(
        *("clean", root, "--backbone", "cnn", "--weights", "none", "--image-size", "32"),
        *("--output", tmp_path / "out", "--workers", "0", "--json"),
    ).json
    first = found["suspicious"][0]
    assert (first["file"], first["split"]) == ("val/light/copy.png", "val")
    assert (first["label"], first["suggested"]) == ("light", "dark")
    assert first["near"] == "train/dark/<b>dark3.png"
    page = (tmp_path / "out" / "labels.html").read_text()
    assert page.count('src="data:image/jpeg;base64,') == 29
    assert "<b>dark3" not in page
    assert "train/dark/&lt;b&gt;dark3.png" in page


def test_recordings_can_be_played_and_objects_in_memory_are_shown(
    tmp_path: Path, zoo_cli: Zoo
) -> None:
    soundfile = pytest.importorskip("soundfile")
    draw = np.random.default_rng(0)
    for label, pitch in (("low", 200), ("high", 2000)):
        (tmp_path / "tones" / label).mkdir(parents=True)
        for i in range(5):
            wave = 0.3 * np.sin(np.arange(4000) / 8000 * 2 * np.pi * pitch * draw.uniform(1, 1.1))
            soundfile.write(tmp_path / "tones" / label / f"{i}.wav", wave, 8000)
    (tmp_path / "tones/low/0.wav").rename(tmp_path / "tones/high/wrong.wav")
    zoo_cli(
        *("clean", tmp_path / "tones", "--backbone", "audio-cnn", "--weights", "none"),
        *("--input", "seconds=0.5", "--output", tmp_path / "out", "--workers", "0"),
    )
    page = (tmp_path / "out" / "labels.html").read_text()
    assert page.index("high/wrong.wav") < page.index("low/1.wav")
    assert page.count('<audio controls preload="none" src="data:audio/') == 10
    noise = [draw.integers(0, 80, (24, 24, 3)) + 120 * (i % 2) for i in range(12)]
    given = [(Image.fromarray(each.astype(np.uint8)), "ab"[i % 2]) for i, each in enumerate(noise)]
    found = zoo.clean(
        [*given, (given[0][0].rotate(90), "b")],
        backbone="cnn",
        weights="none",
        image_size=32,
        workers=0,
        output=tmp_path / "memory",
    )
    assert (found.column, found.judged[0].key, found.judged[0].suggested) == ("row", "13", "a")
    assert found.page.read_text().count('src="data:image/jpeg;base64,') == 13


def test_near_duplicates_and_groups_are_in_one_fold(tmp_path: Path) -> None:
    rows = open_rows(images(tmp_path / "photos"), kind=IMAGE, tasks=tasks_for("auto"))
    whole = joined(list(rows.splits.values()))
    names = [whole.input(i) for i in range(len(whole))]
    pair = [i for i, n in enumerate(names) if n.endswith(("train/dark/<b>dark3.png", "copy.png"))]
    task, groups = task_named("single-label"), np.array([f"g{i // 3}" for i in range(len(names))])
    for samples in (whole, replace(whole, groups=groups)):
        parts = folds(samples, task, rows.classes, 0)
        assert len(parts) == 5
        assert sorted(np.concatenate(parts)) == list(range(len(names)))
        assert sum(set(pair) <= set(part.tolist()) for part in parts) == 1
    assert all(not set(groups[part]) & set(np.delete(groups, part)) for part in parts)
    with pytest.raises(DataError, match="too few samples of a class, or too few groups"):
        folds(replace(whole, groups=np.full(len(names), "g")), task, rows.classes, 0)


# -- what cannot be judged -------------------------------------------------------------------------


def test_what_cannot_be_judged_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = reviews(tmp_path / "reviews.csv")
    options = {"backbone": "lstm", "weights": "none", "output": tmp_path / "out", "workers": 0}
    with pytest.raises(UsageError, match="top must be at least 1"):
        zoo.clean(data, **options, top=0)  # type: ignore[arg-type]
    (tmp_path / "plain.txt").write_text("a\nb\n")
    with pytest.raises(DataError, match="has no labels to judge"):
        zoo.clean(tmp_path / "plain.txt", **options)  # type: ignore[arg-type]
    (tmp_path / "one.csv").write_text("text,label\na,x\nb,x\n")
    with pytest.raises(DataError, match=r"labels of .*one.csv are the same"):
        zoo.clean(tmp_path / "one.csv", **options)  # type: ignore[arg-type]
    with pytest.raises(RunError, match="exists"):
        zoo.clean(data, **{**options, "output": tmp_path})  # type: ignore[arg-type]
    monkeypatch.setattr("zoo.cleaning.default_backbone.find_candidates", lambda *_, **__: ([], []))
    with pytest.raises(RunError, match="no backbone for texts has weights"):
        zoo.clean(data, output=tmp_path / "out")
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    with pytest.raises(UsageError, match="needs the library cleanlab") as caught:
        zoo.clean(data, **options)  # type: ignore[arg-type]
    assert "zoo-finetune[clean]" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_json_is_a_document(cleaned: zoo.Cleaned) -> None:
    document = json.loads(json.dumps(cleaned.to_json()))
    assert document["samples"] == 60
    assert document["counts"]["mislabelled"] == len(
        [each for each in document["suspicious"] if "mislabelled" in each["reasons"]]
    )


# -- real data -------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.slow(1)
def test_flipped_labels_of_real_texts_come_first(sst2: Path, minilm: Path, tmp_path: Path) -> None:
    with (sst2 / "dev.tsv").open(encoding="utf-8") as file:
        header, *lines = file.read().splitlines()[:601]
    flipped = set(random.Random(0).sample(range(1, 601), 30))  # of 600, 5 %
    lines = [
        line[:-1] + str(int(line[-1]) ^ (row in flipped)) for row, line in enumerate(lines, start=1)
    ]
    (tmp_path / "dev.tsv").write_text("\n".join([header, *lines]), encoding="utf-8")
    found = zoo.clean(
        tmp_path / "dev.tsv", backbone=f"path:{minilm}", output=tmp_path / "out", workers=0
    )
    first = [int(each.key) for each in found.judged[:60]]
    assert len(flipped & set(first)) >= 10  # 13 to 16 with four seeds; by chance 3
    assert found.judged[0].suggested != found.judged[0].label
