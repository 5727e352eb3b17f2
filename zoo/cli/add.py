"""``zoo add``: register a run under a name, as a backbone for other runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo.cli import completion
from zoo.cli.output import clean, emit_json, json_option, say

if TYPE_CHECKING:
    from zoo.registry.publishing import Published
    from zoo.registry.registry import Registry


@click.command(
    epilog="""\b
Examples:
  zoo add runs/resnet18-1 --name my-animals
  zoo add runs/resnet18-2 --name my-animals --replace
  zoo add --remove my-animals
"""
)
@click.argument(
    "run", type=click.Path(path_type=Path), required=False, shell_complete=completion.runs
)
@click.option("--name", metavar="NAME", help="Name to register.")
@click.option("--replace", is_flag=True, help="Replace the run that has this name.")
@click.option("--remove", metavar="NAME", help="Remove this name; the run folder is kept.")
@json_option()
def command(
    run: Path | None, name: str | None, replace: bool, remove: str | None, as_json: bool
) -> None:
    """Register a run under a name, as a backbone for other runs.

    The name is written to your own registry.toml and works wherever a backbone's name does:
    'zoo finetune NAME', 'zoo show NAME', zoo.load(NAME). The run folder is not copied and must
    stay where it is.
    """
    from zoo.registry.registry import Registry

    if remove is not None:
        if run is not None or name is not None or replace:
            raise click.UsageError("--remove NAME takes no RUN and no other option.")
        _remove(remove, Registry.discover(), as_json=as_json)
        return
    if run is None:
        raise click.UsageError("Missing argument 'RUN', a run folder.")
    if name is None:
        raise click.UsageError("Missing option '--name', such as --name my-animals.")
    from zoo.registry.publishing import publish

    added = publish(name, run, registry=Registry.discover(), replace=replace)
    if as_json:
        emit_json(_document(added))
    else:
        _print_added(added)


def _remove(name: str, registry: Registry, *, as_json: bool) -> None:
    from zoo.registry.publishing import unpublish

    folder, file = unpublish(name, registry=registry)
    if as_json:
        emit_json({"name": name, "run": None, "before": str(folder), "file": str(file)})
    else:
        kept = "the run folder is kept" if folder.exists() else "the run folder does not exist"
        say(f"{name} removed from {file}; {kept}: {folder}")


def _document(added: Published) -> dict[str, object]:
    run = added.run
    return {
        "name": run.name,
        "run": str(run.folder),
        "before": str(added.before) if added.before else None,
        "file": str(added.file),
        "backbone": run.spec.name,
        "classes": list(run.classes),
        "data": run.data,
        "metrics": dict(run.record["results"]["metrics"]),
        "sha256": run.weights.sha256,
    }


def _print_added(added: Published) -> None:
    run = added.run
    names = ", ".join(run.classes[:8]) + (", …" if len(run.classes) > 8 else "")
    say(clean(f"{run.name}: {run.spec.name}, trained on {run.data} ({names})"))
    if added.before not in (None, run.folder):
        say(f"replaces {added.before}")
    say(f"written to {added.file}")
    say(f"next: zoo finetune {run.name} --data PATH")
