"""``zoo report``: write the HTML report of a run."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.hyperparameters import shared
from zoo.cli.options import evaluated_on, network_option, output_option, run_argument
from zoo.cli.output import emit_json, json_option, note, say


@click.command(
    epilog="""\b
Examples:
  zoo report runs/resnet18-1
  zoo report runs/resnet18-1 --open
  zoo report runs/resnet18-1 --data new-photos/ --output new-photos.html
  zoo report runs/lstm-1 --data reviews/ --split val --json
"""
)
@run_argument
@evaluated_on("the run's validation samples")
@output_option("FILE", "Output file (default: report.html in the run folder).", dir_okay=False)
@click.option("--open", "show", is_flag=True, help="Open the report in the browser.")
@shared(device=None, workers=None)
@network_option
@json_option()
def command(
    run: Path,
    data: str | None,
    split: str | None,
    output: Path | None,
    show: bool,
    device: str,
    workers: int | None,
    network: str | None,
    as_json: bool,
) -> None:
    """Write the HTML report of a run.

    One self-contained file: run details, learning curves, per-class metrics, confusion matrix,
    calibration, the most confident mistakes with heat maps, time and memory. 'zoo finetune'
    writes it to every run folder as report.html.
    """
    import zoo
    from zoo.engine.progress import Console

    report = zoo.open_run(run, network=network).report(
        output, data=data, split=split, device=device, workers=workers, reporter=Console()
    )
    if report.no_attribution:
        note(f"no attribution: {report.no_attribution}")
    if as_json:
        emit_json(report.to_json())
    else:
        say(f"report: {report.path}")
    if show:
        import webbrowser

        if not webbrowser.open(report.path.resolve().as_uri()):
            note(f"no browser found; open it yourself: {report.path}")
