"""The validation samples that a run got wrong, from its ``predictions.parquet``."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from zoo.data.sources.expansion import Expands
from zoo.errors import RunError, ZooError, first_line
from zoo.modalities.image.reading import looks_like_image, read_image
from zoo.runs.predictions import read_bounded
from zoo.tasks.task import Task

MOST = 24
"""Mistakes that are kept."""

_SIDE = 320  # pixels of the longer side of a thumbnail


@dataclass(frozen=True)
class Mistake:
    """A validation sample that the run got wrong.

    Attributes:
        inputs: One or two texts, or the file name of an image.
        truth: Its classes, or its numbers.
        predicted: Classes or numbers.
        probability: Of the predicted class, where there is one.
        image: The image file, if it is still there.
    """

    inputs: tuple[str, ...]
    truth: tuple[str, ...] | tuple[float, ...]
    predicted: tuple[str, ...] | tuple[float, ...]
    probability: float | None = None
    image: Path | None = None


@dataclass(frozen=True, eq=False)  # thumbnails are kept for each object, not for equal ones
class Mistakes:
    """Those of a run, the worst first.

    Attributes:
        examples: At most :data:`MOST`.
        count: How many there are; for numbers, all validation samples.
        total: How many validation samples there are.
    """

    examples: tuple[Mistake, ...] = ()
    count: int = 0
    total: int = 0

    @lru_cache(maxsize=MOST)  # noqa: B019 - lives as long as its reader, such as a server
    def thumbnail(self, index: int) -> bytes | None:
        """The image of an example as a small JPEG, made from its pixels alone.

        Nothing of a file is passed on as it is, so that it cannot be anything but an image.
        """
        path = self.examples[index].image if 0 <= index < len(self.examples) else None
        if path is None:
            return None
        try:
            image = read_image(path, size=_SIDE, values="own")
        except ZooError:
            return None
        image.thumbnail((_SIDE, _SIDE))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=85)
        return file.getvalue()


def read_mistakes(path: Path, *, task: Task, pairs: bool, images: str | None) -> Mistakes:
    """The mistakes in a ``predictions.parquet``; none if there is no such file.

    Args:
        path: The file.
        task: Of the run.
        pairs: Whether the inputs are pairs of texts.
        images: The folder that the run was trained on, which images are looked for in, and nowhere
            else; ``None`` for texts.

    Raises:
        RunError: The file is not one that a run writes.
    """
    if not path.is_file():
        return Mistakes()
    inputs = ("input_1", "input_2") if pairs else ("input",)
    try:
        rows = _rows(path, (*inputs, task.truth_column, "predicted", "probability"))
        rated = task.worst_rows(rows)
        folder = None if images is None else data_folder(images)
        examples = [_mistake(rows, i, inputs, task.truth_column, folder) for i in rated[:MOST]]
    except (
        OSError,
        ValueError,
        TypeError,
        LookupError,
        Expands,
    ) as error:  # pyarrow's are among them
        raise RunError(f"{path} cannot be read: {first_line(error)}") from error
    return Mistakes(tuple(examples), len(rated), len(rows["predicted"]))


def _rows(path: Path, columns: Sequence[str]) -> Mapping[str, Sequence[Any]]:
    """Those of the columns that the file has; which it must have, its readers know."""
    import pyarrow.parquet as pq

    there = set(pq.read_schema(path, memory_map=False).names)
    rows: dict[str, list[Any]] = read_bounded(
        path, [name for name in columns if name in there]
    ).to_pydict()
    return rows


def _mistake(
    rows: Mapping[str, Sequence[Any]],
    index: int,
    inputs: Sequence[str],
    truth: str,
    folder: Path | None,
) -> Mistake:
    shown = tuple(str(rows[name][index]) for name in inputs)
    image = None if folder is None else _image(folder, shown[0])
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
    """The folder that a run was trained on, if it is there.

    A ``run.json`` may name any folder. One that the user's home lies in, such as ``/``, holds more
    than the images of a run, and does not count.

    Args:
        source: The folder, as ``run.json`` names it.
    """
    folder = Path(os.path.realpath(source))
    home = Path(os.path.realpath(os.path.expanduser("~")))
    return folder if folder.is_dir() and not home.is_relative_to(folder) else None


def _image(folder: Path, name: str) -> Path | None:
    """The file that a prediction names, if it lies in ``folder``, links followed."""
    try:
        path = Path(os.path.realpath(name))
        inside = path.is_relative_to(folder) and looks_like_image(path) and path.is_file()
    except ValueError:  # a name with a null byte
        return None
    return path if inside else None
