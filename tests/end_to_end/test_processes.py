"""Several processes that train together, started by torchrun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CALM = """
from torch import nn

def calm(backbone):
    for module in backbone.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
"""


@pytest.mark.slow(1)
def test_two_processes_give_the_losses_of_one(tmp_path: Path) -> None:
    (tmp_path / "changes.py").write_text(CALM)
    asked = ["zoo", "finetune", "lstm", "--surgery", "changes:calm", "--epochs", "2"]
    asked += ["--strategy", "two-stage", "--batch-size", "30", "--device", "cpu", "--json"]
    one = run(tmp_path, [sys.executable, "-m", *asked, "--output", "one"])
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    two = run(tmp_path, [*torchrun, "-m", *asked, "--output", "two"])
    assert json.loads(two)["metrics"]["accuracy"] == json.loads(one)["metrics"]["accuracy"]
    first, second = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    for single, shared in zip(first, second, strict=True):
        for figure in ("train_loss", "loss"):
            assert shared[figure] == pytest.approx(single[figure], rel=1e-3)
    assert {p.name for p in tmp_path.iterdir()} - {"__pycache__"} == {"changes.py", "one", "two"}


def run(folder: Path, command: list[str]) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MASTER_PORT": "0"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
