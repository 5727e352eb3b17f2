"""``--compile``: compiled networks give what plain ones give, and a run says which it had."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from tests.end_to_end.conftest import Zoo
from tests.end_to_end.test_engine_options import losses
from zoo.engine.compiled import compile_cache, compiled
from zoo.engine.forward import Forward
from zoo.engine.loader_factory import PLAIN_BATCH
from zoo.engine.progress import Quiet
from zoo.errors import UsageError
from zoo.system.paths import COMPILED, cache_folder

TOLERANCE = 1e-4
"""Of the largest feature: what compiled features may differ by from plain ones, in float32."""


def texts(count: int, length: int) -> dict[str, torch.Tensor]:
    ids = torch.randint(1, 50, (count, length), generator=torch.Generator().manual_seed(length))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("cnn", marks=pytest.mark.long),
        pytest.param("lstm", marks=pytest.mark.long),
    ],
)
def test_compiled_features_are_the_plain_ones(name: str) -> None:
    torch.manual_seed(0)
    backbone = zoo.load(name, weights="none")
    cpu = torch.device("cpu")
    runner = Forward(backbone, device=cpu, precision="fp32", compiler=compiled)
    if name == "cnn":
        side = runner.backbone.spec.image_input.size
        generator = torch.Generator().manual_seed(1)
        batches = [
            {"pixel_values": torch.randn(n, 3, side, side, generator=generator)}
            for n in (PLAIN_BATCH, 5)
        ]
    else:
        batches = [texts(8, 12), texts(5, 30)]
    plain = [runner.features(batch) for batch in batches]
    with compile_cache() as kept, runner.inference(1000, compiled=True) as features:
        made = [features(batch) for batch in batches]
    for one, other in zip(plain, made, strict=True):
        assert (one - other).abs().max() <= TOLERANCE * one.abs().max()
    assert kept == cache_folder() / COMPILED
    assert any(kept.rglob("*.cpp"))
    assert any((kept / "precompiled_headers").rglob("*.h"))  # not in a folder that anybody can make
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert [torch.equal(runner.features(b), p) for b, p in zip(batches, plain, strict=True)] == [
        True,
        True,
    ]


@pytest.mark.long
def test_a_compiled_run_is_repeated_and_evaluated_to_the_last_digit(
    zoo_cli: Zoo, photos: Path, tmp_path: Path
) -> None:
    options = (
        "--data",
        photos,
        "--workers",
        0,
        "--batch-size",
        16,
        "--epochs",
        1,
        "--compile",
        "on",
    )
    run = tmp_path / "run"
    header = zoo_cli("finetune", "cnn", *options, "--strategy", "two-stage", "--output", run).err
    assert "fp32, compiled" in header
    record = json.loads((run / "run.json").read_text())
    assert record["compile"] == "on"
    again = zoo_cli("rerun", run, "--output", tmp_path / "again").out
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (
        run / "model.safetensors"
    ).read_bytes(), again
    metrics = zoo_cli("evaluate", run, "--data", photos, "--json").json
    assert metrics["metrics"] == record["results"]["metrics"]
    plain = tmp_path / "plain"
    options = (*options[:-1], "off")
    zoo_cli("finetune", "cnn", *options, "--strategy", "two-stage", "--output", plain)
    for one, other in zip(losses(zoo.open_run(run)), losses(zoo.open_run(plain)), strict=True):
        assert one == pytest.approx(other, rel=1e-3)


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "code"))


@pytest.mark.slow
@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_it_says_how_to_train(tmp_path: Path) -> None:
    output = tmp_path / "run"
    with pytest.raises(UsageError, match="failed to compile") as caught:
        zoo.finetune(
            *("cnn",), classes=2, strategy="full", epochs=1, compile="on", workers=0,
            output=output, reporter=Quiet(),
        )  # fmt: skip
    assert 'compile="off"' in str(caught.value)
    assert not output.exists()


def test_a_choice_that_is_none_is_reported() -> None:
    options: dict[str, Any] = {"classes": 2, "compile": "maybe"}
    with pytest.raises(UsageError, match=r"^compile must be one of on, off, got 'maybe'"):
        zoo.finetune("cnn", **options)
