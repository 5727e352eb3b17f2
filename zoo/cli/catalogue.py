"""``zoo list``: the catalogue, read from the index alone."""

from __future__ import annotations

import contextlib
import fnmatch
import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from zoo.cli import completion
from zoo.cli.options import max_params_option, modality_option
from zoo.cli.output import emit_json, json_option, note, print_table, say
from zoo.contract.modalities import input_class
from zoo.errors import ZooError, closest

if TYPE_CHECKING:
    from zoo.registry.registry import Registry

ACCURACY = "top-1 accuracy"
LICENSE = "license of the weights"

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


@dataclass(frozen=True)
class Entry:
    """A row of the table.

    Attributes:
        title: The name that the table shows.
        name: Canonical.
        row: The spec as JSON data.
        alias: The short name, or the empty string.
        cached: Whether the default weights are on this machine (without a default, any weights).
        run: The folder of the run that is registered under this name, or the empty string.
    """

    title: str
    name: str
    row: Mapping[str, Any]
    alias: str
    cached: bool
    run: str = ""

    @cached_property
    def weights(self) -> Mapping[str, Any]:
        """The default weights, or an empty mapping."""
        return next((w for w in self.row["weights"] if w["default"]), {})

    @property
    def accuracy(self) -> float | None:
        """The published top-1 accuracy of the default weights, in percent."""
        metrics = self.weights.get("metrics", {})
        return next((v for k, v in metrics.items() if k.endswith(("top1", "accuracy"))), None)

    @property
    def license(self) -> str:
        """License of the default weights, else of the code."""
        return str(self.weights.get("license") or self.row["license"])

    def to_json(self) -> dict[str, Any]:
        """The spec's own fields, with the canonical name, and ``alias``, ``cached`` and ``run``."""
        added = {"alias": self.alias or None, "cached": self.cached, "run": self.run or None}
        return {**self.row, "name": self.name, **added}


Test = Callable[[Entry], bool | None]
"""Whether an entry passes; ``None`` where the fact is unknown."""

ORDERS: Mapping[str, Callable[[Entry], Any]] = {
    "name": lambda entry: entry.title.lower(),
    "params": lambda entry: entry.row["params"],
    "feature_dim": lambda entry: entry.row["feature_dim"],
    "accuracy": lambda entry: -(entry.accuracy if entry.accuracy is not None else -1.0),
}


@click.command(
    epilog="""\b
Examples:
  zoo list
  zoo list resnet
  zoo list 'timm/convnext*' --max-params 30M --min-accuracy 80 --sort accuracy
  zoo list --all --modality text --license apache-2.0
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
    "--license", "license_id", help="License of the weights, e.g. apache-2.0 or 'cc-by*'."
)
@click.option(
    "--cached", is_flag=True, help="List only backbones whose weights are on this machine."
)
@click.option(
    "--sort", type=click.Choice(list(ORDERS)), help="Sort order; accuracy sorts best first."
)
@json_option("Print a JSON list of specs.")
def command(
    pattern: str | None,
    everything: bool,
    modality: str | None,
    plugin: str | None,
    max_params: int | None,
    min_accuracy: float | None,
    license_id: str | None,
    cached: bool,
    sort: str | None,
    as_json: bool,
) -> None:
    """List available backbones.

    Without PATTERN, lists backbones with short names, or all others if filters leave none of
    those. With PATTERN (part of a name, or a glob such as 'resnet*') or --all, lists everything.
    Runs registered with 'zoo add' come first, with the accuracy on their validation data. The
    license is that of the default weights; 'cached' says whether they are on this machine.
    """
    from zoo.registry.registry import Registry

    registry = Registry.discover()
    if plugin is not None and plugin not in {status.name for status in registry.plugins()}:
        registry.plugin(plugin)  # raises, and names the installed ones
    tests = dict(_tests(modality, plugin, max_params, min_accuracy, license_id, cached))
    listing = _Listing(registry, tests)
    whole = everything or pattern is not None
    with _without_garbage_collection():
        shown = listing.matching(pattern or "*") if whole else listing.short()
        if tests and not shown and not whole:
            shown, whole = listing.matching("*"), True
        unknown = dict(listing.unknown)
        if sort:
            shown.sort(key=ORDERS[sort])
        if as_json:
            emit_json([entry.to_json() for entry in shown])
        else:
            unreadable = [] if tests else listing.unreadable
            print_table(COLUMNS, [*map(_unreadable_cells, unreadable), *map(_cells, shown)])
            if not whole and (others := listing.others(shown)):
                say(f"and {others:,} more: 'zoo list --all' or 'zoo list PATTERN'")
    _print_notes(registry, pattern, listing, shown)
    _note_unknown(unknown, shown, sort)


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Thousands of rows without a cycle: collecting takes a tenth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Listing:
    """The entries that pass all tests.

    Attributes:
        unreadable: Registered runs that match and cannot be read, with the errors.
        unknown: By unknown fact, how many entries the last listing left out.
    """

    def __init__(self, registry: Registry, tests: Mapping[str, Test]) -> None:
        from zoo.weights.local_weights import LocalWeights

        self.unreadable: dict[str, ZooError] = {}
        self.unknown: Counter[str] = Counter()
        self._registry = registry
        self._tests = tests
        self._local_weights = LocalWeights()
        self._aliases: dict[str, str] = {}
        for alias, name in registry.policy.aliases.items():
            self._aliases.setdefault(name, alias)

    def matching(self, pattern: str) -> list[Entry]:
        """Registered runs, then the whole catalogue."""
        return self._passing([*self._runs(pattern), *self._catalogue(pattern)])

    def short(self) -> list[Entry]:
        """Registered runs, then the short names in the order of registry.toml."""
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
        for alias, name in self._registry.policy.aliases.items():
            row = self._registry.row(name)
            if row is not None and alias not in self._registry.policy.runs:
                yield self._entry(alias, name, row, alias)

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


def _tests(
    modality: str | None,
    plugin: str | None,
    max_params: int | None,
    min_accuracy: float | None,
    license_id: str | None,
    cached: bool,
) -> Iterator[tuple[str, Test]]:
    """The given filters, each with its test of an entry."""
    if modality is not None:
        yield "modality", lambda entry: entry.row["modality"] == modality
    if plugin is not None:
        yield "plugin", lambda entry: entry.name.startswith(f"{plugin}/")
    if max_params is not None:
        yield "size", lambda entry: entry.row["params"] <= max_params
    if min_accuracy is not None:
        yield (
            ACCURACY,
            lambda entry: None if entry.accuracy is None else entry.accuracy >= min_accuracy,
        )
    if license_id is not None:
        matches = fnmatch.fnmatchcase
        yield (
            LICENSE,
            lambda entry: (
                matches(entry.license.lower(), license_id.lower()) if entry.license else None
            ),
        )
    if cached:
        yield "cached", lambda entry: entry.cached


def _cells(entry: Entry) -> list[object]:
    return [
        entry.title,
        entry.row["modality"],
        compact(entry.row["params"]),
        entry.row["feature_dim"],
        input_size(entry.row),
        f"run of {entry.name}" if entry.run else entry.weights.get("tag", "none"),
        None if entry.accuracy is None else f"{entry.accuracy:.1f}",
        entry.license,
        "yes" if entry.cached else "",
    ]


def _unreadable_cells(name: str) -> list[object]:
    return [name, *[""] * (COLUMNS.index("weights") - 1), "unreadable", "", "", ""]


def compact(count: int) -> str:
    """11,689,512 as ``11.7M``."""
    for factor, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= factor * 0.99995:
            return f"{count / factor:.1f}{letter}"
    return str(count)


def input_size(row: Mapping[str, Any]) -> str:
    """``224 px`` or ``512 tok``."""
    return input_class(row["modality"]).in_short(row["input"])


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


def _note_unknown(unknown: Mapping[str, int], shown: list[Entry], sort: str | None) -> None:
    """Say how many entries lack the fact that a filter or the order needs."""
    for fact, count in unknown.items():
        note(f"Note: {count:,} more not listed: {fact} unknown.")
    last = sum(entry.accuracy is None for entry in shown)
    if sort == "accuracy" and last:
        note(f"Note: {last:,} listed last: {ACCURACY} unknown.")


def _explain_empty(registry: Registry, pattern: str | None) -> None:
    if pattern is None or registry.names(pattern) or any(registry.runs(pattern)):
        note("No backbone matches all these filters.")
        return
    known = [*registry.policy.runs, *(name.partition("/")[2] for name in registry.names())]
    near = closest(pattern.strip("*?"), known)
    guess = f" Closest: {', '.join(near)}." if near else ""
    note(f"No backbone matches {pattern!r}.{guess}")
