"""Whether compiling pays: what it costs against what it saves in the steps that are left. No torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

How = Literal["code", "graphs"]
"""What is made of a network: compiled code, or that code recorded as CUDA graphs."""

Verdict = Literal["asked", "trial", "faster", "slower", "too few steps", "failed"]
"""Why steps run compiled or not: ``--compile on``; not decided yet; measured; expected; an error."""

HOPED: dict[How, float] = {"code": 0.2, "graphs": 0.1}
"""Share of a step that compiling is expected to save before it was measured: an assumption."""

GAIN = 1.03
"""By which factor compiled steps must be faster to be kept."""

WARM_UP = 3
"""Steps that are not measured; that many are compiling ones, too."""

_STEPS, _SECONDS = 20, 2.0  # measured, whichever comes first


class Timing(NamedTuple):
    """Steps that have ended on the device.

    Attributes:
        steps: Their number.
        seconds: All the time for them.
        waited: Part of it that the device waited for data.
    """

    steps: int
    seconds: float
    waited: float


@dataclass(frozen=True)
class Expected:
    """What is known before compiling.

    Attributes:
        seconds: To compile.
        share: Of a step that it saves.
    """

    seconds: float
    share: float


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A decision, with the times it is based on.

    Attributes:
        verdict: What was decided, and why.
        before: Seconds a step without; 0 if unknown.
        after: Seconds a step with; 0 if not measured.
        seconds: To compile; estimated if nothing was compiled.
        left: Steps that are left.
        saved: Seconds that could have been saved in them, if nothing was compiled.
        reason: Of a failure.
    """

    verdict: Verdict
    before: float = 0.0
    after: float = 0.0
    seconds: float = 0.0
    left: int = 0
    saved: float = 0.0
    reason: str = ""

    def in_words(self, what: str, unit: str) -> str:
        """One line.

        Args:
            what: Before the line, such as ``""`` or ``"CUDA graphs, "``.
            unit: A step, or a batch.
        """
        before, after = _in_ms(self.before), _in_ms(self.after)
        cost = f"{self.seconds:.0f} s to compile"
        if self.verdict == "faster":
            left = _in_words(self.left * self.after)
            return f"{what}compiled: {before} to {after} ms {unit}, {cost}, {left} left"
        if self.verdict == "slower":
            return f"{what}not compiled: {before} ms {unit}, {after} compiled; {cost} were spent"
        if self.verdict == "too few steps":
            left = _in_words(self.left * self.before)
            return (
                f"{what}not compiled: about {cost}, at most {self.saved:.0f} s to save "
                f"in the {left} left"
            )
        return f"{what}not compiled: {self.reason}"


class Trial:
    """Measures steps, has some compiled if that may pay, and decides.

    The steps must be added in order, each reading once.

    Args:
        expected: What is known beforehand.
        before: Seconds of an uncompiled step, if it was measured already: compiling begins at once.
    """

    def __init__(self, expected: Expected, before: float = 0.0) -> None:
        self._expected, self._before = expected, before
        self._warm = self._steps = 0
        self._seconds = self._waited = self._cost = 0.0
        self.compiles = before > 0
        """Whether the next steps run compiled."""

    @property
    def soon(self) -> int | None:
        """After how many steps the next timing is needed; ``None`` for at any time."""
        return WARM_UP - self._warm if self.compiles and self._warm < WARM_UP else None

    def add(self, timing: Timing, left: int) -> Decision | None:
        """Add steps; a decision if there is one now.

        After ``"trial"`` steps run compiled, and a second decision follows.

        Args:
            timing: Of the latest steps.
            left: Steps that are left.
        """
        if self._warm < WARM_UP:
            self._warm += timing.steps
            self._cost += timing.seconds - timing.steps * self._before
            return None
        self._steps += timing.steps
        self._seconds += timing.seconds
        self._waited += timing.waited
        if self._steps < _STEPS and self._seconds < _SECONDS:
            return None
        decision = self._of_compiled(left) if self.compiles else self._of_plain(left)
        self._warm = self._steps = 0
        self._seconds = self._waited = self._cost = 0.0
        return decision

    def _of_plain(self, left: int) -> Decision:
        before = self._seconds / self._steps
        # Compiling does not make data come sooner.
        busy = max(0.0, self._seconds - self._waited) / self._steps
        saved, cost = left * busy * self._expected.share, self._expected.seconds
        decision = Decision(
            verdict="too few steps", before=before, seconds=cost, left=left, saved=max(0.0, saved)
        )
        if saved <= cost:
            return decision
        self._before, self.compiles = before, True
        return replace(decision, verdict="trial")

    def _of_compiled(self, left: int) -> Decision:
        after = self._seconds / self._steps
        return Decision(
            verdict="faster" if self._before > GAIN * after else "slower",
            before=self._before,
            after=after,
            seconds=max(0.0, self._cost),
            left=left,
        )


def _in_ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g}" if seconds < 1 else f"{1000 * seconds:,.0f}"


def _in_words(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
