"""``zoo cache``: cached features, decoded images and compiled networks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from zoo.cli.counts import byte_count
from zoo.cli.output import emit_json, json_option, say
from zoo.cli.tables import print_table
from zoo.errors import UsageError
from zoo.system.byte_sizes import in_bytes
from zoo.system.plurals import counted

if TYPE_CHECKING:
    from zoo.engine.feature_files import FeatureFile

_COLUMNS = ("backbone", "precision", "data", "split", "samples", "features", "size", "last used")
_LESS = ("precision", "features", "split")
_FACTS = _COLUMNS[:6]


@click.command(
    epilog="""\b
Examples:
  zoo cache
  zoo cache --prune
  zoo cache --prune --older-than 30
  zoo cache --prune --keep 2GB
"""
)
@click.option("--prune", is_flag=True, help="Remove entries: all, or those selected below.")
@click.option(
    "--older-than", type=float, metavar="DAYS", help="Select entries not used for this many days."
)
@click.option(
    "--keep",
    metavar="SIZE",
    callback=byte_count,
    help="Select least recently used entries until the rest fits, e.g. 2GB.",
)
@json_option("Print a JSON list.")
def command(prune: bool, older_than: float | None, keep: int | None, as_json: bool) -> None:
    """List or prune cached features and decoded images.

    The cache contains features of frozen backbones, decoded images, compiled networks and the
    results of checking datasets, so that they are not computed twice for the same data. Removed
    entries are computed again when needed.
    """
    from zoo.data.examined_cache import cache_file
    from zoo.engine.feature_files import (
        compiled_code,
        examined_files,
        feature_files,
        remove,
        remove_left,
    )
    from zoo.system.paths import COMPILED, cache_folder

    if not prune and (older_than is not None or keep is not None):
        raise UsageError(
            "--older-than and --keep need --prune",
            hint="Add --prune, or leave them out.",
        )
    folder = cache_folder() / "features"
    compiled = compiled_code(cache_folder() / COMPILED)
    examined = examined_files(cache_file())
    files = sorted((*feature_files(folder), *compiled, *examined), key=lambda file: -file.used)
    if prune:
        files = _chosen(files, older_than, keep)
        remove(files)
        remove_left(folder)
    if as_json:
        emit_json([_record(file) for file in files])
        return
    if not prune:
        print_table(_COLUMNS, [_cells(file) for file in files], less=_LESS, whole=0)
    size = in_bytes(sum(file.size for file in files))
    say(f"{counted(len(files), 'file')}, {size}{' removed' if prune else ''}: {cache_folder()}")


def _chosen(
    files: Sequence[FeatureFile], older_than: float | None, keep: int | None
) -> list[FeatureFile]:
    """Files to remove; ``files`` are sorted by last use, the latest first."""
    chosen, kept = [], 0
    for file in files:
        old = older_than is not None and time.time() - file.used > older_than * 86_400
        over = keep is not None and kept + file.size > keep
        if old or over or (older_than is None and keep is None):
            chosen.append(file)
        else:
            kept += file.size
    return chosen


def _record(file: FeatureFile) -> dict[str, object]:
    return {**file.facts, "path": str(file.path), "bytes": file.size, "used": round(file.used, 3)}


def _cells(file: FeatureFile) -> tuple[object, ...]:
    days = (time.time() - file.used) / 86_400
    used = "today" if days < 1 else f"{counted(round(days), 'day')} ago"
    missing = "" if file.facts else "?"
    return (*(file.facts.get(name, missing) for name in _FACTS), in_bytes(file.size), used)
