"""``zoo sync``: rebuild the catalogue of a plugin."""

from __future__ import annotations

import click

from zoo.cli import completion
from zoo.cli.output import emit_json, json_option, say


@click.command(
    epilog="""\b
Examples:
  zoo sync timm
  zoo sync timm --undo
  zoo sync timm --json
"""
)
@click.argument("plugin", shell_complete=completion.plugins)
@click.option("--undo", is_flag=True, help="Return to the catalogue that the plugin ships.")
@json_option("Print a JSON object.")
def command(plugin: str, undo: bool, as_json: bool) -> None:
    """Rebuild a plugin's catalogue from its installed library.

    Useful after upgrading the library; 'zoo plugins' says when. Builds every architecture without
    memory for its parameters, which may take minutes. The result is kept until the next sync; if the
    plugin changes meanwhile, 'zoo plugins' says that it may be out of date.
    """
    from zoo.registry.registry import Registry

    registry = Registry.discover()
    count = registry.undo_sync(plugin) if undo else registry.sync(plugin)
    if as_json:
        emit_json({"plugin": plugin, "backbones": count})
    else:
        say(f"{plugin}: {count:,} backbones")
