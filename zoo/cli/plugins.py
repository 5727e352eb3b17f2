"""``zoo plugins``: installed plugins and their status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click

from zoo.cli.output import emit_json, json_option, note
from zoo.cli.tables import print_table

if TYPE_CHECKING:
    from zoo.registry.plugins import PluginStatus
    from zoo.registry.registry import Registry


@click.command(
    epilog="""\b
Examples:
  zoo plugins
  zoo plugins --json
  ZOO_PLUGINS=torchvision,timm zoo plugins
"""
)
@json_option("Print a JSON list.")
def command(as_json: bool) -> None:
    """List installed plugins and their status.

    Status: ok; broken (failed, see the reason); incompatible (needs another version of zoo);
    conflict (two distributions publish one name); disabled (by registry.toml or ZOO_PLUGINS).

    For an outdated catalogue, made from another version of the library than the installed one,
    the reason says so.
    """
    from zoo.cli import COMMANDS
    from zoo.cli.plugin_commands import PluginCommands
    from zoo.registry.registry import Registry

    registry = Registry.discover()
    refused = PluginCommands.of(registry, COMMANDS).refused
    statuses = [_with_remarks(status, registry, refused) for status in registry.plugins()]
    if as_json:
        emit_json([asdict(status) for status in statuses])
        return
    print_table(
        ("name", "distribution", "version", "status", "backbones", "reason"),
        [(s.name, s.distribution, s.version, s.status, s.backbones, s.reason) for s in statuses],
        less=("distribution", "version"),
        wrapped=True,
    )
    if not statuses:
        note("No plugins found. zoo comes with some: pip install --force-reinstall zoo-finetune")


def _with_remarks(
    status: PluginStatus, registry: Registry, refused: Mapping[str, Sequence[str]]
) -> PluginStatus:
    """``status`` with what is to be said of a plugin that works."""
    if status.status != "ok":
        return status
    remarks = [status.reason, *refused.get(status.name, ()), registry.outdated(status.name)]
    return replace(status, reason="; ".join(dict.fromkeys(filter(None, remarks))))
