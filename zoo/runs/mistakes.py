"""Misclassified validation samples of a run, from its ``predictions.parquet``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from zoo.data.sources.expansion import Expands
from zoo.errors import RunError, first_line
from zoo.modalities import Modality
from zoo.runs.predictions import read_bounded
from zoo.tasks.task import Task

MAX_MISTAKES = 24
"""Maximum number of mistakes kept."""

_SIDE = 320  # pixels of the longer side of a thumbnail


@dataclass(frozen=True)
class Mistake:
    """A validation sample that the run predicts wrongly.

    Attributes:
        inputs: One or two texts, or the file name of an image.
        truth: Its true classes or values.
        predicted: The predicted classes or values.
        probability: Probability of the predicted class; ``None`` for other tasks.
        image: The image file, if it still exists.
    """

    inputs: tuple[str, ...]
    truth: tuple[str, ...] | tuple[float, ...]
    predicted: tuple[str, ...] | tuple[float, ...]
    probability: float | None = None
    image: Path | None = None


@dataclass(frozen=True, eq=False)  # thumbnails are cached per object
class Mistakes:
    """The mistakes of a run, the worst first.

    Attributes:
        examples: At most :data:`MAX_MISTAKES`.
        count: Number of mistakes; for regression, of validation samples.
        total: Number of validation samples.
        modality: Makes the thumbnails.
    """

    examples: tuple[Mistake, ...] = ()
    count: int = 0
    total: int = 0
    modality: Modality | None = None

    @lru_cache(maxsize=MAX_MISTAKES)  # noqa: B019 - kept as long as the object
    def thumbnail(self, index: int) -> bytes | None:
        """Return the image of an example as a small JPEG; ``None`` if there is none."""
        path = self.examples[index].image if 0 <= index < len(self.examples) else None
        if path is None or self.modality is None:
            return None
        return self.modality.thumbnail(path, _SIDE)


def read_mistakes(
    path: Path, *, task: Task, modality: Modality, pairs: bool, source: str
) -> Mistakes:
    """Read the mistakes from a ``predictions.parquet``; none if there is no such file.

    Args:
        path: The file.
        task: The run's task.
        modality: The run's modality.
        pairs: Whether the inputs are text pairs.
        source: The folder that the run was trained on; images outside it are not shown.

    Raises:
        RunError: The file is damaged, or not a predictions file.
    """
    if not path.is_file():
        return Mistakes()
    inputs = ("input_1", "input_2") if pairs else ("input",)
    try:
        rows = _rows(path, (*inputs, task.truth_column, "predicted", "probability"))
        ranked = task.worst_rows(rows)
        folder = data_folder(source) if modality.in_files else None
        examples = [
            _mistake(rows, i, inputs, task.truth_column, modality, folder)
            for i in ranked[:MAX_MISTAKES]
        ]
    except (
        OSError,
        ValueError,
        TypeError,
        LookupError,
        Expands,
    ) as error:  # pyarrow's are among them
        raise RunError(
            f"{path} cannot be read: {first_line(error)}",
            hint="Restore it from a copy of the run, or train again: zoo rerun RUN",
        ) from error
    return Mistakes(tuple(examples), len(ranked), len(rows["predicted"]), modality)


def _rows(path: Path, columns: Sequence[str]) -> Mapping[str, Sequence[Any]]:
    """Read those of the columns that the file has."""
    import pyarrow.parquet as pq

    available = set(pq.read_schema(path, memory_map=False).names)
    rows: dict[str, list[Any]] = read_bounded(
        path, [name for name in columns if name in available]
    ).to_pydict()
    return rows


def _mistake(
    rows: Mapping[str, Sequence[Any]],
    index: int,
    inputs: Sequence[str],
    truth: str,
    modality: Modality,
    folder: Path | None,
) -> Mistake:
    shown = tuple(str(rows[name][index]) for name in inputs)
    image = None if folder is None else _image(folder, shown[0], modality)
    return Mistake(
        (Path(shown[0]).name,) if folder is not None else shown,
        _listed(rows[truth][index]),
        _listed(rows["predicted"][index]),
        float(rows["probability"][index]) if "probability" in rows else None,
        image,
    )


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else (str(value),)


def data_folder(source: str) -> Path | None:
    """Return the folder that a run was trained on, if it exists.

    A ``run.json`` may name any folder. One that contains the user's home, such as ``/``, holds more
    than training images and is ignored.

    Args:
        source: The folder, as given in ``run.json``.
    """
    folder = Path(os.path.realpath(source))
    home = Path(os.path.realpath(os.path.expanduser("~")))
    return folder if folder.is_dir() and not home.is_relative_to(folder) else None


def _image(folder: Path, name: str, modality: Modality) -> Path | None:
    """Return the image file of a prediction if it lies in ``folder``, with symlinks resolved."""
    try:
        path = Path(os.path.realpath(name))
        inside = path.is_relative_to(folder) and modality.is_file(path) and path.is_file()
    except ValueError:  # a name with a null byte
        return None
    return path if inside else None
