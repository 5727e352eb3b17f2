"""A backbone whose first stages are frozen: they run once over the data, the rest trains on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import zoo
from tests.end_to_end.test_resume import StopsAt
from tests.end_to_end.test_strategies import pretrained, write_texts
from zoo.engine import prefixed
from zoo.engine.progress import Quiet
from zoo.errors import Stopped
from zoo.modalities.image import transforms as loading

BERT = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}


def losses(run: zoo.Run) -> list[float]:
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    return [value for line in lines for value in (line["train_loss"], line["loss"])]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The images that have been decoded."""
    names: list[str] = []
    plain = loading.read_image

    def counted(*args: Any, name: str, **options: Any) -> Any:
        names.append(name)
        return plain(*args, name=name, **options)

    monkeypatch.setattr(loading, "read_image", counted)
    return names


def test_images_are_read_once_a_view_however_many_epochs(
    few: Path, tmp_path: Path, read: list[str]
) -> None:
    def trained(name: str, **options: object) -> zoo.Run:
        return zoo.finetune(
            "cnn", few, weights="none", strategy="full", freeze_until="conv2", cached_views=2,
            epochs=6, batch_size=4, image_size=32, workers=0, output=tmp_path / name,
            **{"reporter": Quiet(), **options},
        )  # fmt: skip

    run = trained("run")
    examples = 2 + 3
    shown = 4  # in the report: all of so few
    kept = 8 + 4  # whose features the run keeps
    assert len(read) == examples + 2 * 8 + 4 + kept + shown
    assert run.evaluate(few, split="val", workers=0)["val"].metrics == run.metrics
    read.clear()
    with pytest.raises(Stopped):
        trained("stopped", reporter=StopsAt(7))
    resumed = zoo.resume(tmp_path / "stopped", reporter=Quiet())
    assert len(read) == 2 * examples + kept + shown
    assert resumed.record["sha256"] == run.record["sha256"]


@pytest.mark.long
def test_texts_give_what_they_give_when_everything_runs_in_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = write_texts(tmp_path / "texts.csv")
    model = pretrained(tmp_path / "pretrained", "bert", BERT)

    def trained(name: str) -> zoo.Run:
        return zoo.finetune(
            f"path:{model}", texts, strategy="full", freeze_until="layer.1", epochs=3,
            batch_size=8, output=tmp_path / name, reporter=Quiet(),
        )  # fmt: skip

    cached = trained("cached")
    assert any("up to bert.encoder.layer.1" in file.read_text() for file in cache().glob("*.json"))
    monkeypatch.setattr(prefixed, "MOST_BYTES", 0)
    plain = trained("plain")
    assert losses(cached) == pytest.approx(losses(plain), rel=1e-4)
    states = [safetensors.torch.load_file(r.folder / "model.safetensors") for r in (cached, plain)]
    for name, tensor in states[0].items():
        torch.testing.assert_close(tensor, states[1][name], rtol=1e-3, atol=1e-5)
    assert cached.evaluate(texts, split="val")["val"].metrics == cached.metrics


def cache() -> Path:
    from zoo.system.paths import cache_folder

    return cache_folder() / "features"


def test_what_would_fill_the_disk_runs_in_each_step_and_is_reported(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prefixed, "MOST_BYTES", 100)
    zoo.finetune(
        "cnn", few, weights="none", strategy="full", freeze_until="conv1", cached_views=1,
        epochs=2, image_size=32, workers=0, output=tmp_path / "run",
    )  # fmt: skip
    assert "the outputs of the frozen layers would take" in capsys.readouterr().err
