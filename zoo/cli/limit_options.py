"""The options for what is asked of predictions: thresholds, coverage, refusal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zoo.errors import UsageError

if TYPE_CHECKING:
    from zoo.runs.limits import Threshold

C = TypeVar("C", bound=Callable[..., Any])


def limit_options(command: C) -> C:
    """Add ``--threshold``, ``--coverage`` and ``--reject``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS = (
    click.option(
        "--threshold",
        "thresholds",
        multiple=True,
        metavar="P|CLASS=P|fitted",
        help="Probability threshold for multi-label runs (default: 0.5); repeatable by class.",
    ),
    click.option(
        "--coverage",
        type=float,
        metavar="P",
        help="Add the set of classes, or the interval, that holds the truth with this probability.",
    ),
    click.option(
        "--reject",
        type=float,
        metavar="SHARE",
        help="Reject inputs unlike the training data, and this share of usual ones.",
    ),
)


def threshold_of(given: Sequence[str], classes: Sequence[str]) -> Threshold:
    """``--threshold``: one for all classes, some by class, both, or ``fitted``."""
    general: float | None = None
    by_class: dict[str, float] = {}
    if list(given) == ["fitted"]:
        return "fitted"
    for text in given:
        name, equals, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError as error:
            raise _not_a_threshold(text) from error
        if equals:
            by_class[name] = value
        elif general is not None:
            raise _not_a_threshold(text, "a second number for all classes")
        else:
            general = value
    if not by_class:
        return general
    return by_class if general is None else {**dict.fromkeys(classes, general), **by_class}


def _not_a_threshold(text: str, why: str = "neither a number nor CLASS=NUMBER") -> UsageError:
    return UsageError(
        f"--threshold {text} is {why}",
        hint="For example --threshold 0.3, --threshold cat=0.3, or --threshold fitted alone.",
    )
