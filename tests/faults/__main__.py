"""Everything that kills: runs while they train, caches while they are built, downloads.

python -m tests.faults
python -m tests.faults --kills 300 --seed 1
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.tallies import Tally

HARNESSES = ("kills", "caches", "downloads")


def main() -> None:
    """The command line; the exit status is 1 if anything was lost, or a harness failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "--kills", type=int, default=120, help="In all; each harness has its third."
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    shares = [(options.kills + n) // len(HARNESSES) for n in range(len(HARNESSES))]
    tallies = [
        run(name, kills, options.seed) for name, kills in zip(HARNESSES, shares, strict=True)
    ]
    done = [tally for tally in tallies if tally is not None]
    kills, lost = sum(tally.kills for tally in done), sum(len(tally.lost) for tally in done)
    failed = [name for name, tally in zip(HARNESSES, tallies, strict=True) if tally is None]
    print(f"{kills} kills, {lost} lost" + "".join(f"; {name} failed" for name in failed))
    raise SystemExit(1 if lost or failed else 0)


def run(name: str, kills: int, seed: int) -> Tally | None:
    """What came of a harness in a process of its own; ``None`` if it ended before it had told."""
    began = time.monotonic()
    print(f"{name}: ", end="", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "tally.json")
        arguments = ["--kills", str(kills), "--seed", str(seed), "--tally", str(file)]
        subprocess.run(
            [sys.executable, "-m", f"tests.faults.{name}", *arguments],
            cwd=Path(__file__).parents[2],
            check=False,
        )
        print(f"  in {time.monotonic() - began:.0f} s", flush=True)
        return Tally(**json.loads(file.read_text(encoding="utf-8"))) if file.exists() else None


if __name__ == "__main__":
    main()
