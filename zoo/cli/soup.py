"""``zoo soup``: the mean of the weights of several runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zoo.cli.hyperparameters import shared
from zoo.cli.options import data_option, networks_option, output_option, runs_argument
from zoo.cli.output import emit_json, json_option, say
from zoo.cli.tables import print_table


@click.command(
    epilog="""\b
Examples:
  zoo soup runs/resnet18-1 runs/resnet18-2 runs/resnet18-3
  zoo soup runs/resnet18-* --output runs/soup
  zoo soup runs/resnet18-* --data /mnt/photos --json
"""
)
@runs_argument
@output_option("DIR", "The new run folder (default: runs/soup-NUMBER).")
@data_option("Where the training data is now, if it has moved.")
@shared(device=None, workers=None)
@networks_option
@json_option()
def command(
    runs: tuple[Path, ...],
    output: Path | None,
    data: str | None,
    device: str,
    workers: int | None,
    networks: tuple[str, ...],
    as_json: bool,
) -> None:
    """Average the weights of runs into one run.

    A greedy soup: the runs, best first, are added to the mean one by one, and each is kept if the
    validation metric does not fall. They must have the same backbone, input, head, classes and
    validation samples. Prediction takes no longer than with one run.
    """
    import zoo
    from zoo.engine.progress import Console

    made = zoo.make_soup(
        zoo.open_runs(runs, networks=networks),
        output,
        data=data,
        device=device,
        workers=workers,
        reporter=Console(),
    )
    record = made.record["soup"]
    if as_json:
        emit_json({"run": str(made.folder), **record, "metrics": made.record["results"]["metrics"]})
        return
    from zoo.tasks.metrics import formatted

    name = made.task.metric
    print_table(
        ["run", made.task.selection.title, "with it", "kept"],
        [
            [
                each["run"],
                _number(each["metrics"][name]),
                "" if each["tried"] is None else _number(each["tried"][name]),
                "yes" if each["kept"] else "no",
            ]
            for each in record["ingredients"]
        ],
    )
    chosen = made.task.selection
    say(f"val: {formatted(made.metrics, chosen)} (chose the runs: optimistic)")
    if record["test"]:
        say(f"test: {formatted(record['test'], chosen)}")
    say(f"run: {made.folder}")


def _number(value: Any) -> str:
    return "undefined" if value is None else f"{value:.4f}"
