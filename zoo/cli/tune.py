"""``zoo tune``: search for backbone and hyperparameters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli import completion
from zoo.cli.hyperparameters import shared
from zoo.cli.options import labelled_data, output_option
from zoo.cli.output import clean, emit_json, json_option, note, say
from zoo.cli.tables import print_table, say_wrapped

if TYPE_CHECKING:
    from zoo.tuning.results import Tried, Tuning

TOP = 10


@click.command(
    epilog="""\b
Examples:
  zoo tune photos/ --time-limit 30m
  zoo tune photos/ --time-limit 1h --backbones resnet18,my-animals
  zoo tune reviews.csv --backbones minilm --metric macro_f1 --trials 10
  zoo tune --resume runs/tune-1 --time-limit 2h
"""
)
@click.argument("data", required=False, shell_complete=completion.paths)
@click.option(
    "--time-limit",
    metavar="SECONDS|30m",
    help="Time for the whole search, the final estimate included (default: 30m).",
)
@click.option(
    "--backbones",
    metavar="NAME,...",
    shell_complete=completion.names,
    help="Backbones or patterns (default: all with weights on this machine).",
)
@click.option("--trials", type=int, metavar="N", help="Maximum number of fine-tunes.")
@output_option("DIR", "Folder of the search (default: runs/tune-N).", dir_okay=True)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    shell_complete=completion.searches,
    help="Continue a search; with a longer --time-limit also a finished one.",
)
@labelled_data
@shared(
    metric=None,
    epochs=None,
    image_size=None,
    val_split=None,
    test_split="Fraction set aside for the estimate if the data has no test split (default: 0.2).",
    group_column=None,
    group_pattern=None,
    seed=None,
    device=None,
    workers=None,
)
@json_option()
@click.pass_context
def command(ctx: click.Context, /, data: str | None, as_json: bool, **options: Any) -> None:
    """Search for the backbone and settings that suit your data.

    Trains the head of each backbone on cached features, then fine-tunes the best of them with other
    strategies, learning rates, augmentation and image sizes; the usual settings come first. Trials
    that are worse after the same epochs end early. The best run is chosen on the validation split,
    and its estimate is measured on samples that no trial has seen: the test split, or a part set
    aside before. Options given here are not searched. Needs the extra 'zoo-finetune[tune]'.

    Ctrl-C stops; the same command, or --resume, continues.
    """
    given = {
        name: value
        for name, value in options.items()
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }
    if data is None and "resume" not in given:
        raise click.UsageError("Missing argument 'DATA'.", ctx)
    from zoo.engine.progress import Console
    from zoo.system.parts import Parts, process_start
    from zoo.tuning.tune import TuneWatch, tune

    names = given.pop("backbones", "")
    backbones = tuple(name.strip() for name in names.split(",") if name.strip())
    found = tune(
        data,
        backbones=backbones,
        started=Parts(process_start()).began,
        watch=TuneWatch(Console(), _print_trial),
        **given,
    )
    if as_json:
        emit_json(found.to_json())
    else:
        _print_result(found)


def _print_trial(tried: Tried, best: bool) -> None:
    value = tried.note if tried.value is None else f"{tried.value:.4f}"
    state = "" if tried.state == "finished" else f" ({tried.state})"
    note(
        f"{tried.number}  {tried.backbone}  {tried.settings}  {value}{state}  "
        f"{tried.seconds:.0f} s{'  *' if best else ''}"
    )


def _print_result(found: Tuning) -> None:
    from zoo.system.durations import in_words
    from zoo.tuning.results import best_of

    title = found.best_run.task.selection.title
    ranked = best_of(found.trials)
    rows = [_cells(each) for each in ranked[:TOP]]
    print_table(
        ("trial", "backbone", "settings", title, "epochs", "s"), rows, less=("s", "epochs"), whole=2
    )
    others = len(found.trials) - len(rows)
    if others:
        say(f"and {others} more, worse, pruned or failed: {found.folder / 'tune.json'}")
    say(f"{title} in the table: on the validation split, which chose the best")
    say_wrapped(f"estimate: {found.estimate.in_words(title)}")
    say(clean(f"best run: {found.best_run.folder} ({in_words(found.seconds)})"))
    say(clean(f"plot: {found.folder / 'trials.png'}"))
    say(clean(f"repeat: {found.command}"))


def _cells(tried: Tried) -> tuple[object, ...]:
    value = "" if tried.value is None else f"{tried.value:.4f}"
    name, spent = tried.backbone, f"{tried.seconds:.0f}"
    return (tried.number, name, tried.settings, value, tried.epochs, spent)
