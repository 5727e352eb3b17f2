"""``zoo push``: upload a run to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo.cli.options import network_option, run_argument
from zoo.cli.output import clean, emit_json, json_option, say
from zoo.cli.tables import print_table
from zoo.system.byte_sizes import in_bytes

if TYPE_CHECKING:
    from zoo.export.push import Pushed


@click.command(
    epilog="""\b
Examples:
  zoo push runs/resnet18-1 hf:acme/my-plants --dry-run
  zoo push runs/resnet18-1 hf:acme/my-plants --private
  zoo push runs/bert-base-uncased-1 hf:acme/reviews --json
"""
)
@run_argument
@click.argument("repo", metavar="hf:ORG/NAME")
@click.option("--private", is_flag=True, help="Create a private repository.")
@click.option("--dry-run", is_flag=True, help="Show what would be uploaded, and stop.")
@network_option
@json_option()
def command(
    run: Path, repo: str, private: bool, dry_run: bool, network: str | None, as_json: bool
) -> None:
    """Upload a run to the Hugging Face Hub, with a model card.

    Uploads the weights, the files that open them with and without zoo, and the metrics to the
    repository hf:ORG/NAME, which is created if necessary. Not uploaded: validation inputs,
    predictions, and paths of this machine. Log in first with 'hf auth login'.
    """
    import zoo

    pushed = zoo.push_run(
        zoo.open_run(run, network=network), repo, private=private, dry_run=dry_run
    )
    if as_json:
        emit_json(pushed.to_json())
    else:
        _print_pushed(pushed)


def _print_pushed(pushed: Pushed) -> None:
    print_table(("file", "size"), [(path, in_bytes(size)) for path, size in pushed.files.items()])
    if pushed.commit is None:
        say(f"\n{pushed.card}")
        kind = "private" if pushed.private else "public"
        say(f"dry run: nothing was uploaded; without --dry-run: {pushed.url} ({kind})")
    else:
        say(clean(f"{pushed.url} (commit {pushed.commit[:12]})"))
