"""``--profile``: the parts of a command add up to the time that it takes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.mark.long
def test_the_parts_add_up_to_the_time_of_the_process(photos: Path, tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-c", "from zoo.cli import main; main()"),
        *("finetune", "cnn", "--data", str(photos), "--weights", "none", "--image-size", "32"),
        *("--epochs", "2", "--workers", "0", "--profile", "--output", str(tmp_path / "run")),
    ]
    began = time.perf_counter()
    done = subprocess.run(
        command,
        env=os.environ | {"ZOO_CACHE": str(tmp_path / "cache")},
        check=True,
        capture_output=True,
        text=True,
    )
    took = time.perf_counter() - began
    lines = [line for line in done.stderr.splitlines() if line.endswith(" s of processors")]
    seconds = {line[:18].strip(): float(line[18:].split()[0]) for line in lines}
    total = seconds.pop("total")
    assert next(iter(seconds)) == "start-up"
    assert {"data", "network", "training", "saving", "report"} < set(seconds)
    assert sum(seconds.values()) == pytest.approx(total, abs=0.01 * len(seconds))
    assert total == pytest.approx(took, rel=0.05, abs=0.3)
