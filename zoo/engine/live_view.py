"""The live view of a fine-tune on a terminal: one bar, and below it what the training has come to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.text import Text

from zoo.tasks.metrics import main_metric, number, title_of

_HEIGHTS = "▁▂▃▄▅▆▇█"
_SPARKS = 16  # epochs in the sparkline
_GAP = "  "


class Facts:
    """What the training has come to: loss and speed of this epoch, metric of the last, the best one."""

    def __init__(self) -> None:
        self._running: list[str] = []
        self._epochs: list[str] = []
        self._values: list[float] = []
        self._metric = ""

    def reading(self, loss: float, speed: float) -> None:
        """Keep the loss of the epoch so far, and its samples per second."""
        self._running = [f"loss {loss:.4f}", f"{speed:.0f} samples/s"]

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Keep the metric of a finished epoch, or strength of regularisation."""
        chosen = str(record.get("metric", ""))
        metric = main_metric(record, chosen)
        if metric != self._metric or record.get("epoch") == 1:  # also of the next fold
            self._metric, self._values, self._epochs = metric, [], []
        title = record.get("title") if metric == chosen else None
        self._values = [*self._values[1 - _SPARKS :], float(record[metric])]
        if record["best"] or not self._epochs:
            self._epochs = ["", f"best {number(record[metric])}"]
        self._epochs[0] = f"{title or title_of(metric)} {number(record[metric])}"
        self._running = []

    def line(self, width: int) -> str:
        """All of it in at most ``width`` columns; what does not fit is left out from the end."""
        parts = [*self._running, *self._epochs]
        if len(self._values) > 1:
            parts.append(sparkline(self._values))
        while parts and len(_GAP.join(parts)) > width:
            parts.pop()
        return _GAP.join(parts)


def sparkline(values: Sequence[float]) -> str:
    """One bar for each value, from the lowest to the highest; a space for one that is not finite."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    steps = (high - low) / (len(_HEIGHTS) - 1) or 1.0
    return "".join(
        _HEIGHTS[round((value - low) / steps)] if math.isfinite(value) else " " for value in values
    )


class LiveView(Progress):
    """The bar and the facts; both disappear at the end of the block.

    Args:
        console: Where they are drawn.
        facts: What is shown below the bar.
    """

    def __init__(self, console: Console, facts: Facts) -> None:
        self._facts, self._width = facts, console.width - 1
        columns = (BarColumn(24), MofNCompleteColumn(), TimeRemainingColumn(compact=True), "left")
        super().__init__("{task.description}", *columns, console=console, transient=True)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar, and the line below."""
        yield self.make_tasks_table(self.tasks)
        if line := self._facts.line(self._width):
            yield Text(line, style="cyan", no_wrap=True, end="")
