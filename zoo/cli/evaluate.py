"""``zoo evaluate``: metrics of a run on labelled data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo.cli.hyperparameters import shared
from zoo.cli.options import data_option, network_option, run_argument, tta_option
from zoo.cli.output import emit_json, json_option, say
from zoo.cli.tables import fits, print_table, say_wrapped

if TYPE_CHECKING:
    from zoo.data.reports import BadFiles
    from zoo.data.sources.dialects import Quoting
    from zoo.tasks.evaluation import Evaluation


@click.command(
    epilog="""\b
Examples:
  zoo evaluate runs/resnet18-1
  zoo evaluate runs/resnet18-1 --data photos/
  zoo evaluate runs/resnet18-1 --data photos/ --split val
  zoo evaluate runs/resnet18-1 --data photos/ --tta
  zoo evaluate runs/lstm-1 --data test.tsv --metric auroc --json
"""
)
@run_argument
@data_option("Data: a folder, a table, or hf:NAME (default: the run's own).")
@click.option(
    "--split", metavar="val|test", help="Evaluate one split only (default: all held-out splits)."
)
@tta_option
@shared(
    metric="Metric to print first (default: the run's selection metric).",
    text_column="Input column; twice for text pairs (default: as in training).",
    label_column="Label column; may be repeated (default: as in training).",
    bad_files=None,
    quoting="Quoting in CSV and TSV tables (default: as in training).",
)
@shared(device=None, workers=None)
@network_option
@json_option()
def command(
    run: Path,
    data: str | None,
    split: str | None,
    metric: str | None,
    tta: bool,
    text_column: str | tuple[str, ...] | None,
    label_column: str | tuple[str, ...] | None,
    bad_files: BadFiles,
    quoting: Quoting | None,
    device: str,
    workers: int | None,
    network: str | None,
    as_json: bool,
) -> None:
    """Evaluate a run on labelled data.

    Prints overall and per-class metrics: the selection metric, accuracy, macro F1 and the
    confusion matrix; for multi-label runs mAP and F1 at a threshold of 0.5; for regression MAE,
    RMSE and R². A metric that is undefined for the data is reported as such. With at least 20
    samples, or groups if the run was trained with groups, the 95 % confidence interval of the
    first metric follows.

    If the data has a test split, prints the metrics of both validation and test. Samples that the
    run was trained on are recognised by their contents and left out. Without --data, evaluates on
    the data that the run was trained on: its test split, or else its validation split.
    """
    import zoo
    from zoo.engine.progress import Console

    opened = zoo.open_run(run, network=network)
    results = opened.evaluate(
        data,
        split=split,
        metric=metric,
        tta=tta,
        text_column=text_column,
        label_column=label_column,
        bad_files=bad_files,
        quoting=quoting,
        device=device,
        workers=workers,
        reporter=Console(),
    )
    main = "test" if "test" in results else next(iter(results))
    if as_json:
        splits = {name: dict(result.metrics) for name, result in results.items()}
        emit_json({**results[main].to_json(), "split": main, "splits": splits})
        return
    from zoo.tasks.metrics import formatted
    from zoo.tasks.optimism import in_words

    chosen = opened.find_metric(metric) if metric else opened.task.selection
    for name, result in results.items():
        say(f"{name}: {formatted(result.metrics, chosen)} ({_samples_in_words(result)})")
        if result.interval is not None:
            say_wrapped(in_words(dict(result.interval), chosen.title))
    _print_details(results[main])


def _samples_in_words(result: Evaluation) -> str:
    """How many samples were evaluated, and how many of them are in the training data."""
    words = f"{result.samples:,} samples"
    if result.left_out:
        plural = "" if result.left_out == 1 else "s"
        words += f"; {result.left_out:,} training sample{plural} left out"
    if result.trained_on:
        words += f"; {result.trained_on:,} of them also in the training data"
    return words


_WHOLE = 40  # classes; with more, only the weakest rows and the top confusions are printed
_PAIRS = 20  # confusions that are printed then


def _print_details(result: Evaluation) -> None:
    say("")
    rows = list(result.per_class.items())
    columns = list(dict.fromkeys(key for _, row in rows for key in row))
    if more := len(rows) > _WHOLE:
        say(f"the {_WHOLE} weakest of {len(rows):,} classes; --json has all")
        rows = sorted(rows, key=lambda row: (row[1].get("support") == 0, row[1].get("f1", 0)))
    print_table(
        ["class" if "support" in columns else "target", *columns],
        [[name, *(_cell(row.get(key)) for key in columns)] for name, row in rows[:_WHOLE]],
    )
    if result.confusion is None:
        return
    numbers = [str(i) for i in range(len(rows))]
    columns = ["", *numbers, "class"]
    matrix = [
        [number, *map(str, counts), name]
        for number, counts, name in zip(numbers, result.confusion, result.per_class, strict=True)
    ]
    if more or not fits(columns, matrix):
        say("\nmost frequent confusions")
        pairs = result.confusions()[:_PAIRS]
        print_table(["true class", "predicted", "samples"], [[t, p, str(n)] for t, p, n in pairs])
        return
    say("\nconfusion matrix (rows: true class, columns: predicted class)")
    print_table(columns, matrix)


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.4f}"
