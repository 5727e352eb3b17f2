"""``zoo plugins``: what is installed, and how it fares."""

from __future__ import annotations

from dataclasses import asdict

import click

from zoo.cli.output import emit_json, note, print_table


@click.command(
    epilog="""\b
Examples:
  zoo plugins
  zoo plugins --json
  ZOO_PLUGINS=torchvision,timm zoo plugins
"""
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def command(as_json: bool) -> None:
    """List installed plugins and their status.

    Status: ok; broken (failed, see the reason); incompatible (needs another version of zoo);
    conflict (two distributions publish one name); disabled (by registry.toml or ZOO_PLUGINS).
    """
    from zoo.registry.registry import Registry

    statuses = Registry.discover().plugins()
    if as_json:
        emit_json([asdict(status) for status in statuses])
        return
    print_table(
        ("name", "distribution", "version", "status", "backbones", "reason"),
        [(s.name, s.distribution, s.version, s.status, s.backbones, s.reason) for s in statuses],
    )
    if not statuses:
        note(
            "No plugin is installed; zoo's own come with it: pip install --force-reinstall zoo-finetune"
        )
