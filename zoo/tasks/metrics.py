"""Choosing a metric by its name, computing it, and its name in texts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real

from zoo.contract.extensions import Argument, Function, Metric, MetricInput, imported
from zoo.errors import NameLookupError, UsageError, did_you_mean
from zoo.registry.offers import Offer, OfferKind, usable
from zoo.registry.registry import Registry
from zoo.tasks.kinds import Kinds, in_words
from zoo.tasks.metric_table import LOSS, METRICS

THRESHOLD = 0.5
"""The probability from which a label is predicted, for multi-label."""

METRIC = OfferKind(noun="metric", plural="metrics", hook="zoo_metrics", holds=Metric)


def measure_of(task: Kinds, metric: Metric) -> Function | None:
    """The function of a metric for a task; ``None`` if it does not apply."""
    return next((metric.measures[kind] for kind in task.kinds if kind in metric.measures), None)


def metrics_of(task: Kinds) -> dict[str, Metric]:
    """zoo's own metrics of a task, by key."""
    return {key: metric for key, metric in METRICS.items() if _applies(key, metric, task)}


def _applies(key: str, metric: Metric, task: Kinds) -> bool:
    return key == LOSS or measure_of(task, metric) is not None


# -- the selection metric ----------------------------------------------------------------------


@dataclass(frozen=True)
class Selection:
    """The metric that selects the best epoch.

    Attributes:
        offer: The metric, zoo's own or a plugin's.
        argument: The number that its name was given, or its default.
    """

    offer: Offer[Metric]
    argument: float | None = None

    @property
    def metric(self) -> Metric:
        """The metric."""
        return self.offer.value

    @property
    def key(self) -> str:
        """Its canonical name: ``auroc``, ``top_k:3``, ``acme/cost``."""
        return self.offer.name + ("" if self.argument is None else f":{self.argument:g}")

    @property
    def title(self) -> str:
        """Its name in tables and reports."""
        shown = "" if self.argument is None else f"{self.argument:g}"
        return self.metric.title.replace("{}", shown)

    @property
    def heading(self) -> str:
        """The title with a capital, unless it has one already: mAP stays mAP."""
        title = self.title
        return title if any(letter.isupper() for letter in title) else title.capitalize()

    def value(self, task: Kinds, given: MetricInput) -> float:
        """The value for a task, NaN if it is undefined.

        Raises:
            PluginError: A plugin's function fails, or does not return a number.
        """
        function = measure_of(task, self.metric)
        assert function is not None
        metric_input = replace(given, argument=self.argument, remarks=[])
        found = self.offer.call(lambda: imported(function)(metric_input))
        given.remarks.extend(f"{self.title}: {text}" for text in metric_input.remarks)
        if not isinstance(found, Real):
            raise self.offer.broken(f"its {self.offer} returned {found!r}, not a number")
        return float(found)


def own_metric(key: str) -> Selection:
    """A metric of zoo's own, with the default argument."""
    metric = METRICS[key]
    argument = metric.argument.default if metric.argument else None
    return Selection(Offer(kind=METRIC, bare=key, plugin="", given=metric), argument)


def find_metric(text: str, *tasks: Kinds, registry: Registry | None = None) -> Selection:
    """The metric of a task, as a user types it: ``auroc``, ``top_k:3``, ``acme/cost``.

    Args:
        text: Its name, and a number after a colon.
        tasks: The task; several while the data has not said yet which one it is.
        registry: Plugins to search; the installed ones by default.

    Raises:
        UsageError: None of the tasks has such a metric, or the number is not valid.
        PluginError: Its plugin cannot be used.
    """
    bare, colon, number = text.partition(":")
    if bare not in METRICS:
        registry = registry or Registry.discover()
        try:
            offer: Offer[Metric] = registry.offer(METRIC, bare, METRICS)
        except NameLookupError as error:
            raise _unknown(text, tasks, registry) from error
    else:
        offer = own_metric(bare).offer
    if not any(_applies(bare, offer.value, task) for task in tasks):
        raise _unknown(text, tasks, registry)
    return Selection(offer, _argument(text, offer.value.argument, number if colon else None))


def _unknown(text: str, tasks: Sequence[Kinds], registry: Registry | None) -> UsageError:
    offered: Iterable[Offer[Metric]] = (registry or Registry.discover()).offers(METRIC, {})
    every = {**METRICS, **{offer.name: offer.value for offer in usable(offered)}}
    known = [
        f"{key}:N" if metric.argument else key
        for key, metric in every.items()
        if any(_applies(key, metric, task) for task in tasks)
    ]
    guess = did_you_mean(text, [key.partition(":")[0] for key in known])
    return UsageError(
        f"--metric {text!r} is not a metric of {in_words(tasks)} data.{guess}",
        hint=f"Metrics: {', '.join(known)}.",
    )


def _argument(text: str, takes: Argument | None, number: str | None) -> float | None:
    if takes is None:
        if number is None:
            return None
        raise UsageError(
            f"--metric {text}: this metric takes no number",
            hint=f"Use --metric {text.partition(':')[0]}.",
        )
    if number is None:
        return takes.default
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not takes.at_least <= value <= takes.at_most or (takes.whole and value % 1):
        least, most = takes.at_least, takes.at_most
        valid = f"at least {least:g}" if math.isinf(most) else f"from {least:g} to {most:g}"
        raise UsageError(
            f"--metric {text}: the number must be {'an integer, ' * takes.whole}{valid}",
            hint=f"For example --metric {text.partition(':')[0]}:{takes.default:g}.",
        )
    return value


# -- values ------------------------------------------------------------------------------------


def computed(task: Kinds, chosen: Selection, given: MetricInput) -> dict[str, float]:
    """The metrics of an epoch without the loss: the selection metric, then the usual ones."""
    values = {} if chosen.key == LOSS else {chosen.key: chosen.value(task, given)}
    for key, metric in metrics_of(task).items():
        if metric.always and key not in (LOSS, chosen.key):
            values[key] = own_metric(key).value(task, given)
    return values


def all_nan(task: Kinds, chosen: Selection) -> dict[str, float]:
    """The metrics of an epoch as NaN, for outputs that are not finite."""
    usual = [key for key, metric in metrics_of(task).items() if metric.always]
    return dict.fromkeys([chosen.key, *usual], math.nan)


def rank_key(chosen: Selection, values: Mapping[str, float]) -> tuple[float, ...]:
    """The sort key of epochs, higher is better: the metric, then the loss."""
    value = values[chosen.key]
    return value if chosen.metric.higher else -value, -values[LOSS]


# -- in words ----------------------------------------------------------------------------------


def title_of(key: str, chosen: Selection | None = None) -> str:
    """The title of a metric by its key.

    Args:
        key: Its canonical name.
        chosen: The selection metric, which alone may be a plugin's.
    """
    if chosen is not None and key == chosen.key:
        return chosen.title
    bare, _, number = key.partition(":")
    return METRICS[bare].title.replace("{}", number) if bare in METRICS else key


def main_metric(values: Mapping[str, object], metric: str = "") -> str:
    """The key of the main metric of a run.

    Args:
        values: Metrics by key.
        metric: The selection metric, if known; a loss is hard to interpret, and is replaced by
            another metric.

    Raises:
        KeyError: There is none.
    """
    if metric in values and metric != LOSS:
        return metric
    for key in sorted(METRICS, key=lambda key: not METRICS[key].leads):
        if key in values:
            return key
    raise KeyError(next(iter(METRICS)))


def number(value: float, digits: int = 4) -> str:
    """``0.9722``, or ``undefined``."""
    return "undefined" if math.isnan(value) else f"{value:.{digits}f}"


def formatted(values: Mapping[str, float], chosen: Selection | None = None) -> str:
    """``accuracy 0.9722, macro F1 0.9721, loss 0.1437``"""
    return ", ".join(f"{title_of(key, chosen)} {number(value)}" for key, value in values.items())
