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
        metavar="[CLASS=]P|f1|cost:R",
        help="Probability threshold (default: 0.5); f1: highest F1 on validation samples; cost:R: cheapest "
        "there, if a missed label costs R false ones. Repeatable by class.",
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
    """``--threshold``: one for all classes, some by class, or both."""
    general: float | str | None = None
    by_class: dict[str, float | str] = {}
    for text in given:
        name, equals, value = text.rpartition("=")
        if equals:
            by_class[name] = _number_or_word(value)
        elif general is not None:
            raise UsageError(
                f"--threshold {text} is a second one for all classes",
                hint="Give one, and others by class: --threshold 0.3 --threshold cat=0.5.",
            )
        else:
            general = _number_or_word(value)
    if not by_class:
        return general
    return by_class if general is None else {**dict.fromkeys(classes, general), **by_class}


def _number_or_word(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
