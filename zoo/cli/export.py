"""``zoo export``: export a run for use without zoo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo.cli import completion
from zoo.cli.limit_options import limit_options, threshold_of
from zoo.cli.options import network_option, output_option, run_argument
from zoo.cli.output import clean, emit_json, json_option, say
from zoo.system.byte_sizes import in_bytes

if TYPE_CHECKING:
    from zoo.export import Exported


@click.command(
    epilog="""\b
Examples:
  zoo export runs/resnet18-1 --format onnx
  zoo export runs/bert-base-uncased-1 --format native --output bert/
  zoo export runs/lstm-1 --format torch-export --json
  zoo export runs/resnet18-1 --format onnx --coverage 0.9 --reject 0.05
"""
)
@run_argument
@click.option(
    "--format",
    "chosen",
    required=True,
    metavar="NAME",
    shell_complete=completion.formats,
    help="native (the library's own weights, with code to load them), onnx, torch-export (.pt2), "
    "peft (the adapter alone), or a plugin's.",
)
@output_option("DIR", "New folder (default: exports/<run>-<format>).")
@limit_options
@network_option
@json_option()
def command(
    run: Path,
    chosen: str,
    output: Path | None,
    thresholds: tuple[str, ...],
    coverage: float | None,
    reject: float | None,
    network: str | None,
    as_json: bool,
) -> None:
    """Export a run to a format that does not need zoo.

    Batches may have any size and texts any length; images keep the size used in training. A file
    next to the model describes the preprocessing. '--threshold', '--coverage' and '--reject' add
    outputs to an onnx or torch-export network: sets, intervals, refusal. The export is loaded again and its outputs are
    compared with the run's; if they differ by more than 1e-4, nothing is kept.
    """
    import zoo

    opened = zoo.open_run(run, network=network)
    exported = zoo.export_run(
        opened,
        format=chosen,
        output=output,
        threshold=threshold_of(thresholds, opened.classes),
        coverage=coverage,
        reject=reject,
    )
    if as_json:
        emit_json(exported.to_json())
    else:
        _print_exported(exported)


def _print_exported(exported: Exported) -> None:
    for name in exported.files:
        size = (exported.folder / name).stat().st_size
        say(clean(f"{exported.folder / name}  {in_bytes(size)}"))
    for name, shape in exported.inputs.items():
        say(f"input {name}: ({', '.join(map(str, shape))})")
    if exported.difference is None:
        say(clean(f"not compared with the run's outputs: {exported.not_compared}"))
        return
    batches = ", ".join("x".join(map(str, shape)) for shape in exported.checked)
    say(
        f"largest difference from the run's outputs: {exported.difference:.1e} (batches: {batches})"
    )
