"""``zoo recommend`` and ``zoo embed`` on images and texts, with runs that were really trained."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
import torch
from PIL import Image

import zoo
from tests.end_to_end.conftest import Zoo
from zoo.engine.progress import Quiet
from zoo.errors import UsageError
from zoo.registry.publishing import publish


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders with 20 images each of stripes in the noise: across, down, or slanted."""
    root, generator = tmp_path_factory.mktemp("stripes"), np.random.default_rng(0)
    across, down = np.mgrid[:24, :24]
    for name, lines in (("across", across), ("down", down), ("slanted", across + down)):
        (root / name).mkdir()
        for number in range(20):
            pixels = generator.integers(0, 160, (24, 24, 3), dtype=np.uint8)
            pixels[(lines + number) % 6 < 3] += 50
            Image.fromarray(pixels).save(root / name / f"{number:02}.png")
    return root


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Settings and caches that the tests of this module share."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        patch.setenv("ZOO_CACHE", str(folder / "cache"))
        patch.setenv("TORCH_HOME", str(folder / "torch"))
        patch.setenv("HF_HUB_CACHE", str(folder / "hub"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setattr("zoo.ranking.candidates.reachable", lambda _: False)
        yield folder


@pytest.fixture(scope="module")
def run(home: Path, stripes: Path) -> Path:
    """A run on the stripes, published as ``learned``."""
    done = zoo.finetune(
        "cnn", stripes, epochs=8, output=home / "run", workers=0, image_size=16, reporter=Quiet()
    )
    publish("learned", done.folder, registry=zoo.Registry.discover())
    return done.folder


def _ranking(zoo_cli: Zoo, data: Path, *arguments: object) -> Any:
    done = zoo_cli("recommend", data, *arguments, "--workers", 0, "--json")
    assert done.code == 0, done.err
    return done.json


def test_a_run_that_has_learned_the_classes_is_ahead_of_random_parameters(
    run: Path, stripes: Path, zoo_cli: Zoo
) -> None:
    found = _ranking(zoo_cli, stripes, "cnn", "learned", "--weights", "none")
    assert [row["name"] for row in found["ranked"]] == ["learned", "cnn"]
    learned, random = found["ranked"]
    assert (learned["weights"], random["weights"]) == ("learned", "none")
    assert learned["logme"] > random["logme"]
    assert learned["seconds"] > 0
    assert found["samples"] == 60
    assert found["next"] == f"zoo finetune learned --data {stripes}"


def test_a_second_ranking_builds_no_network(
    run: Path, stripes: Path, tmp_path: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _ranking(zoo_cli, stripes, "cnn", "learned", "--weights", "none")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a network is built")

    monkeypatch.setattr("zoo.training.start.build", refuse)
    monkeypatch.setattr("zoo.runs.opened.build", refuse)
    second = _ranking(zoo_cli, stripes, "cnn", "learned", "--weights", "none")
    assert second["ranked"] == first["ranked"]
    assert second["left_out"] == []
    other = _ranking(zoo_cli, stripes, "learned", "cnn", "--weights", "none", "--seed", 1)
    assert [one["name"] for one in other["left_out"]] == ["cnn"]  # other random parameters
    assert "a network is built" in other["left_out"][0]["reason"]
    changed = shutil.copytree(stripes, tmp_path / "changed")
    assert _ranking(zoo_cli, changed, "learned")["ranked"] == first["ranked"][:1]  # a mere copy
    shutil.copy(changed / "down" / "00.png", changed / "across" / "00.png")
    again = zoo_cli("recommend", changed, "learned", "--workers", 0)
    assert again.code == 1
    assert "learned left out: AssertionError: a network is built" in again.err


def test_a_log_has_a_line_for_each_and_the_result_what_was_left_out(
    run: Path, stripes: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    plot = tmp_path / "choice.svg"
    done = zoo_cli("recommend", stripes, "--workers", 0, "--plot", plot)
    assert done.code == 0
    assert "1/1 learned  probe " in done.err
    assert "left out, weights not on this machine, and their host is unreachable: res" in done.out
    assert "1 left out, no weights published: cnn" in done.out
    assert done.out.splitlines()[-1] == f"next: zoo finetune learned --data {stripes}"
    assert "<svg" in plot.read_text()
    nowhere = zoo_cli("recommend", stripes, "--workers", 0, "--plot", "/dev/null/choice.svg")
    assert nowhere.code == 1
    assert "the plot cannot be written to /dev/null/choice.svg" in nowhere.err
    two = zoo_cli("recommend", stripes, "cnn", "learned", "--weights", "none", "--top", 1)
    assert "and 1 more: --top 2" in two.out
    assert "accuracy against seconds per 1,000 samples" in two.out


def test_the_time_over_is_reported_with_what_was_not_reached(
    run: Path, stripes: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def begun(name: str, *_: int) -> None:
        tried.append(name)
        if len(tried) == 2:  # the clock moves on to the end
            later = time.monotonic() + 60
            monkeypatch.setattr("zoo.ranking.deadline.time.monotonic", lambda: later)

    from zoo.ranking.ranking import Watch

    names = ["learned", "cnn", "resnet10t"]
    ranking = zoo.recommend(
        stripes, names, weights="none", time_limit=50, workers=0, watch=Watch(started=begun)
    )
    assert [row.name for row in ranking.ranked] == ["learned"]
    assert ranking.not_reached == ("cnn", "resnet10t")
    with pytest.raises(UsageError, match=r"50.*1"):
        zoo.recommend(stripes, ["learned"], time_limit=50, started=time.monotonic() - 100)


def test_what_cannot_be_ranked_says_why_and_what_to_type(
    home: Path, stripes: Path, zoo_cli: Zoo
) -> None:
    none = zoo_cli("recommend", stripes, "cnn", "lstm")
    assert (none.code, none.out) == (1, "")
    assert "no backbone for images can be ranked" in none.err
    assert "no weights published: cnn" in none.err
    assert "takes texts: lstm" in none.err
    assert "zoo add" in none.err
    for arguments, message in (
        (["--samples", 3], "--samples must be at least 10, got 3"),
        (["--time-limit", 1], "--time-limit must be greater than 3 seconds, got 1"),
        (["--plot", "x.bmp"], "--plot"),
    ):
        failed = zoo_cli("recommend", stripes, *arguments)
        assert failed.code == 1
        assert message in failed.err
    assert zoo_cli("recommend", stripes, "--time-limit", "soon").code == 2
    with pytest.raises(UsageError, match=r"weights.*v1"):
        zoo.recommend(stripes, weights="v1")


def test_one_that_fails_takes_no_other_with_it(
    run: Path, stripes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo.ranking import features

    start_from = features.start_from

    def start(request: Any, *rest: Any) -> Any:
        if request.backbone == "resnet10t":
            raise RuntimeError("no such kernel\nand more")
        made = start_from(request, *rest)
        if request.backbone == "cnn":
            for parameter in made.backbone.parameters():
                parameter.data.fill_(float("nan"))
        return made

    monkeypatch.setattr(features, "start_from", start)
    names = ["resnet10t", "cnn", "learned"]
    ranking = zoo.recommend(stripes, names, weights="none", seed=3, workers=0)
    assert {row.name for row in ranking.ranked} == {"learned"}
    assert {one.name: one.reason for one in ranking.left_out} == {
        "resnet10t": "RuntimeError: no such kernel",
        "cnn": "basics/cnn returns features that are not finite",
    }


def test_texts_numbers_and_several_labels_are_ranked_too(home: Path, tmp_path: Path) -> None:
    rows = [(f"good fine {i}" if i % 2 else f"bad poor {i}", i % 2) for i in range(40)]
    table = tmp_path / "texts.csv"
    table.write_text("text,label,tags\n" + "".join(f"{t},{n}.5,a|b{n}\n" for t, n in rows))
    numbers = zoo.recommend(table, ["lstm"], weights="none", task="regression")
    assert numbers.metric == "R²"
    assert numbers.next_command().endswith("--weights none --task regression")
    several = zoo.recommend(
        table, ["lstm"], weights="none", task="multi-label", label_column="tags"
    )
    assert several.metric == "mAP"
    assert several.margin is None


# -- zoo embed ---------------------------------------------------------------------------------


def test_features_of_a_run_are_those_of_its_own_backbone_in_the_order_of_the_data(
    run: Path, stripes: Path, tmp_path: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.embedding.files.CHUNK", 7)  # 60 samples are no multiple of it
    files = {s: tmp_path / f"features.{s}" for s in ("parquet", "npy", "safetensors")}
    for file in files.values():
        done = zoo_cli("embed", run, stripes, "--output", file, "--workers", 0, "--json")
        assert done.code == 0, done.err
        assert (done.json["samples"], done.json["splits"]) == (60, {"all": 60})
        assert done.json["run"] == str(run)
    table = pq.read_table(files["parquet"])
    matrix = np.load(files["npy"])
    tensors = safetensors.numpy.load_file(files["safetensors"])
    named = [json.loads(line) for line in (tmp_path / "features.jsonl").open()]
    assert matrix.shape == (60, 128)
    assert (matrix == tensors["features"]).all()
    assert (matrix == np.array(table["features"].to_pylist(), dtype=np.float32)).all()
    assert table["input"].to_pylist() == [row["input"] for row in named]
    assert named[0] == {
        "input": str(stripes / "across" / "00.png"),
        "split": "all",
        "label": "across",
    }
    assert tensors["labels"].tolist() == [0] * 20 + [1] * 20 + [2] * 20
    assert table["label"].to_pylist() == ["across"] * 20 + ["down"] * 20 + ["slanted"] * 20
    opened = zoo.open_run(run)
    logits = opened.load().head(torch.from_numpy(matrix))
    said = [each.label for each in opened.predict([row["input"] for row in named], workers=0)]
    assert [opened.classes[i] for i in logits.argmax(dim=1)] == said


def test_features_without_labels_and_of_one_split(
    run: Path, stripes: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    output = tmp_path / "f.safetensors"
    loose = zoo.embed("learned", stripes / "down", output=output, workers=0)
    assert (loose.samples, loose.classes, loose.rows) == (20, (), tmp_path / "f.jsonl")
    assert set(safetensors.numpy.load_file(output)) == {"features"}
    missing = zoo_cli("embed", "learned", stripes, "--split", "test", "--output", output)
    assert missing.code == 1
    assert "has no split 'test'" in missing.err


def test_embed_states_the_precision_and_computes_in_it(
    run: Path, stripes: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    found = {}
    for precision in ("fp32", "bf16"):
        file = tmp_path / f"{precision}.npy"
        done = zoo_cli(
            "embed", run, stripes, "--output", file, "--workers", 0, "--precision", precision
        )
        assert f"128 features each, computed in {precision}" in done.out
        found[precision] = np.load(file)
    difference = np.abs(found["bf16"] - found["fp32"]).max() / np.abs(found["fp32"]).max()
    assert 0 < difference < 0.05


def test_embed_says_what_cannot_be(run: Path, stripes: Path, tmp_path: Path, zoo_cli: Zoo) -> None:
    for arguments, message in (
        (["cnn", stripes, "--output", "f.npy"], "cnn has no published weights"),
        ([run, stripes, "--output", "f.txt"], "--output"),
        ([run, stripes, "--output", "f.npy", "--weights", "none"], "--weights"),
        ([run, stripes, "--output", run / "run.json" / "f.npy"], "cannot be written"),
    ):
        failed = zoo_cli("embed", *arguments, "--workers", 0)
        assert failed.code == 1
        assert message in failed.err
    assert not list(tmp_path.rglob("f.*"))
    with pytest.raises(UsageError, match=r"precision must be .*fp64"):
        zoo.embed(run, stripes, output=tmp_path / "f.npy", precision="fp64")


def test_several_labels_and_numbers_lie_beside_their_features(home: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("text,tags,price\nred cat,a|b,1.5\ndog,b,2\nfox,a,3\n")
    options: dict[str, Any] = {"weights": "none", "label_column": "tags"}
    zoo.embed("lstm", table, output=tmp_path / "f.parquet", task="multi-label", **options)
    assert pq.read_table(tmp_path / "f.parquet")["label"].to_pylist() == [["a", "b"], ["b"], ["a"]]
    options["label_column"] = "price"
    zoo.embed("lstm", table, output=tmp_path / "g.safetensors", task="regression", **options)
    stored = safetensors.numpy.load_file(tmp_path / "g.safetensors")
    assert stored["labels"].tolist() == [[1.5], [2.0], [3.0]]
    assert stored["features"].shape == (3, 128)
