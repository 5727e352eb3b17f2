"""``zoo runs``: list, filter and delete run folders."""

from __future__ import annotations

import fnmatch
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from zoo.cli import completion
from zoo.cli.output import emit_json, json_option, note
from zoo.cli.tables import print_table
from zoo.errors import UsageError
from zoo.registry.run_list import STATES, ListedRun, removable, remove_run, runs_below
from zoo.system.byte_sizes import in_bytes
from zoo.system.plurals import counted
from zoo.tasks.metric_table import METRICS

_COLUMNS = (
    *("run", "state", "backbone", "metric", "score", "strategy", "epochs", "data", "when", "size"),
)
_LESS = ("epochs", "strategy", "size", "metric", "data", "when")
_ORDERS: dict[str, Callable[[ListedRun], Any]] = {
    "when": lambda run: -run.changed,
    "name": lambda run: str(run.folder),
    "score": lambda run: (run.score is None, run.metric, _worse(run)),
    "size": lambda run: -run.bytes,
    "backbone": lambda run: run.backbone,
    "data": lambda run: run.data,
    "state": lambda run: STATES.index(run.state),
}


@click.command(
    epilog="""\b
Examples:
  zoo runs
  zoo runs --backbone resnet --state finished --sort score
  zoo runs experiments/ --json
  zoo runs --delete runs/cnn-1 runs/cnn-2
  zoo runs --delete --state failed --yes
"""
)
@click.argument(
    "folders",
    metavar="[FOLDER]...",
    nargs=-1,
    type=click.Path(path_type=Path),
    shell_complete=completion.runs,
)
@click.option("--backbone", metavar="TEXT", help="Only runs whose backbone has this in its name.")
@click.option("--data", metavar="TEXT", help="Only runs whose data has this in its path.")
@click.option("--state", type=click.Choice(STATES), help="Only runs in this state.")
@click.option(
    "--sort",
    type=click.Choice(list(_ORDERS)),
    default="when",
    show_default=True,
    help="Sort order: when newest first, score best first within a metric, size largest first.",
)
@click.option("--delete", is_flag=True, help="Delete the runs that are listed, after asking.")
@click.option("--yes", is_flag=True, help="Delete without asking.")
@json_option("Print a JSON list.")
def command(
    folders: tuple[Path, ...],
    backbone: str | None,
    data: str | None,
    state: str | None,
    sort: str,
    delete: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """List or delete run folders.

    Lists the runs in each FOLDER and below, by default in 'runs'. A run is finished, training now,
    stopped (resume it with 'zoo finetune --resume'), failed before its first checkpoint, or damaged.
    --delete needs a FOLDER or a filter; runs that are training are never deleted.
    """
    if yes and not delete:
        raise UsageError("--yes needs --delete", hint="Add --delete, or leave --yes out.")
    if delete and not (folders or backbone or data or state):
        raise UsageError(
            "--delete needs runs or a filter",
            hint="Name the runs: zoo runs --delete runs/cnn-1, or filter: --state failed",
        )
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(
                f"{folder} is not a folder", hint="Name a run, or a folder with runs in it."
            )
    found = _found(folders, delete=delete)
    shown = [run for run in found if _passes(run, backbone, data, state)]
    shown.sort(key=_ORDERS[sort])
    if delete:
        _delete(shown, yes=yes)
    if as_json:
        emit_json([run.to_json() for run in shown])
    elif not delete or not shown:
        _print(shown, found, folders)


def _worse(run: ListedRun) -> float:
    """The score as a number that is lower for better runs."""
    known = METRICS.get(run.metric.partition(":")[0])
    score = run.score or 0.0
    return score if known and not known.higher else -score


def _found(folders: Sequence[Path], *, delete: bool) -> list[ListedRun]:
    """The runs below the folders; to delete, the folders must be runs if any is given."""
    if delete and folders:
        return [removable(folder) for folder in dict.fromkeys(folders)]
    every = (run for folder in folders or [Path("runs")] for run in runs_below(folder))
    found = list({run.folder.resolve(): run for run in every}.values())
    return [run for run in found if run.state != "training"] if delete else found


def _passes(run: ListedRun, backbone: str | None, data: str | None, state: str | None) -> bool:
    return (
        _contains(run.backbone, backbone)
        and _contains(run.data, data)
        and (state is None or run.state == state)
    )


def _contains(text: str, wanted: str | None) -> bool:
    """Whether ``wanted`` is part of the text, or a glob that matches it; case is ignored."""
    if wanted is None:
        return True
    return fnmatch.fnmatchcase(text.lower(), f"*{wanted.lower()}*")


def _print(shown: list[ListedRun], found: list[ListedRun], folders: Sequence[Path]) -> None:
    where = ", ".join(map(str, folders)) or "runs"
    if not shown:
        note(
            f"No run passes these filters; {counted(len(found), 'run')} in {where}."
            if found
            else f"No runs in {where}. 'zoo finetune' makes one."
        )
        return
    print_table(_COLUMNS, [_cells(run) for run in shown], less=_LESS)
    for run in shown:
        if run.error:
            note(f"Note: {run.error}")


def _cells(run: ListedRun) -> tuple[object, ...]:
    score = None if run.score is None else f"{run.score:.4f}"
    return (
        *(run.folder, run.state, run.backbone, run.metric, score),
        *(run.strategy, run.epochs, run.data, _ago(time.time() - run.changed)),
        in_bytes(run.bytes),
    )


def _ago(seconds: float) -> str:
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            return f"{counted(int(seconds // length), unit)} ago"
    return "now"


def _delete(runs: list[ListedRun], *, yes: bool) -> None:
    if not runs:
        return
    size = in_bytes(sum(run.bytes for run in runs))
    for run in runs:
        note(f"{run.folder}  {run.state}  {run.backbone}  {in_bytes(run.bytes)}")
    if not yes and not (sys.stdin and sys.stdin.isatty()):
        raise UsageError(
            "standard input is not a terminal, so nothing was confirmed or deleted",
            hint="Add --yes to delete without a question.",
        )
    if not yes:
        click.confirm(f"Delete {counted(len(runs), 'run')}, {size}?", abort=True, err=True)
    for run in runs:
        remove_run(removable(run.folder))  # it may have changed while the question was open
    note(f"deleted {counted(len(runs), 'run')}, {size}")
