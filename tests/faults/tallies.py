"""What came of kills: counted in the same way whatever was killed."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn


@dataclass
class Tally:
    """What came of the kills of one harness.

    Attributes:
        kills: How many there were, while something was under way.
        begun: After how many of them something unfinished lay there.
        whole: What ended as if it had been left alone.
        lost: What did not, in words.
    """

    kills: int = 0
    begun: int = 0
    whole: int = 0
    lost: tuple[str, ...] = ()

    def __str__(self) -> str:
        unfinished = f"{self.begun} of them with something unfinished there"
        return f"{self.kills} kills, {unfinished}; {self.whole} whole, {len(self.lost)} lost"


Torment = Callable[[Path, int, int], Tally]
"""Kills in a folder of its own, so many times, by a seed."""


def main(what: str | None, torment: Torment, kills: int) -> NoReturn:
    """The command line of a harness; the exit status is 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=(what or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=kills)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tally", type=Path, help="A file for what came of it, as JSON.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tally = torment(Path(folder), options.kills, options.seed)
    if options.tally:
        options.tally.write_text(json.dumps(vars(tally)), encoding="utf-8")
    print(tally)
    for words in tally.lost:
        print(words)
    raise SystemExit(1 if tally.lost else 0)
