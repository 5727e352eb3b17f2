"""``zoo new-plugin``: create a plugin project."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.output import emit_json, json_option, say
from zoo.contract.modalities import BUILT_IN

MODALITIES = [each.name for each in BUILT_IN]
"""Modalities for which there are templates."""


@click.command(
    epilog="""\b
Examples:
  zoo new-plugin acme
  zoo new-plugin acme --modality text
"""
)
@click.argument("name")
@click.option(
    "--modality",
    type=click.Choice(MODALITIES),
    default=MODALITIES[0],
    show_default=True,
    help="Type of input of its first backbone.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Parent folder (default: the working directory).",
)
@json_option("Print a JSON object.")
def command(name: str, modality: str, output: Path, as_json: bool) -> None:
    """Create a plugin project, ready to install and edit.

    Writes the folder zoo-NAME/ with a tiny backbone and its tests."""
    from zoo.testing.new_plugin import write_plugin

    folder = write_plugin(name, modality, output)
    files = [str(path) for path in sorted(folder.rglob("*")) if path.is_file()]
    if as_json:
        emit_json({"folder": str(folder), "files": files})
        return
    for file in files:
        say(file)
    say(f"next: cd {folder} && pip install -e . && zoo check {name}")
