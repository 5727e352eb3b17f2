"""``zoo clean``: find labels that are probably wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zoo.cli import completion
from zoo.cli.hyperparameters import shared
from zoo.cli.options import labelled_data, output_option
from zoo.cli.output import clean as cleaned_text
from zoo.cli.output import emit_json, json_option, say
from zoo.cli.tables import print_table

if TYPE_CHECKING:
    from zoo.cleaning.results import Cleaned

_SHOWN = 5


@click.command(
    epilog="""\b
Examples:
  zoo clean photos/
  zoo clean photos/ --backbone resnet50 --top 500 --output photos-labels/
  zoo clean reviews.csv --backbone minilm --group-column author
  zoo clean houses.csv --task regression --label-column price --json
"""
)
@click.argument("data", shell_complete=completion.paths)
@click.option(
    "--backbone",
    metavar="NAME",
    shell_complete=completion.names,
    help="Backbone of the features (default: one with weights on this machine).",
)
@output_option("DIR", "New folder for the results (default: NAME-clean, after DATA).")
@click.option(
    "--top",
    default=200,
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of samples on the page (default: 200).",
)
@shared(
    weights="Weights of the backbone.",
    image_size=None,
    max_length=None,
    input=None,
)
@labelled_data
@shared(group_column=None, group_pattern=None, group_table=None)
@click.option("--seed", default=0, metavar="N", help="Random seed (default: 0).")
@shared(device=None, workers=None)
@json_option()
def command(data: str, as_json: bool, **options: Any) -> None:
    """Find labels that are probably wrong.

    Each label is judged by linear models on features of a frozen backbone, trained on other
    samples of DATA. Writes a table of all labels, labels.csv, and a page, labels.html, to look
    through the most doubtful ones and to keep, relabel or drop them. The page exports the
    decisions as corrections.csv, for 'zoo finetune --corrections'. DATA is not changed.
    """
    import zoo
    from zoo.engine.progress import Console

    found = zoo.clean(data, reporter=Console(), **options)
    if as_json:
        emit_json(found.to_json())
    else:
        _print(found, data)


def _print(found: Cleaned, data: str) -> None:
    from zoo.cleaning.results import cell

    columns = (found.column, "split", "label", "suggested", "quality", "reason")
    first = [
        (
            *(each.key, each.split, cell(each.label), cell(each.suggested)),
            *(f"{each.quality:.4f}", ", ".join(each.reasons)),
        )
        for each in found.judged[:_SHOWN]
    ]
    print_table(columns, first, less=("quality", "split"))
    counts = ", ".join(f"{reason} {count:,}" for reason, count in found.counts.items())
    say("")
    say(cleaned_text(f"{len(found.judged):,} labels judged with {found.backbone}: {counts}"))
    if count := len(found.skipped):
        say(f"{count:,} unreadable input{'s' if count > 1 else ''} skipped")
    say(cleaned_text(f"labels: {found.labels}"))
    say(cleaned_text(f"page: {found.page}"))
    say(
        cleaned_text(
            f"next: export corrections.csv from the page, then zoo finetune MODEL --data {data} --corrections corrections.csv"
        )
    )
