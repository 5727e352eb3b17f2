"""``zoo distill``: train a small network on the outputs of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zoo.cli import completion
from zoo.cli.finetune import print_result
from zoo.cli.hyperparameters import hyperparameters
from zoo.cli.options import output_option
from zoo.cli.output import json_option, say
from zoo.cli.sections import SectionedCommand


@click.command(
    cls=SectionedCommand,
    epilog="""\b
Examples:
  zoo distill --teacher runs/resnet18-1 --student cnn --data unlabelled/
  zoo distill --teacher runs/ensemble-1 --student resnet18 --data photos/
  zoo distill --teacher runs/minilm-1 --student lstm --data texts.csv
""",
)
@click.option(
    "--teacher",
    required=True,
    type=click.Path(path_type=Path),
    metavar="RUN",
    shell_complete=completion.runs,
    help="The run to learn from: also an ensemble or a soup.",
)
@click.option("--student", required=True, metavar="MODEL", help="The backbone to train.")
@click.option(
    "--temperature",
    type=float,
    default=None,
    metavar="T",
    help="Divides the logits of both in the loss (default: 2; 1 for regression).",
)
@hyperparameters
@output_option("DIR", "The new run folder (default: runs/<name>-<number>).")
@click.option("--report/--no-report", default=True, help="Write report.html (default: on).")
@json_option()
def command(
    teacher: Path,
    student: str,
    temperature: float | None,
    output: Path | None,
    report: bool,
    as_json: bool,
    data: str | None,
    **options: Any,
) -> None:
    """Train a student on the outputs of a teacher.

    No labels are needed: DATA is a folder of files or a table. The teacher's outputs are computed once and cached. Without
    labels, validation measures agreement with the teacher on held-out inputs; if the data has labels
    that the teacher knows, it measures the student against them.
    """
    import zoo
    from zoo.engine.progress import Console

    run = zoo.distill(
        teacher,
        student,
        data,
        temperature=temperature,
        output=output,
        report=report,
        reporter=Console(),
        **options,
    )
    print_result(run, as_json)
    agreement = run.record["results"]["agreement"]
    if agreement is not None and not as_json:
        say(f"agreement with the teacher on held-out inputs: {agreement:.4f}")
