"""A time limit on a whole run: how many epochs fit, decided while it trains.

Why the number of epochs, and not only the moment of stopping: a run whose learning rate has not
reached its end is worse than a shorter one whose has. So the plan is made as soon as some steps have
been timed, and the schedule is spread over what fits (:mod:`zoo.engine.timetable`). Each reading of
the losses compares the plan with the clock. It is shortened at any step, by whole epochs while more
than one is left, and within the last one if even that takes longer than expected; it grows again
only between two epochs. The limit never adds epochs to those of the recipe.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from zoo.engine.timetable import Timetable
from zoo.errors import UsageError
from zoo.system.durations import in_words

RESERVE = 2.0
"""Seconds kept for saving the result and for ending the process."""

REPORT_SECONDS, REPORT_STEPS = 3.0, 4.0
"""Seconds, and seconds of so many training steps, kept for writing the report."""

MARGIN = 1.1
"""How much longer than measured the rest may take."""

TIMED_SECONDS, TIMED_STEPS = 2.0, 20
"""Seconds or steps that are timed before the first plan."""

_HALF_LIFE = 30.0  # seconds after which a measured speed counts half
_FORWARD = 0.5  # of the time of a training step, until validation has been timed


class EpochTooLong(Exception):
    """Not even one epoch of a phase fits.

    Args:
        epoch: Seconds that an epoch takes, with validation.
        needed: The limit that would be needed, in seconds.
    """

    def __init__(self, epoch: float, needed: float) -> None:
        super().__init__()
        self.epoch, self.needed = epoch, needed


class TimeLimit:
    """When a run has to end.

    Args:
        seconds: The limit.
        began: Start of the run, by ``clock``.
        report: Whether a report is written at the end.
        closing: Batches that pass through the network between training and the report.
        clock: Returns seconds.
    """

    def __init__(
        self,
        seconds: float,
        began: float,
        *,
        report: bool,
        closing: float = 0.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.seconds, self.clock = seconds, clock
        self._began, self._report, self._closing = began, report, closing
        self.step_seconds = 0.0  # of training, once known
        self.forward_seconds = 0.0  # of a batch without training, once known

    def resume(self, spent: float) -> None:
        """Count the seconds of the run before it was stopped."""
        self._began -= spent

    @property
    def spent(self) -> float:
        """Seconds since the start, without those in which the run was stopped."""
        return self.clock() - self._began

    @property
    def reserve(self) -> float:
        """Seconds that are kept for what comes after training."""
        report = REPORT_SECONDS + REPORT_STEPS * self.step_seconds if self._report else 0.0
        return RESERVE + report + MARGIN * self._closing * self.forward_seconds

    @property
    def left(self) -> float:
        """Seconds left for training; negative if there are none."""
        return self.seconds - self.spent - self.reserve

    def require_left(self) -> None:
        """Raise a :class:`UsageError` if nothing is left before training has started."""
        if self.left <= 0:
            spent, reserve = in_words(self.spent), in_words(self.reserve)
            raise UsageError(
                f"--time-limit {in_words(self.seconds)} is too short: starting took {spent}, and "
                f"{reserve} are kept for saving{' and the report' if self._report else ''}",
                hint=f"Use a limit well above {in_words(self.spent + self.reserve)}.",
            )

    def guarded(
        self, steps: Callable[[str, int], AbstractContextManager[Callable[[], None]]]
    ) -> Callable[[str, int], AbstractContextManager[Callable[[], None]]]:
        """``steps`` of a reporter for work that has to be complete, such as computing features.

        The function that it yields raises a :class:`UsageError` as soon as it is clear that the work
        takes longer than the time left.
        """

        @contextmanager
        def guarded_steps(what: str, total: int) -> Iterator[Callable[[], None]]:
            began, done = self.clock(), 0

            def advance() -> None:
                nonlocal done
                tick()
                done += 1
                took = self.clock() - began
                if took >= TIMED_SECONDS or self.left <= 0:
                    self._require(what, took / done * total, took / done * (total - done))

            with steps(what, total) as tick:
                yield advance

        return guarded_steps

    def _require(self, what: str, whole: float, rest: float) -> None:
        if rest <= max(0.0, self.left):
            return
        needed = self.spent + rest * MARGIN + self.reserve
        raise UsageError(
            f"--time-limit {in_words(self.seconds)} is too short: computing the {what} of all "
            f"samples takes about {in_words(whole)}",
            hint=f"Use a limit of {in_words(1.2 * needed)} or more, less data, smaller inputs or a "
            "smaller backbone.",
        )


class PhasePlan:
    """Fits the steps of one phase into the time left.

    Args:
        limit: The limit of the run.
        timetable: The steps of the phase; is cut.
        share: The share of the time left that the phase may take.
        val_steps: Steps of validation after each epoch.
        validated: Whether an epoch of this phase has been validated.
        agree: Makes several processes agree on a number of steps: that of the first.
    """

    def __init__(
        self,
        limit: TimeLimit,
        timetable: Timetable,
        *,
        share: float,
        val_steps: int,
        validated: bool,
        agree: Callable[[int], int] = int,
    ) -> None:
        self._limit, self._timetable, self._share = limit, timetable, share
        self._val_steps, self._agree = val_steps, agree
        self._steps = self._seconds = 0.0
        self._validation: float | None = None
        self._first = 0.0  # seconds a step in the first reading
        self._begun = validated

    def add(self, steps: int, seconds: float) -> None:
        """Add the seconds of some steps; the first reading, which warms up, does not count."""
        if not self._first:
            self._first = seconds / steps
            if not self._limit.forward_seconds:
                self._limit.forward_seconds = _FORWARD * self._first
            return
        kept = 0.5 ** (seconds / _HALF_LIFE)
        self._steps, self._seconds = self._steps * kept + steps, self._seconds * kept + seconds
        self._limit.step_seconds = self._seconds / self._steps
        if self._validation is None:
            self._limit.forward_seconds = _FORWARD * self._limit.step_seconds

    def validated(self, seconds: float) -> None:
        """Add the seconds of a validation."""
        self._validation, self._begun = seconds, True
        self._limit.forward_seconds = seconds / max(1, self._val_steps)

    def total(self, done: int) -> int:
        """How many steps the phase should have, after ``done`` of them.

        Raises:
            EpochTooLong: Not even the first epoch fits.
        """
        return self._agree(self._total(done))

    def _total(self, done: int) -> int:
        table, left = self._timetable, self._limit.left * self._share
        if left > 0 and not self._known(done):
            return table.total
        step = MARGIN * (self._seconds / self._steps if self._steps else self._first)
        validation = self._validation
        if validation is None:
            validation = _FORWARD * self._val_steps * step
        epoch = table.steps * step + validation
        begun = done % table.steps
        rest = (table.steps - begun) * step + validation if begun else 0.0
        whole = math.floor((left - rest) / epoch) if epoch else table.planned
        if whole >= 0 and (begun or whole):
            self._begun = True
            fits = done - begun + table.steps * (bool(begun) + whole)
            return min(fits, table.total if begun else table.planned)
        if not self._begun:
            raise EpochTooLong(epoch, self._limit.spent + (rest or epoch) + self._limit.reserve)
        return min(table.total, done + max(0, int((left - validation) / (step or 1.0))))

    def _known(self, done: int) -> bool:
        between = done % self._timetable.steps == 0
        timed = self._seconds >= TIMED_SECONDS or self._steps >= TIMED_STEPS
        return self._steps > 0 and (timed or between)
