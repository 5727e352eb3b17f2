"""``zoo merge``: an adapter run as a whole network."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.options import output_option, run_argument
from zoo.cli.output import emit_json, json_option, say


@click.command(
    epilog="""\b
Examples:
  zoo merge runs/resnet18-1
  zoo merge runs/resnet18-1 --output whole/
  zoo merge runs/resnet18-1 --base /mnt/weights/resnet18.safetensors
"""
)
@run_argument
@output_option("DIR", "The new run folder (default: RUN-merged).")
@click.option(
    "--base",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The base of the adapter, if it has moved: a file, a folder or a run.",
)
@json_option()
def command(run: Path, output: Path | None, base: Path | None, as_json: bool) -> None:
    """Merge an adapter run and its base into a whole network.

    Writes a new run folder, which does not need the base. Its outputs equal those of the adapter
    run, up to rounding.
    """
    from zoo.runs.merging import merge_run
    from zoo.runs.run import Run

    merged = merge_run(Run(run, base=base), output)
    if as_json:
        emit_json({"run": str(merged.folder), "from": str(run), "sha256": merged.record["sha256"]})
    else:
        say(f"run: {merged.folder}")
