"""``zoo new-plugin``: a plugin to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo.cli.output import say

if TYPE_CHECKING:
    from zoo.spec import Modality


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
    type=click.Choice(["image", "text"]),
    default="image",
    show_default=True,
    help="What its first network takes.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="The folder that the new one goes into; the working directory by default.",
)
def command(name: str, modality: Modality, output: Path) -> None:
    """Write a distribution that publishes a backbone: zoo-NAME/, ready to install and to edit."""
    from zoo.new_plugin import write_plugin

    folder = write_plugin(name, modality, output)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        say(str(path))
    say(f"next: cd {folder} && pip install -e . && zoo check {name}")
