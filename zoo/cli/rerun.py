"""``zoo rerun``: repeat a run and compare."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.options import data_option, network_option, output_option, run_argument
from zoo.cli.output import emit_json, json_option, note, say
from zoo.cli.tables import print_table


@click.command(
    epilog="""\b
Examples:
  zoo rerun runs/resnet18-1
  zoo rerun runs/resnet18-1 --data /mnt/photos --output again/
  zoo rerun runs/lstm-1 --json
"""
)
@run_argument
@data_option("Where the data is now, if it has moved.")
@output_option("DIR", "The new run folder.")
@click.option(
    "--surgery", metavar="MODULE:FUNCTION", help="Surgery function of the run, if it had one."
)
@network_option
@json_option()
@click.pass_context
def command(
    ctx: click.Context,
    run: Path,
    data: str | None,
    output: Path | None,
    surgery: str | None,
    network: str | None,
    as_json: bool,
) -> None:
    """Repeat a run and compare the weights.

    Trains again from what the run's run.json records. Exit status 1 if the weights are not
    identical, byte for byte.
    """
    import zoo
    from zoo.engine.progress import Console
    from zoo.engine.surgery import find_surgery
    from zoo.tasks.metrics import number, title_of

    operation = find_surgery(surgery) if surgery else None
    repeat = zoo.rerun(
        run,
        data=data,
        output=output,
        surgery=operation,
        network=network,
        reporter=Console(),
    )
    first, second = repeat.first.metrics, repeat.second.metrics
    if as_json:
        emit_json(
            {
                "first": str(repeat.first.folder),
                "second": str(repeat.second.folder),
                "identical": repeat.identical,
                "metrics": {"first": first, "second": second},
                "differences": list(repeat.differences),
            }
        )
    else:
        chosen = repeat.first.task.selection
        rows = [[title_of(k, chosen), number(first[k], 6), number(second[k], 6)] for k in first]
        print_table(["", str(repeat.first.folder), str(repeat.second.folder)], rows)
        say(
            "the weights are identical, byte for byte" if repeat.identical else "the weights differ"
        )
        for difference in repeat.differences:
            note(difference)
    if not repeat.identical:
        ctx.exit(1)
