"""Comparison of runs on the same samples, with tests of significance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo.engine.progress import Quiet, Reporter
from zoo.errors import RunError, UsageError
from zoo.registry.adapter_record import weights_file
from zoo.runs.contests import Contest, contests
from zoo.runs.predictions import EvaluatedSamples
from zoo.runs.run import Run
from zoo.tasks.evaluation import Evaluation
from zoo.tasks.metrics import Selection
from zoo.tasks.predictions import Shown


@dataclass(frozen=True)
class Contender:
    """One of the runs that are compared.

    Attributes:
        run: The run.
        evaluation: Metrics on the common samples.
        seconds: Time of training and validation.
        samples_per_second: Throughput in training.
        params: Number of parameters, head included; ``None`` if not recorded.
        bytes: Size of the weights file.
        contest: The test against the first run; ``None`` for the first.
    """

    run: Run
    evaluation: Evaluation
    seconds: float | None
    samples_per_second: float | None
    params: int | None
    bytes: int | None
    contest: Contest | None


@dataclass(frozen=True)
class Comparison:
    """Runs on the same samples; the others are compared with the first.

    Attributes:
        contenders: In the order given.
        samples: Number of common samples.
        evaluated_on: Description of the samples.
        remarks: Warnings, such as samples that not all runs have.
        metric: The metric that is compared.
    """

    contenders: tuple[Contender, ...]
    samples: int
    evaluated_on: str
    remarks: tuple[str, ...]
    metric: Selection

    def difference(self, other: Contender) -> float:
        """The metric of ``other`` minus that of the first run."""
        key = self.metric.key
        return other.evaluation.metrics[key] - self.contenders[0].evaluation.metrics[key]

    def to_json(self) -> dict[str, Any]:
        """As JSON data: ``samples``, ``evaluated_on``, ``metric``, ``remarks``, ``first``, ``runs``."""
        return {
            "metric": self.metric.key,
            "samples": self.samples,
            "evaluated_on": self.evaluated_on,
            "remarks": list(self.remarks),
            "first": str(self.contenders[0].run.folder),
            "runs": [_document(contender, self.contenders[0]) for contender in self.contenders],
        }


def compare(
    runs: Sequence[str | Path | Run],
    *,
    data: str | Path | None = None,
    split: str | None = None,
    metric: str | None = None,
    device: str = "auto",
    workers: int | None = None,
    reporter: Reporter | None = None,
) -> Comparison:
    """Compare runs of one task with the first of them, on the same samples.

    Accuracy is compared by McNemar's test (1947, doi:10.1007/BF02295996) of right and wrong; for
    multi-label runs a sample is right if all of its labels are; see
    :func:`zoo.tasks.significance.mcnemar`. Any other metric, and accuracy where
    groups of samples are known, is compared by a paired bootstrap of the samples or groups; see :func:`zoo.tasks.significance.bootstrap`. With more than two runs, Holm's
    correction (1979, jstor.org/stable/4615733) controls the family-wise error rate.

    Args:
        runs: Run folders, or runs; two or more.
        data: Labelled data, as for :meth:`Run.evaluate`; by default the stored predictions for the
            validation samples that all runs have.
        split: One split of ``data``.
        metric: The metric to compare; by default the selection metric of the first run.
        device: ``auto``, ``cpu``, ``cuda``, …
        workers: Number of data-loading processes.
        reporter: Gets notes and steps.

    Raises:
        UsageError: Fewer than two runs are given, or the metric is unknown.
        RunError: They have different tasks or classes, or no samples in common.
        ZooError: As for :meth:`Run.evaluate`.
    """
    if len(runs) < 2:
        raise UsageError("a comparison needs at least two runs", hint="zoo compare RUN RUN …")
    opened = [run if isinstance(run, Run) else Run(run) for run in runs]
    refuse_others(opened)
    task = opened[0].task
    chosen = opened[0].find_metric(metric) if metric else task.selection
    each = [
        run.evaluated(data, split=split, device=device, workers=workers, reporter=reporter)
        for run in opened
    ]
    classes = opened[0].classes
    evaluated = [
        _in_order(predicted, run.classes, classes)
        for (predicted, _, _), run in zip(each, opened, strict=True)
    ]
    evaluated, remarks = _in_common(opened, evaluated)
    found = contests(task.selecting(chosen), evaluated, classes, reporter or Quiet())
    contenders = [
        _contender(run, own, classes, contest, chosen)
        for run, own, contest in zip(opened, evaluated, [None, *found], strict=True)
    ]
    if metric is None:
        remarks += _other_metrics(opened)
    remarks += contenders[0].evaluation.notes
    return Comparison(tuple(contenders), len(evaluated[0]), each[0][2], tuple(remarks), chosen)


def _other_metrics(runs: Sequence[Run]) -> list[str]:
    """A remark if another run has another selection metric than the first, which is compared."""
    first, *others = [(run.folder, run.task.selection) for run in runs]
    different = [
        f"{folder} by {metric.title}" for folder, metric in others if metric.key != first[1].key
    ]
    if not different:
        return []
    return [
        f"compared by {first[1].title}, the selection metric of {first[0]}; the best epoch was "
        f"selected in {', '.join(different)}"
    ]


# -- the same samples --------------------------------------------------------------------------


def refuse_others(runs: Sequence[Run]) -> None:
    """Raise a :class:`RunError` if a run has another task or other classes than the first."""
    first = runs[0]
    for run in runs[1:]:
        if run.task.name != first.task.name:
            raise RunError(
                f"{first.folder} is {first.task.name} and {run.folder} is {run.task.name}, and "
                "their metrics cannot be compared",
                hint="Compare runs of the same task.",
            )
        if set(run.classes) != set(first.classes):
            differ = sorted(set(run.classes) ^ set(first.classes))
            raise RunError(
                f"{first.folder} and {run.folder} have different classes: only one has "
                f"{', '.join(differ[:5])}{', …' if len(differ) > 5 else ''}",
                hint="Compare runs that were trained on the same classes.",
            )


def common_samples(first: Run, other: Run) -> None:
    """Raise a :class:`RunError` if two runs have no validation samples in common."""
    runs = [first, other]
    _in_common(runs, [_in_order(run.evaluated()[0], run.classes, first.classes) for run in runs])


def _in_order(
    evaluated: EvaluatedSamples, own: Sequence[str], wanted: Sequence[str]
) -> EvaluatedSamples:
    """With the outputs in the order of the classes ``wanted``, a permutation of ``own``."""
    if tuple(own) == tuple(wanted):
        return evaluated
    places = [list(own).index(name) for name in wanted]
    outputs = evaluated.outputs[:, places]
    if evaluated.labels.ndim > 1:
        return replace(evaluated, labels=evaluated.labels[:, places], outputs=outputs)
    return replace(evaluated, labels=np.argsort(places)[evaluated.labels], outputs=outputs)


def _in_common(
    runs: Sequence[Run], evaluated: Sequence[EvaluatedSamples]
) -> tuple[list[EvaluatedSamples], list[str]]:
    """The common samples, in one order, and remarks on those left out.

    Raises:
        RunError: There are none.
    """
    places = [_places(each) for each in evaluated]
    shared = [key for key in places[0] if all(key in other for other in places[1:])]
    if not shared:
        raise RunError(
            f"{' and '.join(str(run.folder) for run in runs)} have no common samples outside "
            "their training data",
            hint="Use --data PATH, with labelled data that no run was trained on.",
        )
    remarks = []
    if any(len(each) != len(shared) for each in evaluated):
        counts = ", ".join(
            f"{run.folder} has {len(each):,}" for run, each in zip(runs, evaluated, strict=True)
        )
        remarks.append(
            f"the runs have different samples ({counts}); compared on the {len(shared):,} common "
            "ones"
        )
    taken = [
        each.take([where[key] for key in shared])
        for each, where in zip(evaluated, places, strict=True)
    ]
    return taken, remarks


_Key = tuple[Shown, bytes, int]
"""An input, its label, and a counter of equal ones."""


def _places(evaluated: EvaluatedSamples) -> dict[_Key, int]:
    places: dict[_Key, int] = {}
    seen: dict[tuple[Shown, bytes], int] = {}
    for place, (shown, label) in enumerate(zip(evaluated.inputs, evaluated.labels, strict=True)):
        key = (shown, label.tobytes())
        seen[key] = number = seen.get(key, 0) + 1
        places[(*key, number)] = place
    return places


# -- results ---------------------------------------------------------------------------------


def _contender(
    run: Run,
    evaluated: EvaluatedSamples,
    classes: Sequence[str],
    contest: Contest | None,
    metric: Selection,
) -> Contender:
    results, model = run.record["results"], weights_file(run.folder, run.record)
    return Contender(
        run=run,
        evaluation=run.task.selecting(metric).evaluation(
            run.task.encode(evaluated.outputs), evaluated.labels, classes
        ),
        seconds=_number(results, "seconds"),
        samples_per_second=_number(results, "samples_per_second"),
        params=int(params) if (params := _number(run.record, "params")) is not None else None,
        bytes=model.stat().st_size if model.is_file() else None,
        contest=contest,
    )


def _number(record: Mapping[str, Any], key: str) -> float | None:
    value = record.get(key)
    return float(value) if isinstance(value, (int, float)) else None


def _document(contender: Contender, first: Contender) -> dict[str, Any]:
    contest = contender.contest
    return {
        "run": str(contender.run.folder),
        "backbone": contender.run.backbone_name,
        "metrics": dict(contender.evaluation.metrics),
        "seconds": contender.seconds,
        "samples_per_second": contender.samples_per_second,
        "params": contender.params,
        "bytes": contender.bytes,
        "per_class": {name: dict(row) for name, row in contender.evaluation.per_class.items()},
        "differences": class_differences(first, contender),
        "test": None if contest is None else asdict(contest),
    }


def class_differences(first: Contender, other: Contender) -> dict[str, float]:
    """By class, F1 of ``other`` minus that of ``first``; for regression, by target, the RMSE."""
    own, theirs = first.evaluation.per_class, other.evaluation.per_class
    key = first.run.task.row_metric
    return {name: theirs[name][key] - row[key] for name, row in own.items()}
