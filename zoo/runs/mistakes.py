"""The validation examples that a run took for something else, from its ``predictions.parquet``."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from zoo.data.expansion import Expands
from zoo.errors import RunError, ZooError
from zoo.modalities.image.reading import looks_like_image, read_image
from zoo.runs.folder import PREDICTIONS
from zoo.runs.predictions import read_bounded
from zoo.runs.run import Run

MOST = 24
"""Mistakes that are shown."""

_SIDE = 320  # pixels of the longer side of a picture that is shown


@dataclass(frozen=True)
class Mistake:
    """One example.

    Attributes:
        shown: What stands for it: texts, or the file name of a picture.
        truth: Its classes, or its numbers.
        said: What the run said.
        probability: Of the class that was said, where there is one.
        picture: Its file, where that is still there.
    """

    shown: tuple[str, ...]
    truth: tuple[str, ...] | tuple[float, ...]
    said: tuple[str, ...] | tuple[float, ...]
    probability: float | None = None
    picture: Path | None = None


@dataclass(frozen=True)
class Mistakes:
    """Those of a run, the worst first.

    Attributes:
        examples: At most :data:`MOST`.
        count: How many there are; for numbers, all validation examples.
        of: How many validation examples there are.
    """

    examples: tuple[Mistake, ...] = ()
    count: int = 0
    of: int = 0

    @lru_cache(maxsize=MOST)  # noqa: B019 - lives as long as the server
    def thumbnail(self, index: int) -> bytes | None:
        """The picture of an example as a small JPEG, made from its pixels alone.

        Nothing of a file goes out as it lies there, so that it cannot be anything but a picture.
        """
        path = self.examples[index].picture if 0 <= index < len(self.examples) else None
        if path is None:
            return None
        try:
            picture = read_image(path, size=_SIDE, values="own")
        except ZooError:
            return None
        picture.thumbnail((_SIDE, _SIDE))
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=85)
        return file.getvalue()


def read_mistakes(run: Run) -> Mistakes:
    """What ``predictions.parquet`` of a run says about its mistakes; none where there is no file.

    Pictures are looked for in the folder that the run was trained on, and nowhere else.

    Raises:
        RunError: The file is something else than a run writes.
    """
    path = run.folder / PREDICTIONS
    if not path.is_file():
        return Mistakes()
    task = run.task.name
    truth = {"single-label": "label", "multi-label": "labels", "regression": "values"}[task]
    inputs = ("input_1", "input_2") if run.pairs else ("input",)
    columns = [*inputs, truth, "predicted", *(["probability"] if task == "single-label" else [])]
    try:
        rows = read_bounded(path, columns).to_pydict()
        rated = _rated(rows, truth, numbers=task == "regression")
        folder = data_folder(run) if run.spec.modality == "image" else None
        examples = [_mistake(rows, i, inputs, truth, folder) for i in rated[:MOST]]
    except (
        OSError,
        ValueError,
        TypeError,
        LookupError,
        Expands,
    ) as error:  # pyarrow's are among them
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RunError(
            f"{path} cannot be read: {reason}", hint="Serve without it: --no-mistakes."
        ) from error
    return Mistakes(tuple(examples), len(rated), len(rows["predicted"]))


def _rated(rows: Mapping[str, Sequence[Any]], truth: str, *, numbers: bool) -> list[int]:
    """The rows with a mistake, the worst first: the surest, the one with most classes wrong, or
    the one that is farthest off."""
    pairs = list(zip(rows[truth], rows["predicted"], strict=True))
    if numbers:
        spread = [max(column) - min(column) or 1 for column in zip(*rows[truth], strict=True)]
        off = [
            sum(abs(t - s) / width for t, s, width in zip(true, said, spread, strict=True))
            for true, said in pairs
        ]
        return sorted(range(len(off)), key=lambda i: -off[i])
    wrong = [i for i, (true, said) in enumerate(pairs) if true != said]
    if "probability" in rows:
        return sorted(wrong, key=lambda i: -rows["probability"][i])
    return sorted(wrong, key=lambda i: -len(set(pairs[i][0]) ^ set(pairs[i][1])))


def _mistake(
    rows: Mapping[str, Sequence[Any]],
    index: int,
    inputs: Sequence[str],
    truth: str,
    folder: Path | None,
) -> Mistake:
    shown = tuple(str(rows[name][index]) for name in inputs)
    picture = None if folder is None else _picture(folder, shown[0])
    return Mistake(
        (Path(shown[0]).name,) if folder is not None else shown,
        _listed(rows[truth][index]),
        _listed(rows["predicted"][index]),
        float(rows["probability"][index]) if "probability" in rows else None,
        picture,
    )


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else (str(value),)


def data_folder(run: Run) -> Path | None:
    """The folder that a run on pictures was trained on, if it is there.

    A ``run.json`` may name any folder. One that the user's home lies in, such as ``/``, holds more
    than the pictures of a run, and does not count.
    """
    folder = Path(os.path.realpath(str(run.record["data"].get("source", ""))))
    home = Path(os.path.realpath(os.path.expanduser("~")))
    return folder if folder.is_dir() and not home.is_relative_to(folder) else None


def _picture(folder: Path, name: str) -> Path | None:
    """The file that a prediction names, if it lies in ``folder``, links followed."""
    try:
        path = Path(os.path.realpath(name))
        inside = path.is_relative_to(folder) and looks_like_image(path) and path.is_file()
    except ValueError:  # a name with a null byte
        return None
    return path if inside else None
