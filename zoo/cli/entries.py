"""Rows of ``zoo list``: what is known of each, the filters and the orders."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import click

from zoo.contract.modalities import input_class

COMMERCIAL = (
    *("apache-2.0", "mit", "mit-0", "bsd-*", "isc", "0bsd", "zlib", "bsl-1.0", "unlicense"),
    *("cc0-1.0", "cc-by-[0-9]*", "cc-by-sa-*", "mpl-2.0", "gpl-*", "lgpl-*", "agpl-*"),
)
"""SPDX identifiers of licenses that allow commercial use."""

NON_COMMERCIAL = ("*-nc-*", "*noncommercial*", "*non-commercial*", "*-amlr")
"""SPDX identifiers of licenses that forbid commercial use; for any other it is unknown."""

_ARXIV = re.compile(r"arxiv\.org/(?:abs|pdf)/(\d\d)(\d\d)\.\d")


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

    @cached_property
    def accuracy(self) -> float | None:
        """The published top-1 accuracy of the default weights, in percent."""
        metrics = self.weights.get("metrics", {})
        return next((v for k, v in metrics.items() if k.endswith(("top1", "accuracy"))), None)

    @property
    def license(self) -> str:
        """License of the default weights, else of the code."""
        return str(self.weights.get("license") or self.row["license"])

    @property
    def commercial(self) -> bool | None:
        """Whether the weights, or code without weights, may be used commercially; ``None``: unknown."""
        return _commercial(self.weights["license"] if self.weights else self.row["license"])

    @property
    def input(self) -> str:
        """Size of the input as the table shows it: ``224 px`` or ``512 tok``."""
        return input_size(self.row)

    @property
    def date(self) -> str:
        """Year and month of the paper, such as ``2015-12``; empty where they are not known."""
        found = _ARXIV.search(self.row["paper"])
        return f"20{found[1]}-{found[2]}" if found else ""

    def to_json(self) -> dict[str, Any]:
        """The spec's own fields, with the canonical name, and facts that zoo adds."""
        added = {
            "alias": self.alias or None,
            "cached": self.cached,
            "run": self.run or None,
            "accuracy": self.accuracy,
            "commercial": self.commercial,
            "date": self.date or None,
        }
        return {**self.row, "name": self.name, **added}


def input_size(row: Mapping[str, Any]) -> str:
    """``224 px`` or ``512 tok``."""
    return input_class(row["modality"]).in_short(row["input"])


def compact(count: int) -> str:
    """11,689,512 as ``11.7M``."""
    for factor, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= factor * 0.99995:
            return f"{count / factor:.1f}{letter}"
    return str(count)


@cache
def _commercial(license_id: str) -> bool | None:
    if _matches(license_id, NON_COMMERCIAL):
        return False
    return True if _matches(license_id, COMMERCIAL) else None


def _matches(license_id: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(license_id.lower(), pattern) for pattern in patterns)


# -- filters ---------------------------------------------------------------------------------

ACCURACY, DATE = "top-1 accuracy", "date of the paper"

Test = Callable[[Entry], bool | None]
"""Whether an entry passes; ``None`` where the fact is unknown."""

Filter = Callable[[Entry, Any], bool | None]

FILTERS: Mapping[str, tuple[str, Filter]] = {
    "modality": ("modality", lambda entry, wanted: entry.row["modality"] == wanted),
    "plugin": ("plugin", lambda entry, wanted: entry.name.startswith(f"{wanted}/")),
    "max_params": (
        "size",
        lambda entry, most: entry.row["params"] <= most if entry.row["params"] else None,
    ),
    "input_size": ("input size", lambda entry, sizes: _number(entry.input) in sizes),
    "min_accuracy": (
        ACCURACY,
        lambda entry, least: None if entry.accuracy is None else entry.accuracy >= least,
    ),
    "license_id": (
        "license of the weights",
        lambda entry, glob: _matches(entry.license, (glob.lower(),)) if entry.license else None,
    ),
    "commercial": ("commercial use of their license", lambda entry, _: entry.commercial),
    "since": (DATE, lambda entry, date: entry.date >= date if entry.date else None),
    "cached": ("cached", lambda entry, _: entry.cached),
}
"""The fact that each option of ``zoo list`` asks about, and its test of an entry and a value."""


def tests(options: Mapping[str, Any]) -> Iterator[tuple[str, Test]]:
    """The filters among the given options, each with its fact."""
    for option, value in options.items():
        if value is not None and value is not False:
            fact, passes = FILTERS[option]
            yield fact, lambda entry, passes=passes, value=value: passes(entry, value)  # type: ignore[misc]


ORDERS: Mapping[str, Callable[[Entry], Any]] = {
    "name": lambda entry: entry.title.lower(),
    "params": lambda entry: entry.row["params"],
    "feature_dim": lambda entry: entry.row["feature_dim"],
    "accuracy": lambda entry: -(entry.accuracy if entry.accuracy is not None else -1.0),
    "date": lambda entry: -int(entry.date.replace("-", "") or 0),
}

MAY_BE_UNKNOWN: Mapping[str, str] = {"accuracy": ACCURACY, "date": DATE}
"""The facts that an order needs and not every entry has, by the name of both."""


def _number(size: str) -> int:
    found = re.match(r"\d+", size)
    return int(found[0]) if found else 0


# -- values of options -----------------------------------------------------------------------


def size_range(ctx: click.Context, parameter: click.Parameter, value: str | None) -> range | None:
    """Parse ``224``, ``192-256``, ``192-`` or ``-256`` into the sizes meant."""
    if value is None:
        return None
    found = re.fullmatch(r"(?P<only>\d+)|(?P<least>\d*)-(?P<most>\d*)", value.replace(" ", ""))
    if found is None or value.strip() == "-":
        message = f"{value!r} is not a valid size. Examples: 224, 192-256, 384-, -128."
        raise click.BadParameter(message, ctx, parameter)
    least = int(found["only"] or found["least"] or 1)
    most = int(found["only"] or found["most"] or 10**9)
    return range(least, most + 1)


def year_or_month(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Check that a date is a year or a month, such as ``2022`` or ``2022-06``."""
    if value is not None and not re.fullmatch(r"[12]\d{3}(-(0[1-9]|1[0-2]))?", value):
        message = f"{value!r} is not a year or month. Examples: 2022, 2022-06."
        raise click.BadParameter(message, ctx, parameter)
    return value
