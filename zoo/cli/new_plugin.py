"""``zoo new-plugin``: a plugin to begin with."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.output import emit_json, say
from zoo.contract.spec import INPUTS, ImageInput


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
    type=click.Choice(list(INPUTS)),
    default=ImageInput.modality,
    show_default=True,
    help="Type of input of its first backbone.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Parent folder (default: the working directory).",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
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
