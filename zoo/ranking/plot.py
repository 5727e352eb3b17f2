"""Score against cost, as text and as an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from zoo.errors import RunError, UsageError
from zoo.ranking.results import Ranked, Ranking
from zoo.system import files

SUFFIXES = (".png", ".svg", ".pdf")
COST = "seconds per 1,000 samples"

_ROWS, _COLUMNS = 12, 60


def check_plot(path: Path) -> None:
    """Raise a :class:`UsageError` if the extension of ``path`` is not supported."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"--plot must end in {', '.join(SUFFIXES)}, got {path}", hint="Change the file name."
        )


def text_plot(ranking: Ranking) -> list[str]:
    """Lines with a scatter plot: each backbone's place in the ranking, its cost and its score.

    Of several at one place, the best is shown. Empty if fewer than two have a known cost.
    """
    placed = [(place, row) for place, row in enumerate(ranking.ranked, start=1) if row.seconds]
    if len(placed) < 2:
        return []
    costs = [math.log10(_cost(row)) for _, row in placed]
    scores = [row.probe for _, row in placed]
    grid = [[" "] * (_COLUMNS + 3) for _ in range(_ROWS)]
    for (place, _), cost, score in reversed(list(zip(placed, costs, scores, strict=True))):
        line = _ROWS - 1 - _bin(score, scores, _ROWS)
        column = _bin(cost, costs, _COLUMNS)
        for offset, digit in enumerate(str(place)):
            grid[line][column + offset] = digit
    low, high = min(scores), max(scores)
    labels = [f"{high:8.3f}", *[" " * 8] * (_ROWS - 2), f"{low:8.3f}"]
    lines = [f"{label} |{''.join(row).rstrip()}" for label, row in zip(labels, grid, strict=True)]
    ends = f"{10 ** min(costs):.3g}", f"{10 ** max(costs):.3g}"
    axis = ends[0] + ends[1].rjust(_COLUMNS - len(ends[0]))
    return [
        f"{ranking.metric} against {COST}",
        *lines,
        " " * 9 + "+" + "-" * _COLUMNS,
        " " * 10 + axis,
    ]


def write_plot(path: Path, ranking: Ranking) -> None:
    """Write the scatter plot with names; the extension selects the format.

    Raises:
        RunError: It cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter

    rows = [row for row in ranking.ranked if row.seconds]
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    axes.scatter([_cost(row) for row in rows], [row.probe for row in rows])
    for row in rows:
        label = row.title if row.weights != "none" else f"{row.title} (random)"
        axes.annotate(
            label.replace("$", r"\$"),
            (_cost(row), row.probe),
            textcoords="offset points",
            xytext=(5, 3),
            fontsize="small",
        )
    axes.set_xscale("log")
    axes.margins(x=0.2, y=0.1)  # room for names
    for which in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        which(StrMethodFormatter("{x:g}"))
    axes.set_xlabel(f"{COST}, on this machine")
    axes.set_ylabel(f"{ranking.metric} of a linear probe, cross-validated")
    axes.set_title(f"{ranking.samples:,} samples of {ranking.data}".replace("$", r"\$"))
    axes.grid(alpha=0.3)
    try:
        with files.replacing(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=120)
    except OSError as error:
        raise RunError(
            f"the plot cannot be written to {path}: {error.strerror or error}",
            hint="Choose another path with --plot FILE.",
        ) from error


def _cost(row: Ranked) -> float:
    """Seconds, at least 0.001."""
    return max(row.seconds or 0.0, 1e-3)


def _bin(value: float, values: Sequence[float], count: int) -> int:
    low, high = min(values), max(values)
    return round((value - low) / (high - low) * (count - 1)) if high > low else (count - 1) // 2
