"""``zoo predict``: what a run says of new pictures or texts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.output import emit_json, say
from zoo.errors import UsageError

if TYPE_CHECKING:
    from zoo.predictions import Prediction


@click.command(
    epilog="""\b
Examples:
  zoo predict runs/resnet18-1 new/*.jpg
  zoo predict runs/resnet18-1 new/ --top-k 3 --json
  zoo predict runs/resnet18-1 new/ --output labels.csv
  echo "what a film" | zoo predict runs/lstm-1 -
  zoo predict runs/lstm-1 reviews.csv --text-column review
"""
)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--top-k", type=click.IntRange(min=1), metavar="K", help="Only the K likeliest.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE.csv|.parquet")
@click.option("--text-column", metavar="NAME", help="Column of a table that holds the input.")
@click.option("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, …")
@click.option("--workers", type=int, metavar="N", help="Processes that prepare pictures.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    run: Path,
    inputs: tuple[str, ...],
    top_k: int | None,
    output: Path | None,
    text_column: str | None,
    device: str,
    workers: int | None,
    as_json: bool,
) -> None:
    """Print what RUN says of each INPUT, by the user's class names.

    INPUT is a picture, a folder of pictures, a table, or '-' for texts on standard input, a
    line each.
    """
    if output and output.suffix not in _WRITERS:
        raise UsageError(
            f"--output {output} is of no known kind", hint="End it in .csv or .parquet."
        )
    import zoo
    from zoo.engine.progress import Console

    opened = zoo.open_run(run)
    predictions = opened.predict(
        _expand(inputs),
        text_column=text_column,
        device=device,
        workers=workers,
        reporter=Console(),
    )
    count = min(top_k or len(opened.classes), len(opened.classes))
    rows = [_top(p, count) for p in predictions]
    if output:
        _WRITERS[output.suffix](output, rows)
    if as_json:
        emit_json(rows)
    elif output:
        say(f"{len(rows)} predictions: {output}")
    else:
        for row in rows:
            ranked = list(row["probabilities"].items())[: top_k or 3]
            say(f"{row['input']}\t" + "\t".join(f"{name} {p:.4f}" for name, p in ranked))


def _expand(inputs: tuple[str, ...]) -> list[str]:
    """The inputs with the lines of standard input in the place of ``-``."""
    from zoo.data import Text

    expanded: list[str] = []
    for given in inputs:
        if given == "-":
            lines = sys.stdin.buffer.read().decode("utf-8-sig", "replace").split("\n")
            expanded += [Text(line.rstrip("\r")) for line in lines if line.strip()]
        else:
            expanded.append(given)
    if not expanded:
        raise UsageError("there is nothing on standard input", hint="Give a text a line.")
    return expanded


def _top(prediction: Prediction, count: int) -> dict[str, Any]:
    row = prediction.to_json()
    return {**row, "probabilities": dict(list(row["probabilities"].items())[:count])}


def _table(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Columns ``input``, ``label``, ``probability``, and one for each class that is kept."""
    names = list(dict.fromkeys(name for row in rows for name in row["probabilities"]))
    return {
        "input": [row["input"] for row in rows],
        "label": [row["label"] for row in rows],
        "probability": [row["probabilities"][row["label"]] for row in rows],
        **{f"p({name})": [row["probabilities"].get(name) for row in rows] for name in names},
    }


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    import csv

    from zoo.files import replacing

    table = _table(rows)
    with replacing(path) as temporary:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(table)
            writer.writerows(zip(*table.values(), strict=True))


def _write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from zoo.files import replacing

    with replacing(path) as temporary:
        pq.write_table(pa.table(_table(rows)), temporary)


_WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
