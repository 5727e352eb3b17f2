"""Cross-validation: one run per fold, the epochs that they choose, and out-of-fold predictions."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from zoo.data.folds import held_out
from zoo.engine.chosen_epochs import ChosenEpochs
from zoo.engine.interrupts import Interrupts
from zoo.engine.progress import FoldReporter
from zoo.errors import Stopped
from zoo.registry.run_record import LOCK_FILE, read_record
from zoo.runs.folds import OOF, OUTPUTS, fold_folder, in_words, write_out_of_fold
from zoo.runs.request import Request
from zoo.runs.requested_data import named_as_given
from zoo.runs.run import Run
from zoo.system.json_shape import finite
from zoo.system.memory import give_back
from zoo.system.parts import Parts
from zoo.tasks.optimism import interval
from zoo.training import record as records
from zoo.training.claims import new_run
from zoo.training.plan import Plan
from zoo.training.prepare import compiler_for, prepare
from zoo.training.run_options import RunOptions
from zoo.training.same_run import same_run
from zoo.training.train import resume_command, stopped, train

Position = tuple[int, int]
"""A phase, from 0, and an epoch of it, from 1."""


@dataclass(frozen=True)
class CrossValidated:
    """The result of the folds.

    Attributes:
        chosen: The epochs to keep of the final run.
        record: ``results.folds`` of ``run.json``.
        interval: ``results.interval``: the confidence interval of the selection metric.
    """

    chosen: ChosenEpochs
    record: Mapping[str, Any]
    interval: Mapping[str, Any] | None


@dataclass(frozen=True)
class _Fold:
    """A finished fold.

    Attributes:
        run: Its run.
        epochs: Its metrics by position, and the number of the epoch over all phases.
        held: Indices of its validation samples.
    """

    run: Run
    epochs: Mapping[Position, tuple[int, Mapping[str, float]]]
    held: NDArray[np.int64]

    def outputs(self, at: Position) -> NDArray[np.float64]:
        """Its probabilities or values for the validation samples after an epoch."""
        tensors = safetensors.torch.load_file(self.run.folder / OUTPUTS)
        return self.run.task.decode(tensors[str(self.epochs[at][0])])


def cross_validate(
    plan: Plan,
    options: RunOptions,
    accelerator: Accelerator,
    interrupts: Interrupts,
    folder: Path,
) -> CrossValidated:
    """Train every fold that is not finished yet, choose the epochs, and write ``oof.parquet``.

    Args:
        plan: Of the final run, on all samples.
        options: Options that do not change the result.
        accelerator: One process.
        interrupts: The signals received so far.
        folder: The run folder.

    Raises:
        ZooError: As of a run without folds.
        Stopped: By a signal; the run can be resumed.
    """
    request, whole = plan.request, plan.splits.train
    assert request.folds is not None
    assert whole.labels is not None
    parts = held_out(plan.splits, plan.task, count=request.folds, seed=request.seed)
    folds = []
    for number, held in enumerate(parts, start=1):
        with options.parts.part("folds"):
            run = _trained(number, plan, options, accelerator, interrupts, folder)
        folds.append(_Fold(run, _by_position(run), held))
        gc.collect()
        give_back()
    by_epoch, kept = _choice(folds, plan)
    at = len(kept) - 1, kept[-1]
    outputs, numbers = _out_of_fold(folds, at, plan), np.empty(len(whole), dtype=np.int64)
    for number, fold in enumerate(folds, start=1):
        numbers[fold.held] = number
    named = named_as_given(request, whole)
    write_out_of_fold(folder / OOF, named, outputs, numbers, plan.splits.classes, task=plan.task)
    logits = plan.task.encode(outputs).float()
    metrics = plan.task.compute_metrics(logits, whole.labels, plan.splits.classes)
    record = _record(folds, plan, at)
    options.reporter.note(in_words(record, plan.task.selection.title))
    options.reporter.note(
        "training on all samples; the validation values below are means over the folds"
    )
    chosen = ChosenEpochs(kept=kept, by_epoch=by_epoch, metrics=metrics, logits=logits)
    tried = [_out_of_fold(folds, each, plan) for each in by_epoch]
    found = interval(plan.task, tried, whole.labels, plan.splits.classes, whole.groups)
    return CrossValidated(chosen, record, found.to_json() if found else None)


def _out_of_fold(folds: Sequence[_Fold], at: Position, plan: Plan) -> NDArray[np.float64]:
    """The outputs for all samples, each of the fold that holds it out, after an epoch."""
    outputs = np.empty((len(plan.splits.train), len(plan.splits.classes)))
    for fold in folds:
        outputs[fold.held] = fold.outputs(at)
    return outputs


def _trained(
    number: int,
    plan: Plan,
    options: RunOptions,
    accelerator: Accelerator,
    interrupts: Interrupts,
    folder: Path,
) -> Run:
    """One fold: finished before, resumed, or new."""
    path = fold_folder(folder, number)
    before = read_record(path, finished=None) if (path / LOCK_FILE).exists() else None
    if before and before["finished"]:
        return Run(path, surgery=options.surgery, registry=options.registry)
    if interrupts.received is not None:
        raise stopped(folder, interrupts, options)
    title = f"fold {number} of {plan.request.folds}"
    own = replace(
        options,
        merged=plan.splits,
        report=False,
        track=None,
        reporter=FoldReporter(options.reporter, title),
        parts=Parts(),
    )
    request = _fold_request(plan, number)
    claim = same_run(path, before) if before else new_run(path, request.backbone, main=True)
    try:
        compiling = compiler_for(request, own, accelerator)
        with torch.random.fork_rng(), compiling as compiler:
            prepared = prepare(request, own, accelerator, compiler)
            record = records.initial_record(prepared.plan, own, prepared.loaders)
            with claim(record) as claimed, claimed.started(main=True):
                train(claimed, prepared, own, accelerator, interrupts)
    except Stopped as error:
        error.hint = f"Resume with: {resume_command(folder, options)}"
        raise
    return Run(path, surgery=options.surgery, registry=options.registry)


def _fold_request(plan: Plan, number: int) -> Request:
    """The request of a fold: with the batch size and precision of the final run."""
    return replace(
        plan.request,
        fold=number,
        precision=plan.precision,
        measured=plan.batch.size if plan.batch else None,
    )


def _by_position(run: Run) -> dict[Position, tuple[int, Mapping[str, float]]]:
    return dict(_positions(run.epochs(), list(run.metrics)))


def _positions(
    history: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> Iterator[tuple[Position, tuple[int, Mapping[str, float]]]]:
    phase = -1
    for line in history:
        phase += line["epoch_of_phase"] == 1
        metrics = {name: float(line[name]) for name in names}
        yield (phase, line["epoch_of_phase"]), (line["epoch"], metrics)


def _choice(
    folds: Sequence[_Fold], plan: Plan
) -> tuple[Mapping[Position, Mapping[str, float]], tuple[int, ...]]:
    """The mean of the metrics by epoch; and by phase the best epoch, up to the best of all."""
    common = set.intersection(*(set(fold.epochs) for fold in folds))
    by_epoch = {at: _over(np.nanmean, [f.epochs[at][1] for f in folds]) for at in sorted(common)}
    scores = {at: plan.task.score(metrics) for at, metrics in by_epoch.items()}
    usable = {at: score for at, score in scores.items() if all(map(math.isfinite, score))}
    usable = usable or scores
    best, _ = max(usable, key=lambda at: usable[at])
    kept = [
        max((at for at in usable if at[0] == phase), key=lambda at: usable[at], default=(phase, 1))
        for phase in range(best + 1)
    ]
    return by_epoch, tuple(epoch for _, epoch in kept)


def _over(statistic: Any, metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """A statistic of each metric over the folds; NaN where no fold has it."""
    values = {name: np.array([each[name] for each in metrics]) for name in metrics[0]}
    return {
        name: float(statistic(row)) if np.isfinite(row).any() else math.nan
        for name, row in values.items()
    }


def _deviation(values: NDArray[np.float64]) -> float:
    return float(np.nanstd(values, ddof=1)) if np.isfinite(values).sum() > 1 else math.nan


def _record(folds: Sequence[_Fold], plan: Plan, at: Position) -> dict[str, Any]:
    """``results.folds``."""
    whole = plan.splits.train
    metrics = [fold.epochs[at][1] for fold in folds]
    groups = whole.groups
    each = [
        {
            "fold": number,
            "train": len(whole) - len(fold.held),
            "val": len(fold.held),
            **({} if groups is None else {"groups": len(np.unique(groups[fold.held]))}),
            "metrics": finite(own),
        }
        for number, (fold, own) in enumerate(zip(folds, metrics, strict=True), start=1)
    ]
    return {
        "count": len(folds),
        "metric": plan.task.metric,
        "mean": finite(_over(np.nanmean, metrics)),
        "std": finite(_over(_deviation, metrics)),
        "each": each,
    }
