"""Everything that kills: runs while they train, caches while they are built, downloads.

python -m tests.faults
python -m tests.faults --kills 30 --seed 1
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

HARNESSES = ("kills", "caches", "downloads")


def main() -> None:
    """The command line; the exit status is 1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="Of each harness.")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    statuses = []
    for name in HARNESSES:
        command = [sys.executable, "-m", f"tests.faults.{name}"]
        wishes = ["--kills", str(options.kills), "--seed", str(options.seed)]
        began = time.monotonic()
        done = subprocess.run([*command, *wishes], cwd=Path(__file__).parents[2], check=False)
        print(
            f"{name}: exit status {done.returncode}, {time.monotonic() - began:.0f} s", flush=True
        )
        statuses.append(done.returncode)
    raise SystemExit(1 if any(statuses) else 0)


if __name__ == "__main__":
    main()
