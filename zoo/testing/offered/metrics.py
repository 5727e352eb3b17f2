"""Metrics: their values on predictions that are perfect, wrong and random."""

from __future__ import annotations

import math
import warnings

import numpy as np
from torch import Tensor

from zoo.contract.extensions import Metric
from zoo.data.samples import LabelArray
from zoo.registry.offers import Offer
from zoo.tasks.metrics import Selection
from zoo.testing.offered.labels import Labelled, labelled, one_sided

OUTPUTS = (2, 6)
"""Numbers of classes or targets; a metric of two classes alone is undefined on six."""

CLOSE = 1e-6


def check_metric(offer: Offer[Metric]) -> None:
    """Compute a metric on data of each of its tasks; raises where a value is not what it must be."""
    argument = offer.value.argument.default if offer.value.argument else None
    for task in offer.value.measures:
        values = [_check(Selection(offer, argument), labelled(task, n)) for n in OUTPUTS]
        defined = [each for each in values if each]
        assert defined, (
            f"{offer}: undefined on {task} data of {OUTPUTS[0]} and {OUTPUTS[1]} outputs"
        )
        assert any(len(each) > 1 for each in defined), (
            f"{offer}: the same value for perfect, wrong and random predictions on {task} data"
        )


def _check(metric: Selection, given: Labelled) -> set[float]:
    """Check one task; returns the values, rounded; none if the metric is undefined on its data."""
    offer, where = metric.offer, f"on {given.in_words}"
    perfect = _value(metric, given, given.right, given.labels, f"a perfect prediction {where}")
    others = {
        f"a random prediction {where}": given.random(1),
        f"a wrong prediction {where}": given.wrong,
    }
    values = {
        what: _value(metric, given, logits, given.labels, what) for what, logits in others.items()
    }
    _value(metric, given, given.random(1), one_sided(given), f"labels without variety {where}")
    if math.isnan(perfect):
        return set()
    sign = 1 if metric.metric.higher else -1
    best = "highest" if metric.metric.higher else "lowest"
    for what, value in values.items():
        assert not sign * value > sign * perfect + CLOSE, (
            f"{offer}: higher={metric.metric.higher}, but the {best} value is not that of a perfect prediction: "
            f"{perfect:.4g}, and {value:.4g} for {what}"
        )
    _check_order(metric, given)
    return {round(value, 6) for value in (perfect, *values.values())}


def _check_order(metric: Selection, given: Labelled) -> None:
    order = np.random.default_rng(1).permutation(len(given.labels))
    logits = given.random(2)
    before = _value(metric, given, logits, given.labels, "a random prediction")
    after = _value(metric, given, logits[order], given.labels[order], "a random prediction")
    assert math.isclose(before, after, rel_tol=CLOSE, abs_tol=CLOSE) or math.isnan(before), (
        f"{metric.offer}: {before:.6g}, and {after:.6g} for the same samples in another order"
    )


def _value(
    metric: Selection, given: Labelled, logits: Tensor, labels: LabelArray, what: str
) -> float:
    """The value, which is finite, or NaN with a reason."""
    task, remarks = given.task.selecting(metric), list[str]()
    names = [f"class {place}" for place in range(given.outputs)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of division by zero
        value = task.compute_metrics(logits.double(), labels, names, remarks)[metric.key]
    notes = [text for text in remarks if text.startswith(f"{metric.title}: ")]
    assert not math.isinf(value), f"{metric.offer}: {value} for {what}"
    assert notes or not math.isnan(value), (
        f"{metric.offer}: NaN for {what}, without a reason; give one with remark(…)"
    )
    return value
