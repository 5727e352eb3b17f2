"""``zoo ensemble``: the mean of the probabilities of several runs."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.options import networks_option, output_option, runs_argument
from zoo.cli.output import emit_json, json_option, say
from zoo.cli.tables import print_table


@click.command(
    epilog="""\b
Examples:
  zoo ensemble runs/resnet18-1 runs/vit-1
  zoo ensemble runs/resnet18-* --output runs/all
  zoo ensemble runs/resnet18-1 runs/vit-1 --json
"""
)
@runs_argument
@output_option("DIR", "The new run folder (default: runs/ensemble-NUMBER).")
@networks_option
@json_option()
def command(
    runs: tuple[Path, ...], output: Path | None, networks: tuple[str, ...], as_json: bool
) -> None:
    """Combine runs into one that averages their probabilities.

    The runs may differ in backbone and input. They must have the same task, classes and validation
    samples. They are copied into the new run folder; prediction takes as long as all of them.
    """
    import zoo
    from zoo.system.byte_sizes import in_bytes

    made = zoo.make_ensemble(zoo.open_runs(runs, networks=networks), output)
    members = made.record["ensemble"]["members"]
    size = sum(file.stat().st_size for file in made.folder.rglob("*") if file.is_file())
    if as_json:
        metrics = made.record["results"]["metrics"]
        emit_json({"run": str(made.folder), "members": members, "metrics": metrics, "bytes": size})
        return
    from zoo.tasks.metrics import formatted

    chosen = made.task.selection
    print_table(
        ["run", "backbone", chosen.title],
        [
            [each["run"], each["backbone"], _number(each["metrics"].get(made.task.metric))]
            for each in members
        ],
    )
    say(f"val: {formatted(made.metrics, chosen)}")
    say(f"run: {made.folder} ({in_bytes(size)}, with copies of the {len(members)} runs)")


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
