"""``zoo sync``: a catalogue made anew."""

from __future__ import annotations

import click

from zoo.cli import completion
from zoo.cli.output import emit_json, say


@click.command(
    epilog="""\b
Examples:
  zoo sync timm
  zoo sync timm --json
"""
)
@click.argument("plugin", shell_complete=completion.plugins)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(plugin: str, as_json: bool) -> None:
    """Make the catalogue of PLUGIN anew from the library that is installed.

    Useful after an upgrade of the library. It builds every architecture without memory for its
    parameters, which may take minutes, and is kept until the plugin itself changes.
    """
    from zoo.registry.registry import Registry

    count = Registry.discover().sync(plugin)
    if as_json:
        emit_json({"plugin": plugin, "backbones": count})
    else:
        say(f"{plugin}: {count:,} backbones")
