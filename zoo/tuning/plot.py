"""The trials of a search over time, as an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zoo.system import files
from zoo.tuning.results import FINISHED, Tried


def write_plot(path: Path, trials: Sequence[Tried], title: str) -> None:
    """Write the metric of each trial over the time of the search, and the best so far.

    Args:
        path: A PNG file.
        trials: In their order; those without a metric are left out.
        title: Name of the metric.

    Raises:
        OSError: It cannot be written.
    """
    from matplotlib.figure import Figure

    shown = [each for each in trials if each.value is not None and each.score is not None]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name in sorted({each.backbone for each in shown}):
        points = [each for each in shown if each.backbone == name]
        axes.scatter(
            [each.ended for each in points],
            [each.value or 0.0 for each in points],
            label=name.replace("$", r"\$"),
            s=[36 if each.state == FINISHED else 12 for each in points],
        )
    best, curve = None, list[tuple[float, float]]()
    for each in shown:
        if each.state == FINISHED and (best is None or (each.score or 0) > (best.score or 0)):
            best = each
        if best is not None and best.value is not None:
            curve.append((each.ended, best.value))
    if curve:
        axes.step(*zip(*curve, strict=True), where="post", color="grey", label="best so far")
        axes.legend(fontsize="small")
    axes.set_xlabel("seconds (small points: pruned)")
    axes.set_ylabel(f"{title} on the validation split")
    axes.grid(alpha=0.3)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
