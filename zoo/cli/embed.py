"""``zoo embed``: write the features of a dataset to a file."""

from __future__ import annotations

from typing import Any

import click

from zoo.cli import completion
from zoo.cli.hyperparameters import shared
from zoo.cli.options import labelled_data, network_option, output_option
from zoo.cli.output import clean, emit_json, json_option, say


@click.command(
    epilog="""\b
Examples:
  zoo embed resnet18 photos/ --output features.parquet
  zoo embed runs/resnet18-1 photos/ --split test --output features.npy
  zoo embed minilm reviews.csv --output features.safetensors --json
"""
)
@click.argument("backbone", metavar="BACKBONE|RUN", shell_complete=completion.names)
@click.argument("data", shell_complete=completion.paths)
@output_option(
    "FILE.parquet|.npy|.safetensors", "Output file: .parquet, .npy or .safetensors.", required=True
)
@click.option("--split", metavar="train|val|test", help="Embed one split only (default: all).")
@shared(
    weights="Weights of a BACKBONE.",
    image_size="Image size of a BACKBONE, in pixels.",
    channels="Channels of a BACKBONE's images (default: 3, or those of DATA).",
    resize="How a BACKBONE's images are made square.",
    value_range="Black and white level of images deeper than 8 bits, for a BACKBONE (default: from DATA).",
    input="Input of a BACKBONE of a plugin's kind of data, such as seconds=5.",
    max_length=None,
)
@labelled_data
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16", "fp16", "auto"]),
    default="fp32",
    help="Numerical precision (default: fp32); auto: bf16 or fp16 where fast.",
)
@network_option
@shared(device=None, workers=None)
@json_option()
def command(backbone: str, data: str, network: str | None, as_json: bool, **options: Any) -> None:
    """Write the features of a dataset to a file.

    BACKBONE is a name from 'zoo list'. For a RUN, its fine-tuned backbone and its preprocessing
    are used. DATA is as for 'zoo finetune', with or without labels, or a folder of loose images.
    Rows are in the order of the data. Parquet files also contain the name and label of each
    input; for .npy and .safetensors these are written to a .jsonl file, one line per row.
    """
    import zoo
    from zoo.engine.progress import Console

    model = zoo.open_run(backbone, network=network) if network else backbone
    embedded = zoo.embed(model, data, reporter=Console(), **options)
    if as_json:
        emit_json(embedded.to_json())
        return
    counts = ", ".join(f"{name} {count:,}" for name, count in embedded.splits.items())
    say(
        f"{embedded.samples:,} samples ({counts}), {embedded.feature_dim} features each, computed in {embedded.precision}"
    )
    if count := len(embedded.skipped):
        say(f"{count:,} unreadable input{'s' if count > 1 else ''} skipped")
    say(clean(f"features: {embedded.output}"))
    if embedded.rows != embedded.output:
        say(clean(f"rows: {embedded.rows}"))
