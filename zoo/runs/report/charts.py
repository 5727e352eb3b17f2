"""Coordinates of charts. The template draws them, so that their colours follow the page's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zoo.runs.reliability import Calibration

WIDTH, HEIGHT = 380, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 22, 16, 36

_MOST_POINTS = 400


@dataclass(frozen=True)
class Tick:
    """A tick of an axis: its position and label."""

    at: float
    text: str


@dataclass(frozen=True)
class Line:
    """A line of a chart: its name, its points, and these as the ``points`` attribute of SVG."""

    name: str
    points: tuple[tuple[float, float], ...]

    @property
    def svg(self) -> str:
        """Format points as ``x,y x,y …``."""
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in self.points)


@dataclass(frozen=True)
class Curves:
    """Lines over epochs.

    Attributes:
        lines: One or two lines.
        across: Ticks of the horizontal axis.
        up: Ticks of the vertical axis.
        best: Horizontal position of the best epoch.
        phases: Horizontal position of the start of each phase, and its name; empty for one phase.
    """

    lines: tuple[Line, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    best: float | None
    phases: tuple[Tick, ...]


def curves(
    series: Mapping[str, Sequence[float | None]], phases: Sequence[str], best: int | None
) -> Curves | None:
    """Lines of values by epoch.

    Args:
        series: Names to one value per epoch; ``None`` for missing values.
        phases: The phase of each epoch.
        best: The best epoch, from 1.

    Returns:
        ``None`` if there are fewer than two values.
    """
    count = len(phases)
    values = [v for line in series.values() for v in line if v is not None and math.isfinite(v)]
    if count < 2 or not values:
        return None
    low, high, up = _scale(min(values), max(values))
    x = _Axis(1, count, LEFT, WIDTH - RIGHT)
    y = _Axis(low, high, HEIGHT - BOTTOM, TOP)
    lines = tuple(
        Line(
            name,
            tuple(
                (x(epoch), y(value))
                for epoch, value in enumerate(line, start=1)
                if value is not None and math.isfinite(value)
            ),
        )
        for name, line in series.items()
    )
    lines = tuple(line for line in lines if line.points)
    begins = [i for i, phase in enumerate(phases) if i == 0 or phase != phases[i - 1]]
    every = max(1, math.ceil(count / 8))
    return Curves(
        lines=lines,
        across=tuple(Tick(x(e), str(e)) for e in range(1, count + 1) if e == 1 or e % every == 0),
        up=tuple(Tick(y(value), f"{value:g}") for value in up),
        best=x(best) if best and 1 <= best <= count else None,
        phases=tuple(Tick(x(i + 1), phases[i]) for i in begins) if len(begins) > 1 else (),
    )


@dataclass(frozen=True)
class Bar:
    """A bin of a reliability diagram, drawn.

    Attributes:
        x: Left side of the bar, in pixels.
        width: Width of the bar.
        y: Top of the bar.
        height: Height of the bar.
        expected: Top of the bar for perfect calibration.
        share: Height of the bar for the number of predictions.
    """

    x: float
    width: float
    y: float
    height: float
    expected: float
    share: float


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram, drawn; ``after`` is the accuracy by calibrated probability."""

    bars: tuple[Bar, ...]
    after: Line
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    diagonal: Line


def reliability(found: Calibration, after: Calibration | None) -> Reliability:
    """Accuracy by predicted probability, before and after; below it the number of predictions."""
    x, y = _Axis(0, 1, LEFT, WIDTH - RIGHT), _Axis(0, 1, HEIGHT - BOTTOM, TOP)
    most = max(b.count for b in found.bins)
    bars = tuple(
        Bar(
            x=x(b.low) + 1.5,
            width=x(b.high) - x(b.low) - 3,
            y=y(b.accuracy),
            height=y(0) - y(b.accuracy),
            expected=y(b.predicted),
            share=max(1.5, 26 * b.count / most),
        )
        for b in found.bins
        if b.count
    )
    fifths = [i / 5 for i in range(6)]
    return Reliability(
        bars=bars,
        after=Line(
            "",
            tuple(
                (x(b.predicted), y(b.accuracy)) for b in (after.bins if after else ()) if b.count
            ),
        ),
        across=tuple(Tick(x(v), f"{v:.0%}") for v in fifths),
        up=tuple(Tick(y(v), f"{v:.0%}") for v in fifths),
        diagonal=Line("", ((x(0), y(0)), (x(1), y(1)))),
    )


@dataclass(frozen=True)
class Scatter:
    """A scatter plot of predicted against true values of one target."""

    name: str
    points: tuple[tuple[float, float], ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    diagonal: Line
    shown: int
    count: int


def scatter(
    name: str, truth: NDArray[np.float64], predicted: NDArray[np.float64]
) -> Scatter | None:
    """One point per sample, or for an evenly spaced subset of many samples; both ``(N,)``.

    Returns:
        ``None`` if no values are finite.
    """
    finite = np.flatnonzero(np.isfinite(truth) & np.isfinite(predicted))
    if not len(finite):
        return None
    every = max(1, math.ceil(len(finite) / _MOST_POINTS))
    chosen = finite[::every]
    numbers = np.concatenate([truth[finite], predicted[finite]])
    low, high, marks = _scale(float(numbers.min()), float(numbers.max()))
    x, y = _Axis(low, high, LEFT, WIDTH - RIGHT), _Axis(low, high, HEIGHT - BOTTOM, TOP)
    return Scatter(
        name=name,
        points=tuple((x(float(truth[i])), y(float(predicted[i]))) for i in chosen),
        across=tuple(Tick(x(v), f"{v:g}") for v in marks),
        up=tuple(Tick(y(v), f"{v:g}") for v in marks),
        diagonal=Line("", ((x(low), y(low)), (x(high), y(high)))),
        shown=len(chosen),
        count=len(truth),
    )


@dataclass(frozen=True)
class _Axis:
    """Maps values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        reach = (self.high - self.low) or 1.0
        return round(self.start + (value - self.low) / reach * (self.end - self.start), 2)


_INTERVALS = 5
_STEPS = (1, 2, 2.5, 5, 10, 20)
_ROUNDING = 1e-9


def _scale(low: float, high: float) -> tuple[float, float, list[float]]:
    """Return round limits around ``low`` and ``high``, and the values of the ticks."""
    if high - low < 1e-12 * max(abs(low), abs(high), 1e-300):
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    power = 10.0 ** math.floor(math.log10((high - low) / _INTERVALS))
    for step in (power * each for each in _STEPS):
        first, last = math.floor(low / step + _ROUNDING), math.ceil(high / step - _ROUNDING)
        if last - first <= _INTERVALS:
            break
    marks = [round(place * step, 12) for place in range(first, last + 1)]
    return marks[0], marks[-1], marks
