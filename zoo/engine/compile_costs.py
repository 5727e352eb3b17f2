"""What compiling has cost and saved before, kept beside the compiled code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from zoo.engine.break_even import HOPED, Decision, Expected, How
from zoo.system.files import write_text
from zoo.system.small_files import read_small

BASE_SECONDS, SECONDS_A_BLOCK = 10.0, 6.0
"""What compiling is assumed to take where nothing was measured: always, and for each distinct block."""


class Costs:
    """The measured costs of this machine.

    Args:
        folder: Where they are; created with the first.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def expected(self, key: Sequence[object], how: How, blocks: int) -> Expected:
        """What to expect: the latest measurement, else an estimate.

        Args:
            key: Identifies network, shapes, device and torch.
            how: What is made of the network.
            blocks: How many blocks are distinct.
        """
        with suppress(OSError, ValueError, TypeError, LookupError, ZeroDivisionError):
            kept = json.loads(read_small(self._path(key, how)))
            share = 1 - float(kept["after"]) / float(kept["before"])
            return Expected(float(kept["seconds"]), share)
        return Expected(BASE_SECONDS + blocks * SECONDS_A_BLOCK, HOPED[how])

    def keep(self, key: Sequence[object], how: How, decision: Decision) -> None:
        """Keep a measurement, if the folder is writable."""
        facts = {name: getattr(decision, name) for name in ("before", "after", "seconds")}
        with suppress(OSError):
            path = self._path(key, how)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(facts))

    def _path(self, key: Sequence[object], how: How) -> Path:
        digest = hashlib.sha256(json.dumps([*key, how]).encode()).hexdigest()
        return self._folder / f"{digest[:32]}.json"
