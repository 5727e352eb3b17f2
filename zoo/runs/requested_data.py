"""The data of a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from zoo.data.dataset import open_data
from zoo.data.demo import demo_data
from zoo.data.examined import Keeps
from zoo.data.folds import fold_of, merged, require_folds
from zoo.data.kind import InputKind
from zoo.data.labels import Labels
from zoo.data.memory.source import DataSource
from zoo.data.samples import Samples, Splits
from zoo.data.sequences import Renamed
from zoo.engine.hyperparameters import rows
from zoo.errors import UsageError
from zoo.runs.request import Request
from zoo.tasks.task import Task


def open_requested(
    request: Request,
    kind: InputKind,
    tasks: Sequence[Task],
    given: DataSource = None,
    keep: Keeps | None = None,
    opened: Splits | None = None,
) -> Splits:
    """The requested data, or the demo data; for a cross-validation merged, or one of its folds.

    Args:
        request: Names the data.
        kind: The modality of the backbone.
        tasks: Those that the request allows, from :func:`zoo.tasks.tasks_for`.
        given: The data in memory that the request names, if it is not a path.
        keep: Takes what the inputs are decoded to.
        opened: The merged data of a cross-validation, if it is open already.

    Raises:
        ZooError: The data is missing, damaged or does not fit the request.
    """
    if request.folds is None:
        return _opened(request, kind, tasks, given, keep)
    whole = opened or _opened(request, kind, tasks, given, keep)
    task = next(task for task in tasks if task.name == whole.task)
    if opened is None:
        whole = merged(whole, task, request.folds)
    if request.fold is None:
        typed = request.groups.typed
        require_folds(whole, task, count=request.folds, seed=request.seed, typed=typed)
        return whole
    return fold_of(whole, task, count=request.folds, number=request.fold, seed=request.seed)


def _opened(
    request: Request,
    kind: InputKind,
    tasks: Sequence[Task],
    given: DataSource,
    keep: Keeps | None,
) -> Splits:
    if request.data is None:
        return _demo_data(request, kind, tasks)
    return open_data(
        request.data if given is None else given,
        kind=kind,
        tasks=tasks,
        need="folds" if request.folds else "train",
        classes=request.classes,
        val_split=request.val_split,
        test_split=request.test_split,
        seed=request.seed,
        text_column=request.text_column,
        label_column=request.label_column,
        bad_files=request.bad_files,
        quoting=request.quoting,
        dedupe=request.dedupe,
        groups=request.groups,
        corrections=request.corrections,
        keep=keep,
    )


def named_as_given(request: Request, samples: Samples) -> Samples:
    """``samples`` with the names that the user's own path would give them."""
    if request.given is None or request.data is None:
        return samples
    # Images of a table are named relative to its folder.
    given, data = Path(request.given), Path(request.data)
    pairs = ((str(data), str(given)), (str(data.parent), str(given.parent)))
    return replace(samples, inputs=Renamed(samples.inputs, pairs))


def _demo_data(request: Request, kind: InputKind, tasks: Sequence[Task]) -> Splits:
    demo_task = next((task for task in tasks if task.labels is Labels), None)
    if demo_task is None:
        raise UsageError(
            f"--task {request.task} needs --data: the demo data has one class per sample",
            hint="Add --data PATH.",
        )
    for name, row in rows(Request).items():
        if row.own_data and getattr(request, name) != row.default:
            raise UsageError(
                f"{row.typed} needs --data: it has no effect on the demo data",
                hint=f"Add --data PATH, or leave {row.typed} out.",
            )
    return demo_data(kind, task=demo_task.name, classes=request.classes, seed=request.seed)
