"""One trial of a search: an ordinary fine-tune, ended early if it is pruned."""

from __future__ import annotations

import contextlib
import gc
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.data.memory.source import DataSource, is_path
from zoo.engine.hyperparameters import rows
from zoo.engine.progress import Advance, Reporter
from zoo.engine.recipe import Recipe
from zoo.errors import Stopped, ZooError, first_line
from zoo.registry.registry import Registry
from zoo.runs.request import Request
from zoo.system.memory import give_back
from zoo.tasks.task import Task
from zoo.training.finetune import run as finetune
from zoo.training.run_options import RunOptions
from zoo.tuning.results import FAILED, FINISHED, PRUNED, Tried


class Pruned(Exception):
    """The trial is worse than others after the same number of epochs."""


Judge = Callable[[int, float], bool]
"""From the epochs so far and the score after them to whether to prune."""


class TrialReporter:
    """Shows the steps of a trial, and has each epoch judged.

    Args:
        reporter: Gets the steps.
        title: Name of the trial.
        score: From the metrics of an epoch to its score, higher is better.
        judge: Whether to prune; ``None`` for never.
    """

    def __init__(
        self,
        reporter: Reporter,
        title: str,
        score: Callable[[Mapping[str, Any]], float],
        judge: Judge | None,
    ) -> None:
        self._reporter, self._title, self._score, self._judge = reporter, title, score, judge
        self.epochs = 0
        self.best: Mapping[str, Any] | None = None

    def header(self, facts: Mapping[str, str]) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def steps(self, what: str, total: int) -> contextlib.AbstractContextManager[Advance]:
        """With the name of the trial."""
        return self._reporter.steps(f"{self._title}: {what}", total)

    def reading(self, loss: float, speed: float) -> None:
        """As the reporter's."""
        self._reporter.reading(loss, speed)

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:  # noqa: ARG002 - the protocol's
        """Judge an epoch in steps; the strengths of a solved head are no epochs."""
        if self.best is None or self._score(record) > self._score(self.best):
            self.best = dict(record)
        if "strength" in record:
            return
        self.epochs += 1
        if self._judge and self._judge(self.epochs, self._score(record)):
            raise Pruned


@dataclass(frozen=True, kw_only=True)
class Trials:
    """Runs trials on the same data.

    Attributes:
        data: The data, as the user gave it.
        options: Options of every trial.
        task: Task of the labels, with the selection metric.
        registry: Names and plugins.
        reporter: Gets steps.
        clock: Seconds of the search so far.
    """

    data: DataSource
    options: Mapping[str, Any]
    task: Task
    registry: Registry
    reporter: Reporter
    clock: Callable[[], float] = field(repr=False)

    def run(
        self,
        number: int,
        backbone: str,
        options: Mapping[str, Any],
        folder: Path,
        *,
        title: str,
        limit: float,
        probe: bool = False,
        judge: Judge | None = None,
    ) -> Tried:
        """Fine-tune, and describe it.

        Args:
            number: Number of the trial, from 1.
            backbone: The backbone.
            options: Options of this trial alone.
            folder: The run folder, which is removed unless the run finishes.
            title: For progress.
            limit: Time limit in seconds.
            probe: Whether only the head is trained.
            judge: Whether to prune.

        Raises:
            Stopped: By a signal; the folder has been removed.
        """
        began = time.perf_counter()
        reporter = TrialReporter(self.reporter, title, self._score, judge)
        shared = self._of_probe() if probe else self.options
        own = {**options, **({"strategy": "probe"} if probe else {})}
        state, note, run = FINISHED, "", None
        try:
            request = Request.from_options(
                backbone, self.data, {**shared, **own, "time_limit": max(limit, 1e-3)}
            )
            run = finetune(request, folder, self._run_options(reporter))
        except Pruned:
            state = PRUNED
        except Stopped:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        except Exception as error:  # of a plugin or a network: the others are still tried
            state, note = FAILED, first_line(error, kind=not isinstance(error, ZooError))
        if run is None:
            shutil.rmtree(folder, ignore_errors=True)
        gc.collect()
        give_back()
        metrics = run.metrics if run else reporter.best if state == PRUNED else None
        return Tried(
            number=number,
            backbone=backbone,
            options=dict(options),
            probe=probe,
            state=state,
            value=float(metrics[self.task.metric]) if metrics else None,
            score=self._score(metrics) if metrics else None,
            epochs=reporter.epochs,
            seconds=round(time.perf_counter() - began, 3),
            ended=round(self.clock(), 3),
            inference=round(_inference(run.record), 6) if run else 0.0,
            folder=str(folder) if run else None,
            note=note,
        )

    def _of_probe(self) -> dict[str, Any]:
        """The options without those for training in steps, such as the number of epochs."""
        table = rows(Recipe)
        return {
            name: value
            for name, value in self.options.items()
            if name not in table or table[name].use == "all"
        }

    def _score(self, metrics: Mapping[str, Any]) -> float:
        return float(self.task.score(metrics)[0])

    def _run_options(self, reporter: Reporter) -> RunOptions:
        memory = None if is_path(self.data) else self.data
        return RunOptions(
            registry=self.registry, reporter=reporter, report=False, data=memory, save_every=1e9
        )


def _inference(record: Mapping[str, Any]) -> float:
    """Seconds of the network for a sample, by the time for features and for validation."""
    parts, data = record["results"]["parts"], record["data"]
    epochs = max(1, sum(phase.get("epochs", 0) for phase in record["phases"]))
    features = parts.get("features", 0.0) / (data["train"] + data["val"])
    return float(max(features, parts.get("validation", 0.0) / (data["val"] * epochs)))
