"""How long the parts of a command took."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Parts:
    """Seconds by part. A part within another is not counted in the other one.

    Args:
        began: The time since which all is counted, in seconds since 1970, such as that of the
            process's start; what is in no part is ``"other"``. ``None`` for now.
    """

    def __init__(self, began: float | None = None) -> None:
        now = time.time()
        self._began = time.perf_counter() - (0.0 if began is None else max(0.0, now - began))
        self._seconds: dict[str, float] = {}
        self._inside: list[float] = []  # seconds of the parts within each part that is running

    def so_far(self, name: str) -> None:
        """Count all that has passed since the beginning as the part ``name``."""
        self.add(name, time.perf_counter() - self._began)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the block as the part ``name``, in addition to what it has already."""
        began = time.perf_counter()
        self._inside.append(0.0)
        try:
            yield
        finally:
            whole = time.perf_counter() - began
            self.add(name, whole - self._inside.pop())
            if self._inside:
                self._inside[-1] += whole

    def add(self, name: str, seconds: float) -> None:
        """Count ``seconds`` as the part ``name``."""
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def move(self, seconds: float, before: str, after: str) -> None:
        """Count ``seconds`` of the part ``before`` as the part ``after``."""
        self.add(before, -seconds)
        self.add(after, seconds)

    def seconds(self) -> Mapping[str, float]:
        """The parts in the order in which they began to count, and ``"other"`` last."""
        other = time.perf_counter() - self._began - sum(self._seconds.values())
        return {**self._seconds, "other": max(0.0, other)}


def in_words(seconds: Mapping[str, float]) -> dict[str, str]:
    """A line for each part, with its share of all, and ``"total"``."""
    total = sum(seconds.values())
    share = {name: each / total if total else 0.0 for name, each in seconds.items()}
    lines = {name: f"{each:8.2f} s  {share[name]:4.0%}" for name, each in seconds.items()}
    return {**lines, "total": f"{total:8.2f} s"}


def process_start() -> float:
    """When this process started, in seconds since 1970."""
    import psutil

    return float(psutil.Process().create_time())
