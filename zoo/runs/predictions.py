"""Predictions of a run, and the Parquet file that they are stored in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.samples import LabelArray, Samples
from zoo.data.sources.expansion import Expands, check_expansion
from zoo.errors import RunError
from zoo.system import arrow, files
from zoo.tasks.predictions import AnyPrediction, Shown
from zoo.tasks.task import Task

if TYPE_CHECKING:
    import pandas
    import pyarrow as pa

_LARGEST = 2**29
"""Limit of predictions in memory, in bytes: 50,000 rows of 1,000 classes."""


def predictions_of(
    task: Task,
    samples: Samples,
    outputs: NDArray[np.float64],
    classes: Sequence[str],
    *,
    threshold: float | Mapping[str, float],
    unread: Sequence[tuple[str, ...]] = (),
) -> list[AnyPrediction]:
    """The predictions for ``samples``.

    Args:
        task: What the outputs are.
        samples: The inputs.
        outputs: Probabilities or values, ``(len(samples), len(classes))``.
        classes: Names of classes or regression targets.
        threshold: Probability from which a label is predicted, or by class; multi-label only.
        unread: By input, the parts that were not seen; empty if there are none.
    """
    inputs = [shown(samples, i) for i in range(len(samples))]
    lacks = unread or [()] * len(samples)
    return list(task.predictions(inputs, outputs, classes, threshold=threshold, unread=lacks))


class PredictionList(list[AnyPrediction]):
    """The predictions for some inputs, in their order.

    Args:
        predictions: One per input.
        classes: Names of classes or regression targets.
    """

    def __init__(self, predictions: Iterable[AnyPrediction], classes: Sequence[str]) -> None:
        super().__init__(predictions)
        self.classes = tuple(classes)

    def to_pandas(self) -> pandas.DataFrame:
        """A DataFrame with a row per input.

        Its columns are named as in the JSON output of ``zoo predict``: ``input``, ``label``, and
        ``probabilities.cat`` for each class, in the order of the classes.
        """
        import pandas

        frame = pandas.json_normalize([each.to_json() for each in self])
        return frame.sort_index(axis=1, kind="stable", key=lambda names: names.map(self._place))

    def _place(self, column: str) -> int:
        _, dot, name = column.partition(".")
        return 1 + self.classes.index(name) if dot and name in self.classes else 0


@dataclass(frozen=True)
class EvaluatedSamples:
    """Labelled inputs with their predictions.

    Attributes:
        inputs: Texts, or names of files.
        labels: As the task has them.
        outputs: Probabilities or values, ``(len(inputs), len(classes))``.
        groups: The name of each sample's group; ``None`` if unknown.
    """

    inputs: tuple[Shown, ...]
    labels: LabelArray
    outputs: NDArray[np.float64]
    groups: NDArray[np.str_] | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, indices: Sequence[int]) -> EvaluatedSamples:
        """Those at ``indices``, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        inputs = tuple(self.inputs[i] for i in indices)
        groups = None if self.groups is None else self.groups[chosen]
        return EvaluatedSamples(inputs, self.labels[chosen], self.outputs[chosen], groups)


def evaluated_samples(samples: Samples, outputs: NDArray[np.float64]) -> EvaluatedSamples:
    """Labelled ``samples`` with the outputs of a run, ``(len(samples), outputs)``."""
    assert samples.labels is not None
    inputs = tuple(shown(samples, i) for i in range(len(samples)))
    return EvaluatedSamples(inputs, samples.labels, outputs, samples.groups)


def write_predictions(
    path: Path, evaluated: EvaluatedSamples, classes: Sequence[str], *, task: Task
) -> None:
    """Write predictions for labelled inputs to ``path``; arguments as for :func:`predictions_of`."""
    import pyarrow.parquet as pq

    with files.replacing(path) as temporary:
        pq.write_table(arrow.table(columns_of(evaluated, classes, task)), temporary)


def columns_of(evaluated: EvaluatedSamples, classes: Sequence[str], task: Task) -> dict[str, Any]:
    """The columns of a table of predictions; ``group`` if groups are known."""
    columns: dict[str, Any] = input_columns(evaluated.inputs)
    columns |= task.columns(evaluated.labels, evaluated.outputs, classes)
    if evaluated.groups is not None:
        columns["group"] = evaluated.groups.tolist()
    return columns


def read_predictions(path: Path, classes: Sequence[str], *, task: Task) -> EvaluatedSamples:
    """Read the file of :func:`write_predictions`.

    Raises:
        RunError: The file is missing, damaged, or from another run.
    """
    import pyarrow as pa

    if not path.is_file():
        raise RunError(
            f"{path} does not exist or is not a regular file",
            hint="Use --data PATH, with labelled data to predict again.",
        )
    try:
        table = read_bounded(path)
        inputs = _inputs_in(table)
        labels, outputs = task.labels_in(table, classes), task.outputs_in(table)
        groups = _groups_in(table)
        if outputs.shape != (len(inputs), len(classes)) or len(labels) != len(inputs):
            raise ValueError(f"{outputs.shape[0]} x {outputs.shape[-1]} outputs")
    except (
        pa.ArrowException,
        OSError,
        LookupError,
        TypeError,
        ValueError,
        OverflowError,
        Expands,
    ) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error).split("\n")[0]
        raise RunError(
            f"{path} is damaged: {reason}",
            hint="Use --data PATH, with labelled data to predict again.",
        ) from error
    return EvaluatedSamples(inputs, labels, outputs, groups)


def read_bounded(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read all or some columns of the predictions at ``path``.

    Raises:
        Expands: It would take far more memory than the file is large.
        ArrowException, OSError: It is damaged.
    """
    import pyarrow.parquet as pq

    check_expansion(path, _LARGEST)
    return pq.read_table(path, columns=columns and list(columns), memory_map=False)


def _inputs_in(table: pa.Table) -> tuple[Shown, ...]:
    if "input_1" in table.column_names:
        both = (map(str, table[name].to_pylist()) for name in ("input_1", "input_2"))
        return tuple(zip(*both, strict=True))
    return tuple(map(str, table["input"].to_pylist()))


def _groups_in(table: pa.Table) -> NDArray[np.str_] | None:
    if "group" not in table.column_names:
        return None
    return np.array([str(name) for name in table["group"].to_pylist()], dtype=np.str_)


def input_columns(inputs: Sequence[Shown]) -> dict[str, list[str]]:
    """Columns of a table: ``input``, or for pairs ``input_1`` and ``input_2``."""
    if any(isinstance(each, tuple) for each in inputs):
        return {f"input_{place + 1}": [each[place] for each in inputs] for place in (0, 1)}
    return {"input": [str(each) for each in inputs]}


def shown(samples: Samples, index: int) -> Shown:
    """An input as shown: the text or pair itself, or the name of the file."""
    if samples.kind.in_files:
        return samples.input(index)
    raw = samples.raw(index)
    return raw if isinstance(raw, tuple) else str(raw)
