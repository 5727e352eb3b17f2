"""Predictions as a table in a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import RunError, UsageError

Table = Mapping[str, Sequence[Any]]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters of formulas (OWASP, CSV injection)."""


def _table(rows: Sequence[dict[str, Any]], classes: Sequence[str]) -> Table:
    """Predictions as columns: the inputs; ``label`` and ``probability``, or ``labels``, and one
    column per kept class, in the run's order; or one per regression target."""
    from zoo.runs.predictions import input_columns

    shown = [r["input"] if isinstance(r["input"], str) else tuple(r["input"]) for r in rows]
    if any(isinstance(each, tuple) for each in shown):  # of pairs, what failed has one name
        shown = [each if isinstance(each, tuple) else (each, "") for each in shown]
    columns: dict[str, list[Any]] = {**input_columns(shown)}
    errors = [row.get("error") for row in rows]
    if any(errors):
        columns["error"] = errors
    if any("unread" in row for row in rows):
        columns["unread"] = [row.get("unread", []) for row in rows]
    first = next(row for row in rows if "error" not in row)
    columns |= {key: [row.get(key) for row in rows] for key in ("rejected", "ood") if key in first}
    if "values" in first:
        return columns | _numbers(rows, first)
    given = [row.get("probabilities", {}) for row in rows]
    if "labels" in first:
        columns["labels"] = [row.get("labels") for row in rows]
    else:
        labels = columns["label"] = [row.get("label") for row in rows]
        columns["probability"] = [
            by_class.get(x) for by_class, x in zip(given, labels, strict=True)
        ]
    if "prediction_set" in first:
        columns["prediction_set"] = [row.get("prediction_set") for row in rows]
    kept = {name for by_class in given for name in by_class}
    return columns | {
        f"p({n})": [by_class.get(n) for by_class in given] for n in classes if n in kept
    }


def _numbers(rows: Sequence[dict[str, Any]], first: dict[str, Any]) -> dict[str, list[Any]]:
    """A column per target, and the two ends of its interval."""
    columns: dict[str, list[Any]] = {
        f"predicted({n})": [row.get("values", {}).get(n) for row in rows] for n in first["values"]
    }
    for name in first.get("intervals", {}):
        ends = [row.get("intervals", {}).get(name, (None, None)) for row in rows]
        columns |= {f"low({name})": [low for low, _ in ends], f"high({name})": [h for _, h in ends]}
    return columns


def check_output(path: Path | None) -> None:
    """Raise a :class:`UsageError` if a table cannot be written in the format of ``path``."""
    if path and path.suffix not in _WRITERS:
        raise UsageError(
            f"--output must end in .csv or .parquet, got {path}", hint="Change the file name."
        )


def write_table(path: Path, rows: Sequence[dict[str, Any]], classes: Sequence[str]) -> None:
    """Write predictions as a table in the format of the file's extension.

    Raises:
        RunError: It cannot be written.
    """
    try:
        _WRITERS[path.suffix](path, _table(rows, classes))
    except OSError as error:
        raise RunError(
            f"the predictions cannot be written to {path}: {error.strerror or error}",
            hint="Choose another path with --output FILE.",
        ) from error


def _write_csv(path: Path, table: Table) -> None:
    import csv

    from zoo.system.files import replacing

    columns = [[_harmless(cell) for cell in cells] for cells in table.values()]
    with replacing(path) as temporary:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(map(_harmless, table))
            writer.writerows(zip(*columns, strict=True))


def _harmless(cell: Any) -> Any:
    """Put an apostrophe before what a spreadsheet would run as a formula; numbers are kept."""
    text = "|".join(cell) if isinstance(cell, list) else cell
    if not isinstance(text, str) or not text.startswith(_FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def _write_parquet(path: Path, table: Table) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from zoo.system.files import replacing

    with replacing(path) as temporary, temporary.open("wb") as file:  # a path must be UTF-8
        pq.write_table(pa.table(dict(table)), file)


_WRITERS: dict[str, Callable[[Path, Table], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
