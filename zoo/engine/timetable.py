"""The steps of a phase, and the place of each in the learning-rate schedule."""

from __future__ import annotations

from collections.abc import Iterable


class Timetable:
    """How many steps a phase has, and where in the schedule each of them is.

    Without cuts, step ``k`` is at place ``k``. A cut says that from a step on the phase has another
    number of steps: what is left of the schedule is spread evenly over what is left of the steps, so
    that the learning rate does not jump, and ends where it would have ended. It depends on the cuts
    alone, and not on when they were made: a resumed or repeated run trains the same.

    Args:
        steps: Steps of an epoch.
        epochs: Planned epochs.
        cuts: Step at which each was made, and the number of steps from then on.
    """

    def __init__(self, steps: int, epochs: int, cuts: Iterable[tuple[int, int]] = ()) -> None:
        self.steps, self.planned = steps, steps * epochs
        self.total = self.planned
        self._pieces: list[tuple[int, float, float]] = []  # first step, its place, places a step
        for at, total in cuts:
            self.cut(at, total)

    @property
    def epochs(self) -> int:
        """Number of epochs, the last of which may be cut short."""
        return -(-self.total // self.steps)

    def cut(self, at: int, total: int) -> None:
        """From step ``at`` on, have ``total`` steps."""
        here, last = self.place(at), self.planned - 1
        left = total - 1 - at
        if left < 1:  # this is the last step
            here, left = float(last), 1
        self._pieces.append((at, here, (last - here) / left))
        self.total = total

    def place(self, step: int) -> float:
        """The place of a step in a schedule of ``planned`` steps."""
        for first, place, rate in reversed(self._pieces):
            if step >= first:
                return min(place + rate * (step - first), float(self.planned - 1))
        return step
