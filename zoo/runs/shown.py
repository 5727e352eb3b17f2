"""Display of a run in a notebook, and methods that call other parts of zoo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.contract.extensions import imported
from zoo.data.memory.source import DataSource
from zoo.engine.progress import Reporter
from zoo.runs import evaluating
from zoo.runs.notebook import (
    confusion_frame,
    facts_of_run,
    history_frame,
    history_plot,
    mistakes_frame,
)
from zoo.runs.opened import OpenedRun
from zoo.runs.predictions import EvaluatedSamples
from zoo.system.html import html_facts

if TYPE_CHECKING:
    import pandas

    from zoo.runs.figure import Plot


class ShownRun(OpenedRun):
    """A run with tables, a plot, and exports; :class:`zoo.Run` adds predictions and evaluations."""

    def _repr_html_(self) -> str:
        return html_facts(
            str(self.folder), facts_of_run(self.record, self.metrics, self.task.selection)
        )

    @property
    def history(self) -> pandas.DataFrame:
        """The epochs as a DataFrame: losses, metrics, seconds, …; one row per epoch, from 1.

        Raises:
            RunError: ``metrics.jsonl`` is damaged.
        """
        return history_frame(self.epochs())

    def plot(self) -> Plot:
        """Losses and the selection metric by epoch, as a Matplotlib figure.

        Raises:
            RunError: ``metrics.jsonl`` is damaged.
            UsageError: It is missing.
        """
        title = f"{self.name}: {self.backbone_name}"
        return history_plot(
            self.epochs(), self.record["results"]["best_epoch"], title, self.task.selection
        )

    def confusion(
        self,
        data: DataSource = None,
        *,
        split: str | None = None,
        device: str = "auto",
        workers: int | None = None,
        reporter: Reporter | None = None,
    ) -> pandas.DataFrame:
        """The confusion matrix as a DataFrame: a row per true class, a column per predicted class.

        Args:
            data: As for :meth:`evaluated`; the validation samples by default.
            split: One split of ``data``.
            device: ``auto``, ``cpu``, ``cuda``, …
            workers: Number of data-loading processes.
            reporter: Gets notes and steps.

        Raises:
            UsageError: The run is not single-label.
            ZooError: As for :meth:`evaluated`.
        """
        evaluated = self._evaluated(data, split, device, workers, reporter)
        return confusion_frame(evaluated, self.task, self.classes)

    def mistakes(
        self,
        data: DataSource = None,
        *,
        split: str | None = None,
        device: str = "auto",
        workers: int | None = None,
        reporter: Reporter | None = None,
    ) -> pandas.DataFrame:
        """The misclassified samples as a DataFrame, the most confident mistakes first.

        Columns are ``input`` (the path or text; ``input_1`` and ``input_2`` for pairs), ``label``,
        ``predicted``, ``probability`` and ``p(class)`` for each class; for multi-label the label
        lists. For regression, all samples with true and predicted values, by error.

        Args:
            data: As for :meth:`evaluated`; the validation samples by default.
            split: One split of ``data``.
            device: ``auto``, ``cpu``, ``cuda``, …
            workers: Number of data-loading processes.
            reporter: Gets notes and steps.

        Raises:
            ZooError: As for :meth:`evaluated`.
        """
        evaluated = self._evaluated(data, split, device, workers, reporter)
        return mistakes_frame(evaluated, self.task, self.classes)

    def _evaluated(
        self,
        data: DataSource,
        split: str | None,
        device: str,
        workers: int | None,
        reporter: Reporter | None,
    ) -> EvaluatedSamples:
        return evaluating.evaluate_each(
            self, data, split=split, device=device, workers=workers, reporter=reporter
        )[0]

    def export(self, format: str, *, output: str | Path | None = None, **limits: Any) -> Any:  # noqa: A002
        """Export the run; see :func:`zoo.export_run`, also for ``limits``."""
        return imported("zoo.export:export_run")(self, format=format, output=output, **limits)

    def push(self, repo: str, *, private: bool = False, dry_run: bool = False) -> Any:
        """Upload the run to the Hub; see :func:`zoo.push_run`."""
        return imported("zoo.export.push:push_run")(self, repo, private=private, dry_run=dry_run)
