"""``zoo sync``: rebuild the catalogue of a plugin."""

from __future__ import annotations

import click

from zoo.cli import completion
from zoo.cli.output import emit_json, json_option, say


@click.command(
    epilog="""\b
Examples:
  zoo sync timm
  zoo sync timm --json
"""
)
@click.argument("plugin", shell_complete=completion.plugins)
@json_option("Print a JSON object.")
def command(plugin: str, as_json: bool) -> None:
    """Rebuild a plugin's catalogue from its installed library.

    Useful after upgrading the library. Builds every architecture without memory for its
    parameters, which may take minutes; the result is kept until the plugin changes.
    """
    from zoo.registry.registry import Registry

    count = Registry.discover().sync(plugin)
    if as_json:
        emit_json({"plugin": plugin, "backbones": count})
    else:
        say(f"{plugin}: {count:,} backbones")
