"""``zoo predict``: predictions of a run on new images or texts."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli import completion
from zoo.cli.hyperparameters import shared
from zoo.cli.limit_options import limit_options, threshold_of
from zoo.cli.options import network_option, output_option, run_argument, tta_option
from zoo.cli.output import clean, emit_json, json_option, note, say
from zoo.cli.prediction_table import check_output, write_table
from zoo.errors import DataError, UsageError

if TYPE_CHECKING:
    from zoo.data.reports import BadFiles
    from zoo.data.sources.dialects import Quoting
    from zoo.runs.run import Run
    from zoo.tasks.predictions import AnyPrediction


@click.command(
    epilog="""\b
Examples:
  zoo predict runs/resnet18-1 new/*.jpg
  zoo predict runs/resnet18-1 new/ --top-k 3 --json
  zoo predict runs/resnet18-1 new/ --output labels.csv
  echo "what a film" | zoo predict runs/lstm-1 -
  zoo predict runs/lstm-1 reviews.csv --text-column review
  zoo predict runs/tags-1 new/ --threshold 0.3 --threshold rain=0.6
  zoo predict runs/resnet18-1 new/ --coverage 0.9 --reject 0.05
  zoo predict runs/resnet18-1 new/ --tta
  printf 'a dog runs\\tan animal moves\\n' | zoo predict runs/pairs-1 -
"""
)
@run_argument
@click.argument(
    "inputs", nargs=-1, required=True, metavar="INPUT...", shell_complete=completion.paths
)
@click.option(
    "--top-k", type=click.IntRange(min=1), metavar="K", help="Print only the K most likely classes."
)
@limit_options
@tta_option
@output_option("FILE.csv|.parquet", "Write a table instead of printing.")
@shared(
    text_column="Input column of a table; twice for text pairs.",
    bad_files="error: stop at unreadable inputs (default); skip: report each instead of a prediction.",
    quoting="Quoting in CSV and TSV tables (default: as in training).",
)
@shared(device=None, workers=None)
@network_option
@json_option()
def command(
    run: Path,
    inputs: tuple[str, ...],
    top_k: int | None,
    thresholds: tuple[str, ...],
    coverage: float | None,
    reject: float | None,
    tta: bool,
    output: Path | None,
    text_column: str | tuple[str, ...] | None,
    bad_files: BadFiles,
    quoting: Quoting | None,
    device: str,
    workers: int | None,
    network: str | None,
    as_json: bool,
) -> None:
    """Predict classes or values with a trained run.

    INPUT is an image, a folder of images, a table, or '-' for texts on standard input, one per
    line; the two texts of a pair are separated by a tab. Prints one prediction per input, in
    order. With '--bad-files skip', unreadable inputs get an error in place of a prediction, and
    the exit status is 0 as long as one input is readable.
    """
    check_output(output)
    import zoo
    from zoo.engine.progress import Console

    opened = zoo.open_run(run, network=network)
    if top_k and not opened.task.has_classes:
        raise UsageError(
            f"--top-k is for classification, and {run} is a regression run",
            hint="Leave --top-k out.",
        )
    predictions = opened.predict(
        _expand(inputs, opened),
        text_column=text_column,
        threshold=threshold_of(thresholds, opened.classes),
        coverage=coverage,
        reject=reject,
        tta=tta,
        bad_files=bad_files,
        quoting=quoting,
        device=device,
        workers=workers,
        reporter=Console(),
    )
    rows = [_top(prediction, top_k) for prediction in predictions]
    failed = sum("error" in row for row in rows)
    if failed:
        note(f"{failed:,} of {len(rows):,} inputs could not be read and have no prediction")
    if output:
        write_table(output, rows, opened.classes)
    if as_json:
        emit_json(rows)
    elif output:
        say(f"{len(rows)} predictions: {output}")
    else:
        for row in rows:
            say(_line(row, top_k))


def _expand(inputs: tuple[str, ...], run: Run) -> list[Any]:
    """The inputs, with ``-`` replaced by the lines of standard input."""
    from zoo.data.reports import Findings
    from zoo.modalities.text.inputs import Text, blank_lines, lines_of

    expanded: list[Any] = []
    for given in inputs:
        if given == "-":
            lines = lines_of(sys.stdin.buffer.read().decode("utf-8-sig", "replace"))
            if not any(line.strip() for line in lines):
                continue
            findings = Findings("error")
            blank_lines(lines, "standard input", findings)
            expanded += [
                _pair(i, line) if run.pairs else Text(line) for i, line in enumerate(lines, 1)
            ]
            for fact in findings.notes:
                note(fact)
        else:
            _refuse_missing(given)
            expanded.append(given)
    if not expanded:
        raise UsageError("standard input is empty", hint=_input_hint(run))
    return expanded


def _input_hint(run: Run) -> str:
    if run.modality.in_files:
        return f"Pass paths of {run.modality.nouns} as INPUT."
    return (
        "Pass two texts per line, separated by a tab." if run.pairs else "Pass one text per line."
    )


def _refuse_missing(given: str) -> None:
    """Raise a :class:`DataError` for what looks like a path and does not exist."""
    from zoo.modalities import TEXT
    from zoo.modalities.text.inputs import names_file

    one_word = not any(char.isspace() for char in given)
    path_like = names_file(given, TEXT) or (one_word and os.sep in given)
    if path_like and not os.path.exists(os.path.expanduser(given)):
        raise DataError(
            f"{given} does not exist",
            hint="Check the path. '-' reads texts from standard input.",
        )


def _pair(number: int, line: str) -> tuple[str, ...]:
    if not line.strip():
        return "", ""  # one prediction per line, always
    texts = tuple(line.split("\t"))
    if len(texts) != 2 or not all(text.strip() for text in texts):
        raise DataError(
            f"line {number} of standard input must be two texts separated by a tab, got {line[:60]!r}",
            hint="This run takes pairs of texts: one pair per line, or a table with both columns.",
        )
    return texts


def _top(prediction: AnyPrediction, count: int | None) -> dict[str, Any]:
    row = prediction.to_json()
    if "probabilities" in row:
        row["probabilities"] = dict(list(row["probabilities"].items())[:count])
    return row


def _line(row: dict[str, Any], top_k: int | None) -> str:
    """The input and its prediction, separated by tabs; a dash where no label is predicted."""
    given = [row["input"]] if isinstance(row["input"], str) else row["input"]
    if "error" in row:
        predicted = [f"error: {row['error']}"]
    elif "values" in row:
        within = row.get("intervals", {})
        predicted = [
            f"{name} {value:.6g}{_interval(within.get(name))}"
            for name, value in row["values"].items()
        ]
    else:
        ranked = sorted(row["probabilities"].items(), key=lambda pair: pair[0] != row.get("label"))
        chosen = row.get("labels") if top_k is None else None
        shown = [(name, p) for name, p in ranked if chosen is None or name in chosen]
        kept = shown if chosen is not None else shown[: top_k or 3]
        if "prediction_set" in row:
            kept = [(name, p) for name, p in ranked if name in row["prediction_set"]]
        predicted = [f"{name} {p:.4f}" for name, p in kept]
    if row.get("rejected"):
        predicted = ["rejected"]
    return "\t".join(map(clean, [*given, *(predicted or ["-"])]))


def _interval(ends: Sequence[float] | None) -> str:
    return f" [{ends[0]:.6g}, {ends[1]:.6g}]" if ends else ""
