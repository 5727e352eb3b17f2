"""``zoo list``: the catalogue, read from the index alone."""

from __future__ import annotations

import contextlib
import gc
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from zoo.cli import completion
from zoo.cli.entries import (
    MAY_BE_UNKNOWN,
    ORDERS,
    Entry,
    Test,
    compact,
    size_range,
    tests,
    year_or_month,
)
from zoo.cli.options import max_params_option, modality_option
from zoo.cli.output import emit_json, json_option, note, say
from zoo.cli.tables import print_table
from zoo.errors import ZooError, closest

if TYPE_CHECKING:
    from zoo.registry.registry import Registry

COLUMNS = (
    "name",
    "modality",
    "params",
    "feature_dim",
    "input",
    "weights",
    "top-1",
    "license",
    "cached",
)
_LESS = ("feature_dim", "weights", "modality", "cached", "input", "license")


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Thousands of rows without a cycle, freed when the block ends: collecting takes a tenth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@click.command(
    epilog="""\b
Examples:
  zoo list
  zoo list resnet
  zoo list 'timm/convnext*' --max-params 30M --min-accuracy 80 --sort accuracy
  zoo list --all --modality text --license apache-2.0
  zoo list --commercial --input-size -256 --since 2022 --sort date
  zoo list --all --json | jq '.[].name'
"""
)
@click.argument("pattern", required=False, shell_complete=completion.names)
@click.option(
    "--all", "everything", is_flag=True, help="List the whole catalogue, by canonical names."
)
@modality_option("Type of input.")
@click.option(
    "--plugin", shell_complete=completion.plugins, help="List one plugin only, e.g. timm."
)
@max_params_option()
@click.option("--min-accuracy", type=float, help="Minimum top-1 accuracy, in percent.")
@click.option(
    "--input-size",
    metavar="SIZE",
    callback=size_range,
    help="Input size in pixels or tokens: 224, or 192-256.",
)
@click.option(
    "--license", "license_id", help="License of the weights, e.g. apache-2.0 or 'cc-by*'."
)
@click.option(
    "--commercial", is_flag=True, help="List only weights whose license allows commercial use."
)
@click.option(
    "--since",
    metavar="YEAR[-MONTH]",
    callback=year_or_month,
    help="List only networks whose paper was published since then.",
)
@click.option(
    "--cached", is_flag=True, help="List only backbones whose weights are on this machine."
)
@click.option(
    "--sort",
    type=click.Choice(list(ORDERS)),
    help="Sort order; accuracy sorts best first, date newest first.",
)
@json_option("Print a JSON list of specs.")
@_without_garbage_collection()
def command(
    pattern: str | None,
    everything: bool,
    sort: str | None,
    as_json: bool,
    **filters: Any,
) -> None:
    """List available backbones.

    Without PATTERN, lists backbones with short names and those that plugins feature, or all others
    if none of these match the filters. With PATTERN (part of a name, or a glob such as 'resnet*')
    or --all, lists everything. Runs registered with 'zoo add' come first, with the accuracy on
    their validation data. The license is that of the default weights; 'cached' is 'yes' if they
    are on this machine. --commercial lists only standard licenses, since custom ones have to be
    read. Papers are dated by their first version on arXiv.
    """
    from zoo.registry.registry import Registry

    registry = Registry.discover()
    plugin = filters["plugin"]
    if plugin is not None and plugin not in {status.name for status in registry.plugins()}:
        registry.plugin(plugin)  # raises, and names the installed ones
    listing = _Listing(registry, dict(tests(filters)))
    whole = everything or pattern is not None
    shown = listing.matching(pattern or "*") if whole else listing.short()
    if listing.filtered and not whole and all(entry.run for entry in shown):
        shown, whole = listing.matching("*"), True
    unknown = dict(listing.unknown)
    if sort:
        shown.sort(key=ORDERS[sort])
    if as_json:
        emit_json([entry.to_json() for entry in shown])
    else:
        unreadable = [] if listing.filtered else listing.unreadable
        print_table(COLUMNS, [*map(_unreadable_cells, unreadable), *map(_cells, shown)], less=_LESS)
        if not whole and (others := listing.others(shown)):
            say(f"and {others:,} more: 'zoo list --all' or 'zoo list PATTERN'")
    _print_notes(registry, pattern, listing, shown)
    _note_unknown(unknown, shown, sort)


class _Listing:
    """The entries that pass all tests.

    Attributes:
        unreadable: Registered runs that match and cannot be read, with the errors.
        filtered: Whether there are tests.
        unknown: By unknown fact, how many entries the last listing left out.
    """

    def __init__(self, registry: Registry, tests: Mapping[str, Test]) -> None:
        from zoo.weights.local_weights import LocalWeights

        self.unreadable: dict[str, ZooError] = {}
        self.unknown: Counter[str] = Counter()
        self._registry = registry
        self.filtered = bool(tests)
        self._tests = tests
        self._local_weights = LocalWeights()
        self._aliases: dict[str, str] = {}
        for alias, name in registry.short_names.items():
            self._aliases.setdefault(name, alias if alias != name else "")

    def matching(self, pattern: str) -> list[Entry]:
        """Registered runs, then the whole catalogue."""
        return self._passing([*self._runs(pattern), *self._catalogue(pattern)])

    def short(self) -> list[Entry]:
        """Registered runs, the short names in the order of registry.toml, then what plugins feature."""
        return self._passing([*self._runs("*"), *self._short()])

    def others(self, shown: list[Entry]) -> int:
        """Number of backbones that pass the tests and are not shown."""
        if self._tests:
            every = {entry.name for entry in self._passing(self._catalogue("*"))}
        else:  # without reading the rows, most of which are not shown
            every = set(self._registry.names())
        return len(every - {entry.name for entry in shown if not entry.run})

    def _catalogue(self, pattern: str) -> Iterator[Entry]:
        for name, row in self._registry.rows(pattern):
            yield self._entry(name, name, row, self._aliases.get(name, ""))

    def _short(self) -> Iterator[Entry]:
        for alias, name in self._registry.short_names.items():
            row = self._registry.row(name)
            if row is not None and alias not in self._registry.policy.runs:
                yield self._entry(alias, name, row, self._aliases[name] and alias)

    def _runs(self, pattern: str) -> Iterator[Entry]:
        for name, run in self._registry.runs(pattern):
            if isinstance(run, ZooError):
                self.unreadable[name] = run
            else:
                row = run.spec.to_json()
                yield self._entry(name, run.spec.name, row, name, run=str(run.folder))

    def _entry(
        self, title: str, name: str, row: Mapping[str, Any], alias: str, *, run: str = ""
    ) -> Entry:
        offered = row["weights"]
        wanted = [w for w in offered if w["default"]] or offered
        cached = any(self._local_weights.find(weights["uri"]) for weights in wanted)
        return Entry(title, name, row, alias, cached, run)

    def _passing(self, entries: Iterable[Entry]) -> list[Entry]:
        self.unknown = Counter()
        return [entry for entry in entries if self._passes(entry)]

    def _passes(self, entry: Entry) -> bool:
        found = {fact: test(entry) for fact, test in self._tests.items()}
        unknown = [fact for fact, passed in found.items() if passed is None]
        if unknown and False not in found.values():
            self.unknown[unknown[0]] += 1
        return all(found.values())


def _cells(entry: Entry) -> list[object]:
    return [
        entry.title,
        entry.row["modality"],
        compact(entry.row["params"]) if entry.row["params"] else "?",
        entry.row["feature_dim"] or "?",
        entry.input,
        f"run of {entry.name}" if entry.run else entry.weights.get("tag", "none"),
        None if entry.accuracy is None else f"{entry.accuracy:.1f}",
        entry.license,
        "yes" if entry.cached else "",
    ]


def _unreadable_cells(name: str) -> list[object]:
    return [name, *[""] * (COLUMNS.index("weights") - 1), "unreadable", "", "", ""]


def _print_notes(
    registry: Registry, pattern: str | None, listing: _Listing, shown: list[Entry]
) -> None:
    for error in listing.unreadable.values():
        note(f"Note: {error.message}\n      {error.hint}")
    if not shown and not listing.unreadable:
        _explain_empty(registry, pattern)
    for status in registry.plugins():
        if status.status not in ("ok", "disabled"):
            note(f"Note: the plugin {status.name!r} is {status.status}; see 'zoo plugins'.")
    if not shown:
        _suggest_sync(registry)


def _note_unknown(unknown: Mapping[str, int], shown: list[Entry], sort: str | None) -> None:
    """Say how many entries lack the fact that a filter or the order needs."""
    for fact, count in unknown.items():
        note(f"Note: {count:,} more not listed: {fact} unknown.")
    if sort is not None and sort in MAY_BE_UNKNOWN:
        last = sum(getattr(entry, sort) in (None, "") for entry in shown)
        if last:
            note(f"Note: {last:,} listed last: {MAY_BE_UNKNOWN[sort]} unknown.")


def _suggest_sync(registry: Registry) -> None:
    """Say which catalogues are of another version of their library than is installed."""
    for status in registry.plugins():
        if reason := registry.outdated(status.name):
            note(f"Note: plugin {status.name!r}: {reason}.")


def _explain_empty(registry: Registry, pattern: str | None) -> None:
    if pattern is None or registry.names(pattern) or any(registry.runs(pattern)):
        note("No backbone matches all these filters.")
        return
    known = [*registry.policy.runs, *(name.partition("/")[2] for name in registry.names())]
    near = closest(pattern.strip("*?"), known)
    guess = f" Closest: {', '.join(near)}." if near else ""
    note(f"No backbone matches {pattern!r}.{guess}")
