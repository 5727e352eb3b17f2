"""The folds of a cross-validated run: their folders, and ``oof.parquet``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.samples import Samples
from zoo.runs.predictions import columns_of, evaluated_samples
from zoo.system import arrow, files
from zoo.tasks.task import Task

FOLDS = "folds"
"""The folder of the folds in a run folder; each is a run like any other."""

OOF = "oof.parquet"
"""A prediction for every sample, by the fold that did not train on it."""

OUTPUTS = "validation.safetensors"
"""In the folder of a fold: its validation outputs after every epoch."""


def fold_folder(run: Path, number: int) -> Path:
    """The folder of a fold, counted from 1."""
    return run / FOLDS / str(number)


def has_folds(run: Path) -> bool:
    """Whether a fold has left something that a resumed run uses."""
    return any((run / FOLDS).glob("*/run.json"))


def write_out_of_fold(
    path: Path,
    samples: Samples,
    outputs: NDArray[np.float64],
    folds: NDArray[np.int64],
    classes: Sequence[str],
    *,
    task: Task,
) -> None:
    """Write ``oof.parquet``: the columns of ``predictions.parquet``, ``fold``, and ``group`` if known.

    Args:
        path: Of the file.
        samples: All samples.
        outputs: Probabilities or values, ``(N, outputs)``.
        folds: ``(N,)``, the fold that each is held out in, from 1.
        classes: Names of classes or regression targets.
        task: What the outputs are.
    """
    import pyarrow.parquet as pq

    evaluated = evaluated_samples(samples, outputs)
    columns = {**columns_of(evaluated, classes, task), "fold": folds}
    with files.replacing(path) as temporary:
        pq.write_table(arrow.table(columns), temporary)


def in_words(folds: Mapping[str, Any], title: str) -> str:
    """The selection metric over the folds, such as ``accuracy 0.8120 ± 0.0213``."""
    mean, std = folds["mean"][folds["metric"]], folds["std"][folds["metric"]]
    return f"{title} {mean:.4f} ± {std:.4f} (mean ± standard deviation of {folds['count']} folds)"
