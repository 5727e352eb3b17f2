"""What a run says of inputs: classes with probabilities, or numbers; and the file that keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zoo.contract.metric_names import THRESHOLD
from zoo.data.expansion import Expands, check_expansion
from zoo.data.samples import LabelArray, Pair, Samples, TaskName
from zoo.errors import RunError
from zoo.system import files

if TYPE_CHECKING:
    import pyarrow as pa

_LARGEST = 2**29
"""Bytes that predictions may become in memory, however small their file: 50,000 rows of 1,000 classes."""

Shown: TypeAlias = str | Pair
"""The path of a picture, a text, or two texts."""


@dataclass(frozen=True)
class Prediction:
    """The class of one input.

    Attributes:
        input: The path of the picture, or the text, or the pair of texts.
        label: The class with the highest probability.
        probabilities: Class names to numbers in [0, 1], the likeliest first.
        unread: What of the input the network did not get to see, by name: ``end`` of a text; of an
            image as in :mod:`zoo.modalities.image.not_seen`.
    """

    input: Shown
    label: str
    probabilities: Mapping[str, float]
    unread: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data."""
        return {
            "input": _listed(self.input),
            "label": self.label,
            "probabilities": dict(self.probabilities),
            **_unread(self.unread),
        }


@dataclass(frozen=True)
class SetPrediction:
    """The classes of one input, of which there may be several, or none.

    Attributes:
        input: The path of the picture, or the text, or the pair of texts.
        labels: The classes whose probability reaches the threshold, the likeliest first.
        probabilities: Class names to numbers in [0, 1], the likeliest first.
        unread: What of the input the network did not get to see, by name: ``end`` of a text; of an
            image as in :mod:`zoo.modalities.image.not_seen`.
    """

    input: Shown
    labels: tuple[str, ...]
    probabilities: Mapping[str, float]
    unread: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data."""
        return {
            "input": _listed(self.input),
            "labels": list(self.labels),
            "probabilities": dict(self.probabilities),
            **_unread(self.unread),
        }


@dataclass(frozen=True)
class NumberPrediction:
    """The numbers of one input.

    Attributes:
        input: The path of the picture, or the text, or the pair of texts.
        values: Columns of the training data to numbers, in their units.
        unread: What of the input the network did not get to see, by name: ``end`` of a text; of an
            image as in :mod:`zoo.modalities.image.not_seen`.
    """

    input: Shown
    values: Mapping[str, float]
    unread: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data."""
        return {"input": _listed(self.input), "values": dict(self.values), **_unread(self.unread)}


@dataclass(frozen=True)
class NoPrediction:
    """In the place of the prediction of an input that cannot be read.

    Attributes:
        input: How reports call it: a path, or the row of a table.
        error: Why it cannot be read.
    """

    input: Shown
    error: str

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data."""
        return {"input": _listed(self.input), "error": self.error}


AnyPrediction: TypeAlias = NoPrediction | Prediction | SetPrediction | NumberPrediction


def predictions_of(
    task: TaskName,
    samples: Samples,
    outputs: NDArray[np.float64],
    classes: Sequence[str],
    *,
    threshold: float,
    unread: Sequence[tuple[str, ...]] = (),
) -> list[AnyPrediction]:
    """What the outputs say of ``samples``.

    Args:
        task: What the outputs are.
        samples: The inputs.
        outputs: Probabilities or numbers, ``(len(samples), len(classes))``.
        classes: Names of classes, or of columns of numbers.
        threshold: The probability from which on an input has a class, where several may be.
        unread: Of each input, what the network did not get to see; empty where that is nothing.
    """
    lacks = unread or [()] * len(samples)
    names = [shown(samples, i) for i in range(len(samples))]
    rows = outputs.tolist()
    if task == "regression":
        return [
            NumberPrediction(name, dict(zip(classes, row, strict=True)), lack)
            for name, row, lack in zip(names, rows, lacks, strict=True)
        ]
    ranked = [
        dict(sorted(zip(classes, row, strict=True), key=lambda pair: -pair[1])) for row in rows
    ]
    if task == "single-label":
        return [
            Prediction(name, next(iter(row)), row, lack)
            for name, row, lack in zip(names, ranked, lacks, strict=True)
        ]
    return [
        SetPrediction(name, tuple(key for key, p in row.items() if p >= threshold), row, lack)
        for name, row, lack in zip(names, ranked, lacks, strict=True)
    ]


def write_predictions(
    path: Path,
    samples: Samples,
    outputs: NDArray[np.float64],
    classes: Sequence[str],
    *,
    task: TaskName,
) -> None:
    """Put what is said of labelled ``samples`` at ``path``; arguments as of :func:`predictions_of`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    labels = samples.labels
    assert labels is not None
    columns: dict[str, Any] = input_columns([shown(samples, i) for i in range(len(samples))])
    if task == "regression":
        columns |= {"values": list(labels.astype(np.float64)), "predicted": list(outputs)}
    elif task == "multi-label":
        columns |= {
            "labels": pa.array(_names_in(labels > 0, classes), pa.list_(pa.string())),
            "predicted": pa.array(_names_in(outputs >= THRESHOLD, classes), pa.list_(pa.string())),
            "probabilities": list(outputs),
        }
    else:
        columns |= {
            "label": [classes[i] for i in labels],
            "predicted": [classes[i] for i in outputs.argmax(axis=1)],
            "probability": outputs.max(axis=1),
            "probabilities": list(outputs),
        }
    with files.replacing(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


@dataclass(frozen=True)
class Judged:
    """Labelled inputs, and what a run says of them.

    Attributes:
        inputs: What stands for each.
        labels: As the task has them.
        outputs: Probabilities or numbers, ``(len(inputs), len(classes))``.
    """

    inputs: tuple[Shown, ...]
    labels: LabelArray
    outputs: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, indices: Sequence[int]) -> Judged:
        """Those at ``indices``, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        inputs = tuple(self.inputs[i] for i in indices)
        return Judged(inputs, self.labels[chosen], self.outputs[chosen])


def read_predictions(path: Path, classes: Sequence[str], *, task: TaskName) -> Judged:
    """What :func:`write_predictions` has written.

    Raises:
        RunError: There is no such file, or it is damaged or of another run.
    """
    import pyarrow as pa

    if not path.is_file():
        raise RunError(
            f"{path} is not there, or no file",
            hint="Give labelled data with --data PATH, and the run predicts them again.",
        )
    try:
        table = read_bounded(path)
        inputs = _inputs_in(table)
        labels, outputs = _labels_in(table, classes, task), _outputs_in(table, task)
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
            hint="Give labelled data with --data PATH, and the run predicts them again.",
        ) from error
    return Judged(inputs, labels, outputs)


def read_bounded(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The predictions that are kept at ``path``, all columns or some.

    Raises:
        Expands: It becomes far more in memory than the file is large.
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


def _labels_in(table: pa.Table, classes: Sequence[str], task: TaskName) -> LabelArray:
    if task == "regression":
        return _rows_in(table, "values", np.float32).reshape(-1, len(classes))
    places = {name: place for place, name in enumerate(classes)}
    if task == "single-label":
        names = table["label"].to_pylist()
        return np.array([places[name] for name in names], dtype=np.int64)
    labels = np.zeros((len(table), len(classes)), dtype=np.float32)
    for row, names in enumerate(table["labels"].to_pylist()):
        labels[row, [places[name] for name in names]] = 1
    return labels


def _outputs_in(table: pa.Table, task: TaskName) -> NDArray[np.float64]:
    return _rows_in(table, "predicted" if task == "regression" else "probabilities", np.float64)


def _rows_in(table: pa.Table, column: str, dtype: type[np.floating[Any]]) -> NDArray[Any]:
    """A column of lists of numbers as ``(rows, numbers)``, never a Python number each."""
    import pyarrow.compute as pc

    lists = table[column]
    widths = pc.unique(pc.list_value_length(lists)).to_pylist()
    if len(widths) > 1 or None in widths:
        raise ValueError(f"rows of different lengths in {column!r}")
    numbers = pc.list_flatten(lists)
    if numbers.null_count:
        raise ValueError(f"nothing in some places of {column!r}")
    # A copy: what Arrow gives may not be written to, and PyTorch asks for that.
    return np.array(numbers.to_numpy(), dtype=dtype).reshape(len(lists), *widths)


def input_columns(inputs: Sequence[Shown]) -> dict[str, list[str]]:
    """As columns of a table: ``input``, or for pairs ``input_1`` and ``input_2``."""
    if any(isinstance(each, tuple) for each in inputs):
        return {f"input_{place + 1}": [each[place] for each in inputs] for place in (0, 1)}
    return {"input": [str(each) for each in inputs]}


def shown(samples: Samples, index: int) -> Shown:
    """What stands for an input: a text or pair itself, or the path of a picture."""
    if samples.modality == "image":
        return samples.input(index)
    raw = samples.raw(index)
    return raw if isinstance(raw, tuple) else str(raw)


def _names_in(flags: NDArray[np.bool_], classes: Sequence[str]) -> list[list[str]]:
    return [[classes[int(i)] for i in np.flatnonzero(row)] for row in flags]


def _unread(names: Sequence[str]) -> dict[str, list[str]]:
    return {"unread": list(names)} if names else {}


def _listed(given: Shown) -> str | list[str]:
    return list(given) if isinstance(given, tuple) else given
