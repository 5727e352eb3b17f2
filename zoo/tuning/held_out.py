"""The samples that no trial sees, and the metric of the best run on them."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.data.dataset import open_data
from zoo.data.evaluation_samples import evaluation_samples
from zoo.data.memory.source import DataSource
from zoo.data.samples import Samples
from zoo.engine.progress import Reporter
from zoo.errors import DataError, UsageError
from zoo.runs.request import Request
from zoo.runs.run import Run
from zoo.runs.trained_on import read_digests
from zoo.tasks.optimism import interval
from zoo.tasks.task import Task
from zoo.training.opened import Opened
from zoo.tuning.results import Estimate

SHARE = 0.2
"""The share that is set aside if the data has no test split."""


@dataclass(frozen=True)
class HeldOut:
    """Samples for the estimate.

    Attributes:
        samples: The samples.
        source: ``test``, the test split, or ``aside``, set aside before the search.
    """

    samples: Samples
    source: str


def held_out(data: DataSource, request: Request, opened: Opened) -> HeldOut:
    """The test split of the data, or the part that the request sets aside.

    Raises:
        DataError: There is neither, since the data has too few samples.
    """
    splits = opened.splits
    if splits.test is not None:
        return HeldOut(splits.test, "aside")
    found = open_data(
        data,
        kind=splits.kind,
        tasks=(opened.task,),
        need="evaluate",
        known_classes=splits.classes,
        val_split=request.val_split,
        seed=request.seed,
        text_column=request.text_column,
        label_column=request.label_column,
        bad_files=request.bad_files,
        quoting=request.quoting,
        groups=request.groups,
    )
    if found.test is None and not request.test_split:
        raise UsageError(
            f"{splits.source} has no test split, and --test-split 0 sets no samples aside",
            hint=f"Use --test-split {SHARE}: the final estimate needs samples that no trial sees.",
        )
    if found.test is None or not len(found.test):
        raise DataError(
            f"{splits.source} has too few samples to set some aside for the final estimate",
            hint="Add samples, or a split called test.",
        )
    return HeldOut(found.test, "test")


def estimate(
    run: Run,
    held: HeldOut,
    task: Task,
    *,
    device: str,
    workers: int | None,
    reporter: Reporter,
) -> Estimate:
    """The selection metric of a run on samples that no trial has seen.

    Samples that are in the training split too, as duplicates, are left out.
    """
    chosen = evaluation_samples(
        {"test": held.samples}, read_digests(run.folder), run.training_data.val
    )
    left = next(iter(chosen.values()))
    samples = left.samples
    logits, _ = run.logits(samples, device=device, workers=workers, reporter=reporter)
    assert samples.labels is not None
    metrics = task.compute_metrics(logits, samples.labels, run.classes)
    found = interval(task, [task.decode(logits)], samples.labels, run.classes, samples.groups)
    return Estimate(
        metric=task.metric,
        value=float(metrics[task.metric]),
        low=found.low if found else None,
        high=found.high if found else None,
        samples=len(samples),
        left_out=left.left_out,
        source=held.source,
    )
