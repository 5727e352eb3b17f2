"""Several processes that train together, started by torchrun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import zoo
from tests.end_to_end.forked import Forked
from zoo.system.files import sha256_of

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]

CALM = """
from torch import nn

def calm(backbone):
    for module in backbone.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
"""


# Accelerate shards on GPUs only; here it is told that it has been configured for it on a CPU.
SHARDED = """
import accelerate
from accelerate import FullyShardedDataParallelPlugin
from accelerate.state import PartialState
from accelerate.utils import DistributedType

plain = accelerate.Accelerator.__init__

def sharded(self, *args, **kwargs):
    plain(self, *args, **kwargs)
    PartialState._shared_state["distributed_type"] = DistributedType.FSDP
    self.state.distributed_type = DistributedType.FSDP
    self.state.fsdp_plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        cpu_ram_efficient_loading=False,
        auto_wrap_policy="size_based_wrap",
        min_num_params=1000,
    )

accelerate.Accelerator.__init__ = sharded

from zoo.cli import main

main()
"""


@pytest.mark.slow(1)
@pytest.mark.parametrize(
    ("program", "strategy"),
    [
        (["-m", "zoo"], "two-stage"),
        pytest.param(["sharded.py"], "gradual", marks=pytest.mark.long),
    ],
)
def test_two_processes_give_the_losses_of_one(
    tmp_path: Path, program: list[str], strategy: str
) -> None:
    (tmp_path / "changes.py").write_text(CALM)
    (tmp_path / "sharded.py").write_text(SHARDED)
    asked = ["finetune", "lstm", "--surgery", "changes:calm", "--epochs", "1", "--save-every", "0"]
    asked += [
        "--strategy",
        strategy,
        "--batch-size",
        "100",
        "--device",
        "cpu",
        "--json",
        "--no-report",
    ]
    one = Forked(*asked, "--output", "one", cwd=tmp_path)
    two = start(tmp_path, [*TORCHRUN, *program, *asked, "--output", "two"])
    alone, said = one.communicate(timeout=300)
    assert (one.returncode, two.returncode) == (0, 0), said + two.stderr
    assert json.loads(two.stdout)["metrics"]["accuracy"] == json.loads(alone)["metrics"]["accuracy"]
    first, second = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    for single, shared in zip(first, second, strict=True):
        for metric in ("train_loss", "loss"):
            assert shared[metric] == pytest.approx(single[metric], rel=1e-3)
    left = {p.name for p in tmp_path.iterdir()} - {"__pycache__"}
    assert left == {"changes.py", "sharded.py", "one", "two"}


@pytest.mark.long
@pytest.mark.parametrize("option", [("--strategy", "lora"), ("--ema", "0.9")])
def test_what_does_not_work_on_shards_is_refused(tmp_path: Path, option: tuple[str, str]) -> None:
    (tmp_path / "sharded.py").write_text(SHARDED)
    asked = ["finetune", "lstm", "--device", "cpu", *option]
    done = start(tmp_path, [*TORCHRUN, "sharded.py", *asked])
    assert (done.returncode, done.stdout) == (1, "")
    assert "does not work with parameters sharded over processes" in done.stderr


def start(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MASTER_PORT": "0"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow(1)
def test_two_runs_that_start_at_once_without_output_are_both_complete(tmp_path: Path) -> None:
    command = (
        "finetune",
        "cnn",
        "--classes",
        2,
        "--epochs",
        1,
        "--strategy",
        "full",
        "--workers",
        0,
        "--no-report",
    )
    both = [Forked(*command, "--seed", seed, cwd=tmp_path) for seed in (1, 2)]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    folders = sorted((tmp_path / "runs").iterdir())
    assert [folder.name for folder in folders] == ["cnn-1", "cnn-2"]
    runs = [zoo.open_run(folder) for folder in folders]
    assert {run.record["recipe"]["seed"] for run in runs} == {1, 2}
    for folder, run in zip(folders, runs, strict=True):
        assert sha256_of(folder / "model.safetensors") == run.record["sha256"]
        assert len((folder / "metrics.jsonl").read_text().splitlines()) == 1
        assert run.predict([folder / "example.png"])[0].label in ("0", "1")
        assert not (folder / "last").exists()
        assert not (folder / ".lock").exists()
