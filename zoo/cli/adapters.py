"""``zoo adapters``: the adapter runs on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli import completion
from zoo.cli.output import clean, emit_json, json_option, note
from zoo.cli.tables import print_table

if TYPE_CHECKING:
    from zoo.registry.adapters_here import FoundAdapter


@click.command(
    epilog="""\b
Examples:
  zoo adapters
  zoo adapters resnet18
  zoo adapters --json
"""
)
@click.argument("backbone", default="*", shell_complete=completion.names)
@json_option()
def command(backbone: str, as_json: bool) -> None:
    """List the adapter runs on this machine, by backbone.

    Lists the runs in the folder 'runs' and those registered with 'zoo add'. BACKBONE is a name
    or a pattern.
    """
    from zoo.errors import RunError
    from zoo.registry.adapters_here import adapters_here
    from zoo.registry.registry import Registry

    found = []
    for each in adapters_here(Registry.discover(), backbone):
        if isinstance(each, RunError):
            note(f"omitted: {each.message}")
        else:
            found.append(each)
    if as_json:
        emit_json([_document(each) for each in found])
    elif found:
        columns = ["backbone", "weights", "adapter", "run", "size", "metric", "data"]
        print_table(columns, [_row(each) for each in found], less=("weights", "data", "size"))
    else:
        fitting = "" if backbone == "*" else f" of {clean(backbone)}"
        note(f"no adapter runs{fitting} here; 'zoo finetune NAME --strategy lora' makes one")


def _document(each: FoundAdapter) -> dict[str, Any]:
    run, base = each.run, each.adapter.base
    return {
        "name": run.name or None,
        "run": str(run.folder),
        "backbone": base.backbone,
        "weights": base.weights,
        "base_sha256": base.sha256,
        "base_file": base.file or None,
        "kind": each.adapter.kind,
        "bytes": each.bytes,
        "classes": list(run.classes),
        "data": run.data,
        "metrics": dict(run.record["results"]["metrics"]),
        "sha256": run.weights.sha256,
    }


def _row(each: FoundAdapter) -> list[str]:
    from zoo.system.byte_sizes import in_bytes

    run, base = each.run, each.adapter.base
    name, value = next(iter(run.weights.metrics.items()), ("", 0.0))
    metric = f"{name.rpartition('/')[2]} {value:g}" if name else ""
    here = Path.cwd()
    inside = run.folder.is_relative_to(here)
    where = run.name or str(run.folder.relative_to(here) if inside else run.folder)
    return [
        base.backbone,
        base.weights,
        each.adapter.kind,
        where,
        in_bytes(each.bytes),
        metric,
        run.data,
    ]
