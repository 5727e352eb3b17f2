"""``zoo recommend``: rank backbones for a dataset."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli import completion
from zoo.cli.entries import compact
from zoo.cli.hyperparameters import shared
from zoo.cli.options import duration, labelled_data, max_params_option, modality_option
from zoo.cli.output import clean, emit_json, json_option, note, say
from zoo.cli.tables import print_table, say_wrapped

if TYPE_CHECKING:
    from zoo.ranking.ranking import Watch
    from zoo.ranking.results import Ranked, Ranking


@click.command(
    epilog="""\b
Examples:
  zoo recommend photos/
  zoo recommend photos/ --max-params 30M --time-limit 2m --plot choice.svg
  zoo recommend photos/ 'resnet*' my-animals timm/convnextv2_atto
  zoo recommend reviews.csv minilm path:my-saved-bert --text-column review
  zoo recommend houses.csv --task regression --label-column price --json
"""
)
@click.argument("data", shell_complete=completion.paths)
@click.argument("names", nargs=-1, metavar="[NAME|PATTERN]...", shell_complete=completion.names)
@click.option(
    "--top", default=5, type=click.IntRange(min=1), metavar="N", help="Number of rows (default: 5)."
)
@max_params_option()
@modality_option("Type of input (default: as the data).")
@click.option(
    "--time-limit",
    default="5m",
    callback=duration,
    metavar="SECONDS|5m",
    help="Time limit, after which the ranking so far is printed (default: 5m).",
)
@click.option(
    "--weights",
    default="auto",
    type=click.Choice(["auto", "none"]),
    help="none: also rank backbones without weights on this machine, randomly initialised.",
)
@click.option(
    "--samples",
    default=1000,
    metavar="N",
    help="Number of training samples to use (default: 1000).",
)
@click.option("--seed", default=0, metavar="N", help="Random seed (default: 0).")
@labelled_data
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="FILE.png|.svg|.pdf",
    help="Plot score against cost to this file.",
)
@shared(device=None, workers=None)
@json_option()
def command(
    data: str, names: tuple[str, ...], top: int, plot: Path | None, as_json: bool, **options: Any
) -> None:
    """Rank backbones by how well their features suit your data.

    Without NAME, considers runs registered with 'zoo add', the short names of 'zoo list' whose
    weights can be downloaded, and all weights on this machine, also of models in the Hub's cache
    that no catalogue lists. Sorted by 'probe', the score of a linear
    model on frozen features, measured on held-out samples; LogME is shown beside it.
    See docs/choosing.md for what they mean and how far to trust them.
    """
    started = time.monotonic()
    from zoo.ranking.plot import check_plot, write_plot
    from zoo.ranking.ranking import recommend

    if plot is not None:
        check_plot(plot)
        import matplotlib.figure  # noqa: F401 - now, rather than after the time limit
    try:
        with _watching(top) as watch:
            ranking = recommend(data, names, started=started, watch=watch, **options)
    finally:
        gc.freeze()  # else the collector walks through all imports at exit, for a second
    if plot is not None:
        write_plot(plot, ranking)
    if as_json:
        emit_json(ranking.to_json())
    else:
        _print_ranking(ranking, top, plot)


COLUMNS = (*("", "name", "probe", "logme", "params", "features", "s/1,000", "weights", "license"),)
_LESS = ("features", "weights", "s/1,000", "license", "logme")


def table_cells(place: int | str, row: Ranked) -> tuple[object, ...]:
    return (
        place,
        row.title,
        f"{row.probe:.4f}",
        f"{row.logme:.4f}",
        compact(row.params) if row.params else "?",
        row.feature_dim,
        "?" if row.seconds is None else f"{row.seconds:.3g}",
        row.weights,
        row.license,
    )


def _print_ranking(ranking: Ranking, top: int, plot: Path | None) -> None:
    from zoo.ranking.plot import text_plot
    from zoo.ranking.results import left_out_lines

    tied = {row.name for row in ranking.ranked[1:] if row.ties_with(ranking.best)}
    rows = [
        table_cells(f"{place}=" if row.name in tied else place, row)
        for place, row in enumerate(ranking.ranked, start=1)
    ]
    print_table(COLUMNS, rows[:top], less=_LESS, whole=2)
    if len(rows) > top:
        say(f"and {len(rows) - top} more: --top {len(rows)}")
    for line in ["", *text_plot(ranking)] if len(rows) > 1 else []:
        say(line)
    say("")
    say_wrapped(_footnote(ranking))
    if found := ranking.best.interval:
        tie = "; =: not significantly worse" if tied else ""
        say(f"95 % interval of the first: {found[0]:.4f} to {found[1]:.4f}{tie}")
    for line in left_out_lines(ranking):
        say(clean(line))
    if ranking.not_reached:
        say(clean(_not_reached(ranking.not_reached)))
    if plot is not None:
        say(clean(f"plot: {plot}"))
    say(clean(f"next: {ranking.next_command()}"))


def _footnote(ranking: Ranking) -> str:
    text = f"probe: {ranking.metric} on {ranking.samples:,} samples, cross-validated"
    if ranking.margin is not None and len(ranking.ranked) > 1:
        text += f"; differences below about {2 * ranking.margin:.3f} are not significant"
    return f"{text} ({ranking.seconds:.0f} s)"


def _not_reached(names: Sequence[str], shown: int = 6) -> str:
    more = ", …" if len(names) > shown else ""
    return f"{len(names)} not reached within the time limit: {', '.join(names[:shown])}{more}"


@contextmanager
def _watching(top: int) -> Iterator[Watch]:
    """A growing table on a terminal; in a log, one line per backbone."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    if console.is_terminal:
        from zoo.cli.growing import growing_table

        with growing_table(console, COLUMNS, table_cells, top) as watch:
            yield watch
    else:
        yield _in_a_log()


def _in_a_log() -> Watch:
    from zoo.engine.progress import Console
    from zoo.ranking.ranking import Watch

    place = ""

    def started(_: str, number: int, count: int) -> None:
        nonlocal place
        place = f"{number}/{count}"

    def added(_: Ranking, row: Ranked) -> None:
        seconds = "" if row.seconds is None else f"  {row.seconds:.3g} s/1,000"
        note(f"{place} {row.name}  probe {row.probe:.4f}  logme {row.logme:.4f}{seconds}")

    return Watch(Console(), started, added)
