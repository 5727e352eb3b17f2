"""``--compile``: compiled networks give what plain ones give, and a run says which it had."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

import zoo
from tests.end_to_end.conftest import Zoo
from tests.end_to_end.test_engine_options import losses
from zoo.engine import break_even, readings
from zoo.engine import compiled as compiled_code
from zoo.engine.break_even import Expected
from zoo.engine.compile_costs import Costs
from zoo.engine.compiler import Compiler
from zoo.engine.forward import Forward
from zoo.engine.loader_factory import PLAIN_BATCH
from zoo.engine.progress import Quiet
from zoo.errors import Stopped, UsageError
from zoo.system.paths import COMPILED, cache_folder
from zoo.training import prepare

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
    compiler = Compiler("on", cpu, Quiet())
    runner = Forward(backbone, device=cpu, precision="fp32", compiler=compiler)
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
    with runner.inference(1000, compiled="features of train") as features:
        made = [features(batch) for batch in batches]
    compiler.close()
    kept = cache_folder() / COMPILED
    for one, other in zip(plain, made, strict=True):
        assert (one - other).abs().max() <= TOLERANCE * one.abs().max()
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


@pytest.mark.long
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
    with pytest.raises(UsageError, match=r"^compile must be one of auto, on, off, got 'maybe'"):
        zoo.finetune("cnn", **options)


@pytest.fixture
def quick_trials(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """``auto`` decides on the CPU too, after few steps and for compiling; returns the notes."""
    notes: list[str] = []

    class Notes(Quiet):
        def note(self, text: str) -> None:
            notes.append(text)

    @contextmanager
    def compiling(
        requested: str, device: torch.device, *_: Any, replayed: Any = None, **__: Any
    ) -> Iterator[Compiler | None]:
        if requested == "off":
            yield None
            return
        compiler = Compiler(requested, device, Notes(), replayed=replayed)
        yield compiler
        compiler.close()

    original = torch.compile

    def quick(call: Any, *, dynamic: bool, options: Any) -> Any:
        return original(call, dynamic=dynamic, backend="aot_eager")

    monkeypatch.setattr(prepare, "compiling", compiling)
    monkeypatch.setattr(torch, "compile", quick)
    monkeypatch.setattr(Costs, "expected", lambda *_: Expected(0.0, 0.5))
    for name, value in {"_STEPS": 3, "GAIN": 0.0}.items():
        monkeypatch.setattr(break_even, name, value)
    monkeypatch.setattr(readings, "READ_STEPS", 2)
    return notes


class StopsAfter(Quiet):
    """Stops the run after some steps of training."""

    def __init__(self, left: int) -> None:
        self._left = left

    @contextmanager
    def steps(self, what: str, total: int) -> Iterator[Any]:
        def advance() -> None:
            self._left -= what.startswith("full ")
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGINT)

        yield advance


@pytest.mark.long
def test_what_was_decided_is_kept_by_a_resumed_run_and_done_again_by_a_repeated_one(
    photos: Path, tmp_path: Path, quick_trials: list[str]
) -> None:
    options: dict[str, Any] = {
        "epochs": 2, "batch_size": 4, "strategy": "full", "weights": "none", "workers": 0,
        "image_size": 16, "report": False, "precision": "fp32",
    }  # fmt: skip
    folder = tmp_path / "run"
    with pytest.raises(Stopped):
        zoo.finetune("cnn", photos, **options, output=folder, reporter=StopsAfter(9))
    assert not quick_trials  # stopped within the trial
    run = zoo.resume(folder, reporter=Quiet(), report=False)
    (entry,) = run.record["results"]["compiled"]
    assert (entry["how"], entry["stop"], entry["verdict"]) == ("code", None, "faster")
    assert 5 <= entry["start"] < 9
    assert len(quick_trials) == 1
    assert re.fullmatch(
        r"compiled: \S+ to \S+ ms a step, \d+ s to compile, \d+ s left", quick_trials[0]
    )
    again = zoo.rerun(run, output=tmp_path / "again", reporter=Quiet(), report=False)
    assert again.identical, again.differences
    assert again.second.record["results"]["compiled"] == [entry]
    assert len(quick_trials) == 1  # nothing was decided
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    assert not [name for name in weights if "_orig_mod" in name]


@pytest.mark.long
def test_what_unfreezes_is_decided_for_itself(
    photos: Path, tmp_path: Path, quick_trials: list[str]
) -> None:
    run = zoo.finetune(
        *("cnn", photos), strategy="gradual", epochs=2, batch_size=4, workers=0, image_size=16,
        weights="none", output=tmp_path / "run", reporter=Quiet(), report=False, compile="on",
    )  # fmt: skip
    entries = [e for e in run.record["results"]["compiled"] if e["of"] == "gradual"]
    assert [e["start"] for e in entries[1:]] == [e["stop"] for e in entries[:-1]]
    trained = [e["trained"] for e in entries]
    assert trained == sorted(set(trained))
    assert len(trained) > 1
    assert not quick_trials


@pytest.mark.long
def test_texts_of_any_length_are_compiled_once(
    tmp_path: Path, quick_trials: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._dynamo.utils import counters

    counters.clear()
    texts_file = tmp_path / "texts.csv"
    rows = [f"{'word ' * (1 + n % 23)}{'good' if n % 2 else 'bad'},{n % 2}" for n in range(64)]
    texts_file.write_text("\n".join(["text,label", *rows]))
    options: dict[str, Any] = {
        "epochs": 1, "batch_size": 2, "strategy": "full", "weights": "none", "compile": "on",
        "report": False, "reporter": Quiet(), "precision": "fp32",
    }  # fmt: skip
    run = zoo.finetune("lstm", texts_file, **options, output=tmp_path / "run")
    assert counters["stats"]["unique_graphs"] <= 6
    monkeypatch.setattr(torch, "compile", lambda call, **_: call)  # in the same batches
    plain = zoo.finetune("lstm", texts_file, **options, output=tmp_path / "plain")
    assert losses(run) == pytest.approx(losses(plain), rel=1e-4)
    assert not quick_trials


@pytest.mark.slow
def test_shapes_without_end_are_an_error_of_the_compiler(
    monkeypatch: pytest.MonkeyPatch, quick_trials: list[str]
) -> None:
    monkeypatch.setattr(compiled_code, "_SPARE", 2)
    network = nn.Linear(3, 1)
    call = compiled_code.compiled(network, network, dynamic=False)
    for count in (1, 2):
        call(torch.ones(count, 3))
    with pytest.raises(Exception, match="recompile_limit") as caught:
        call(torch.ones(3, 3))
    assert compiled_code.reason_of(caught.value) == compiled_code.TOO_OFTEN
    assert not quick_trials


@pytest.mark.long
def test_code_is_compiled_once_for_all_processes(tmp_path: Path) -> None:
    program = (
        "import sys, torch\n"
        "from zoo.engine.compiled import compiled\n"
        "from zoo.engine.compiler import compiling\n"
        "from zoo.engine.progress import Quiet\n"
        "from torch._dynamo.utils import counters\n"
        "network = torch.nn.Linear(3, 1)\n"
        "with compiling('on', torch.device('cpu'), Quiet()):\n"
        "    compiled(network, network, dynamic=False)(torch.ones(2, 3)).sum().backward()\n"
        "found = counters['inductor']\n"
        "print(found['fxgraph_cache_miss'], found['fxgraph_cache_hit'])\n"
    )
    environment = {**os.environ, "ZOO_CACHE": str(tmp_path)}
    ran = [
        subprocess.run(
            [sys.executable, "-c", program], env=environment, check=True, capture_output=True
        ).stdout.split()
        for _ in range(2)
    ]
    (first_misses, first_hits), (misses, hits) = ran
    assert int(first_misses) > 0
    assert int(first_hits) == 0
    assert (misses, hits) == (first_hits, first_misses)
