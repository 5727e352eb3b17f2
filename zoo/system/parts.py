"""How long the parts of a command took."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple


class _Times(NamedTuple):
    """Seconds of the clock, and of processors."""

    clock: float = 0.0
    processor: float = 0.0

    def plus(self, other: _Times) -> _Times:
        return _Times(self.clock + other.clock, self.processor + other.processor)

    def minus(self, other: _Times) -> _Times:
        return _Times(self.clock - other.clock, self.processor - other.processor)


def _now() -> _Times:
    return _Times(time.perf_counter(), time.process_time())


class Parts:
    """Seconds by part. A part within another is not counted in the other one.

    Processor time is that of this process with its threads, not of worker processes.

    Args:
        began: The time since which all is counted, in seconds since 1970, such as that of the
            process's start; what is in no part is ``"other"``. ``None`` for now.
    """

    def __init__(self, began: float | None = None) -> None:
        now = _now()
        before = _Times()
        if began is not None:
            before = _Times(max(0.0, time.time() - began), now.processor)
        self._began = now.minus(before)
        self._parts: dict[str, _Times] = {}
        self._inside: list[_Times] = []  # the parts within each part that is running

    @property
    def began(self) -> float:
        """When counting began, by ``time.perf_counter()``."""
        return self._began.clock

    def so_far(self, name: str) -> None:
        """Count all that has passed since the beginning as the part ``name``."""
        self._add(name, _now().minus(self._began))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the block as the part ``name``, in addition to what it has already."""
        began = _now()
        self._inside.append(_Times())
        try:
            yield
        finally:
            whole = _now().minus(began)
            self._add(name, whole.minus(self._inside.pop()))
            if self._inside:
                self._inside[-1] = self._inside[-1].plus(whole)

    def _add(self, name: str, times: _Times) -> None:
        self._parts[name] = self._parts.get(name, _Times()).plus(times)

    def move(self, seconds: float, before: str, after: str) -> None:
        """Count ``seconds`` of the part ``before`` as the part ``after``, without a processor."""
        self._add(before, _Times(-seconds))
        self._add(after, _Times(seconds))

    def seconds(self) -> Mapping[str, float]:
        """The parts in the order in which they began to count, and ``"other"`` last."""
        return {name: times.clock for name, times in self._all().items()}

    def in_words(self) -> dict[str, str]:
        """A line for each part, with its share of all and its processor time; and ``"total"``."""
        parts = self._all()
        clock = sum(each.clock for each in parts.values())
        lines = {
            name: f"{each.clock:8.2f} s  {each.clock / clock if clock else 0.0:4.0%}"
            f"  {each.processor:8.2f} s of processors"
            for name, each in parts.items()
        }
        processor = sum(each.processor for each in parts.values())
        return {**lines, "total": f"{clock:8.2f} s  100%  {processor:8.2f} s of processors"}

    def _all(self) -> dict[str, _Times]:
        other = _now().minus(self._began)
        for each in self._parts.values():
            other = other.minus(each)
        return {**self._parts, "other": _Times(*(max(0.0, each) for each in other))}


def process_start() -> float:
    """When this process started, in seconds since 1970."""
    import psutil

    return float(psutil.Process().create_time())
