"""What can be measured in the given minutes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks.speed.cases import Case, Library

SHARES = (1.0, 0.5, 0.25, 0.1)
"""Shares of the samples, of which the largest that fits is chosen."""

LEAST = 1000
"""Number of samples below which a case is not reduced."""

KEPT = 10
"""Seconds at the end in which nothing is measured."""

TRACE = 15
"""Expected seconds of the profile of zoo's steps."""

LATEST = 90
"""Seconds after which a run may be stopped, however short it was expected to be."""


class Budget:
    """The time left.

    Args:
        minutes: From the start; ``None`` for no limit.
        clock: Seconds since some time.
    """

    def __init__(self, minutes: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began = clock, clock()
        self._seconds = None if minutes is None else 60 * minutes - KEPT

    def left(self) -> float:
        """Seconds left; infinite without a limit."""
        if self._seconds is None:
            return float("inf")
        return self._seconds - (self._clock() - self._began)

    def limit(self, expected: float) -> float | None:
        """Seconds after which a run is stopped; ``None`` for no limit.

        Args:
            expected: Its expected duration.
        """
        if self._seconds is None:
            return None
        return min(self.left(), max(LATEST, 3 * expected))


def expected_seconds(case: Case, library: Library) -> float:
    """Expected duration of a run on a GPU."""
    samples = case.samples * case.epochs * library.samples
    return library.seconds + (samples / library.speed if library.speed else 0)


def fitting(cases: Sequence[Case], seconds: float) -> list[Case]:
    """The cases with the largest share of their samples for which all that has targets fits."""
    for share in SHARES:
        scaled = [
            replace(case, samples=max(round(case.samples * share), min(case.samples, LEAST)))
            for case in cases
        ]
        needed = TRACE + sum(
            expected_seconds(case, library)
            for case in scaled
            for library in case.libraries
            if not library.optional
        )
        if needed <= seconds:
            break
    return scaled
