"""Writers of features: Parquet, NumPy, safetensors; files are written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.data.rows import Rows
from zoo.data.samples import Samples
from zoo.errors import RunError, UsageError
from zoo.system import files
from zoo.system.tensors.files import write_tensors
from zoo.tasks import task_named

CHUNK = 1024
"""Samples in memory at a time while a Parquet file is written."""

Features = NDArray[np.float32]


def check_output(path: Path) -> None:
    """Raise a :class:`UsageError` if the extension of ``path`` is not supported."""
    if path.suffix.lower() not in _WRITERS:
        raise UsageError(
            f"--output must end in {', '.join(_WRITERS)}, got {path}", hint="Change the file name."
        )


def write_features(path: Path, rows: Rows, parts: Mapping[str, Features]) -> Path:
    """Write the features of all rows, and the names of the rows.

    Args:
        path: Its extension selects the format; see docs/choosing.md.
        rows: Names, splits and labels of the rows.
        parts: By split, ``(N, feature_dim)``, possibly memory-mapped.

    Returns:
        The file with the names of the rows: ``path`` itself, or one beside it.

    Raises:
        RunError: They cannot be written.
    """
    try:
        return _WRITERS[path.suffix.lower()](path, rows, parts)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written: {error.strerror or error}",
            hint="Choose another path with --output FILE.",
        ) from error


def _write_parquet(path: Path, rows: Rows, parts: Mapping[str, Features]) -> Path:
    """One row per sample, in chunks; ``features`` is a column of fixed-size lists."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    width = next(iter(parts.values())).shape[1]
    schema = pa.schema(
        [
            ("input", pa.string()),
            ("split", pa.string()),
            (
                "label",
                task_named(rows.task).label_type(len(rows.classes)) if rows.task else pa.string(),
            ),
            ("features", pa.list_(pa.float32(), width)),
        ]
    )
    with (
        files.replacing(path) as temporary,
        temporary.open("wb") as file,  # a path must be UTF-8
        pq.ParquetWriter(file, schema) as writer,
    ):
        for names, chunk in _chunks(rows, parts):
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(chunk.reshape(-1)), width)
            columns = [[row[key] for row in names] for key in ("input", "split", "label")]
            arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=False)]
            writer.write_table(pa.Table.from_arrays([*arrays, vectors], schema=schema))
    return path


def _write_npy(path: Path, rows: Rows, parts: Mapping[str, Features]) -> Path:
    """The matrix ``(N, feature_dim)`` in NumPy's format, with the names of the rows beside it."""
    width = next(iter(parts.values())).shape[1]
    with _with_names(path, rows) as temporary:
        matrix = np.lib.format.open_memmap(
            temporary, mode="w+", dtype="<f4", shape=(len(rows), width)
        )
        files.claim(temporary)
        np.concatenate(list(parts.values()), out=matrix)
        matrix.flush()
    return names_beside(path)


def _write_safetensors(path: Path, rows: Rows, parts: Mapping[str, Features]) -> Path:
    """``features`` and ``labels``, with the names of the rows beside them; all in memory at once."""
    tensors = {"features": torch.from_numpy(np.concatenate(list(parts.values())))}
    labels = _all_labels(rows)
    if labels is not None:
        tensors["labels"] = torch.from_numpy(labels)
    with _with_names(path, rows) as temporary:
        classes = json.dumps(rows.classes, ensure_ascii=False)
        write_tensors(temporary, tensors, {"classes": classes})
    return names_beside(path)


_Writer = Callable[[Path, Rows, Mapping[str, Features]], Path]

_WRITERS: Mapping[str, _Writer] = {
    ".parquet": _write_parquet,
    ".npy": _write_npy,
    ".safetensors": _write_safetensors,
}


def names_beside(path: Path) -> Path:
    """The file with the names of the rows: ``features.jsonl`` for ``features.npy``."""
    return path.with_suffix(".jsonl")


@contextmanager
def _with_names(path: Path, rows: Rows) -> Iterator[Path]:
    """A temporary path to write features to, for which the rows are named beside ``path``."""
    with (
        ExitStack() as renaming,
        files.replacing(names_beside(path)) as names,
        files.replacing(path) as temporary,
    ):
        with names.open("w", encoding="utf-8", newline="\n") as listing:
            for split, samples in rows.splits.items():
                for index in range(len(samples)):
                    named = _named(rows, split, samples, index)
                    listing.write(json.dumps(named, ensure_ascii=False) + "\n")
        yield temporary
        # Both files come from one process, even if another writes them at the same time.
        renaming.enter_context(files.alone_in(path.parent))
        # Old names must never be beside new features, even if killed between the two renames.
        names_beside(path).unlink(missing_ok=True)


def _chunks(
    rows: Rows, parts: Mapping[str, Features]
) -> Iterator[tuple[list[dict[str, Any]], Features]]:
    """Names and labels of some samples, and their features, chunk by chunk."""
    for split, samples in rows.splits.items():
        for start in range(0, len(samples), CHUNK):
            stop = min(start + CHUNK, len(samples))
            names = [_named(rows, split, samples, index) for index in range(start, stop)]
            yield names, np.ascontiguousarray(parts[split][start:stop])


def _named(rows: Rows, split: str, samples: Samples, index: int) -> dict[str, Any]:
    """``input`` (a path, or a table and the number of a row), ``split``, and ``label``."""
    return {"input": samples.input(index), "split": split, "label": _label(rows, samples, index)}


def _label(rows: Rows, samples: Samples, index: int) -> Any:
    """A class name, a list of them, a number, or a list of those; ``None`` without labels."""
    if samples.labels is None:
        return None
    assert rows.task is not None
    return task_named(rows.task).label(samples.labels[index], rows.classes)


def _all_labels(rows: Rows) -> NDArray[Any] | None:
    """As the task has them; -1, or NaN, where a split has none."""
    known = next((s.labels for s in rows.splits.values() if s.labels is not None), None)
    if known is None:
        return None
    missing = -1 if known.dtype == np.int64 else np.nan
    return np.concatenate(
        [
            np.full((len(samples), *known.shape[1:]), missing, dtype=known.dtype)
            if samples.labels is None
            else samples.labels
            for samples in rows.splits.values()
        ]
    )
