"""``zoo download``: download weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zoo.cli import completion
from zoo.cli.output import emit_json, json_option, note
from zoo.cli.tables import print_table
from zoo.errors import ZooError
from zoo.system.byte_sizes import in_bytes

if TYPE_CHECKING:
    from zoo.registry.registry import Registry


@click.command(
    epilog="""\b
Examples:
  zoo download resnet18 minilm
  zoo download timm/resnet18.a1_in1k
  zoo download vgg16 --json
"""
)
@click.argument(
    "names", nargs=-1, required=True, metavar="NAME...", shell_complete=completion.names
)
@json_option("Print a JSON list.")
@click.pass_context
def command(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """Download weights, for example to work offline later.

    Weights go to the usual caches of torch.hub and the Hugging Face Hub, where 'zoo finetune' finds
    them. NAME may include a tag, as in 'zoo show'. Exit status 1 if a download fails; the others
    are still downloaded.
    """
    from zoo.registry.registry import Registry

    registry, rows, failed = Registry.discover(), [], False
    for name in names:
        try:
            rows.append(_downloaded(name, registry))
        except ZooError as error:
            failed = True
            note(f"Error: {name}: {error.message}\n       {error.hint}")
    if as_json:
        emit_json(rows)
    elif rows:
        columns = ("name", "weights", "size", "path")
        print_table(
            columns, [(r["name"], r["weights"], in_bytes(r["bytes"]), r["path"]) for r in rows]
        )
    if failed:
        ctx.exit(1)


def _downloaded(name: str, registry: Registry) -> dict[str, Any]:
    from zoo.weights.find import choose, fetch

    resolved = registry.resolve(name)
    weights = choose(resolved.spec, resolved.weights)
    if weights is None:
        return {"name": resolved.spec.name, "weights": "none", "bytes": 0, "path": ""}
    path = fetch(weights)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    return {
        "name": resolved.spec.name,
        "weights": weights.tag,
        "bytes": size,
        "path": str(path),
    }
