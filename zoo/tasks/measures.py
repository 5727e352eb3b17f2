"""The functions behind the metrics, mostly scikit-learn's.

A value that is undefined is NaN, and a remark says why; so does one for classes that a mean leaves
out, since they have no sample.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from zoo.contract.extensions import MetricInput
from zoo.tasks.counts import by_class

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_SHOWN = 5  # names in a remark

# -- single-label ------------------------------------------------------------------------------


def accuracy(given: MetricInput) -> float:
    """Share of samples with the right class."""
    return float((given.labels == given.predicted).mean())


def balanced_accuracy(given: MetricInput) -> float:
    """Mean recall of the classes that occur."""
    from sklearn.metrics import recall_score

    occurring = np.unique(given.labels)
    _remark(given, set(range(given.outputs.shape[1])) - set(occurring.tolist()), "has no sample")
    recall = recall_score(given.labels, given.predicted, labels=occurring, average="macro")
    return float(recall)


def macro_f1(given: MetricInput) -> float:
    """Mean F1 of the classes that occur or are predicted."""
    counts = by_class(given.predicted, given.labels, given.outputs.shape[1])
    return float(counts.f1[counts.seen].mean())


def quadratic_kappa(given: MetricInput) -> float:
    """Cohen's kappa with quadratic weights, for classes in order."""
    from sklearn.metrics import cohen_kappa_score

    if len(np.union1d(given.labels, given.predicted)) < 2:
        return _undefined(given, "all labels and predictions are of one class")
    every = list(range(given.outputs.shape[1]))
    return float(
        cohen_kappa_score(given.labels, given.predicted, labels=every, weights="quadratic")
    )


def mcc(given: MetricInput) -> float:
    """Matthews' correlation coefficient; 0 where all predictions are of one class."""
    from sklearn.metrics import matthews_corrcoef

    if len(np.unique(given.labels)) < 2:
        return _undefined(given, "all samples are of one class")
    return float(matthews_corrcoef(given.labels, given.predicted))


def top_k(given: MetricInput) -> float:
    """Share of samples whose class is among the ``argument`` likeliest."""
    from sklearn.metrics import top_k_accuracy_score

    assert given.argument is not None
    k, classes = int(given.argument), given.outputs.shape[1]
    if k >= classes:
        return _undefined(given, f"it needs more than {k} classes, and there are {classes}")
    if k == 1:
        return accuracy(given)
    every = list(range(classes))
    return float(top_k_accuracy_score(given.labels, given.outputs, k=k, labels=every))


# -- single- and multi-label -------------------------------------------------------------------


def auroc(given: MetricInput) -> float:
    """Area under the ROC curve.

    It is the share of pairs of a positive and a negative sample that are in the right order. From
    ranks it takes a 50th of the time of scikit-learn's, which counts in a bootstrap.
    """
    from scipy.stats import rankdata

    def of_class(truth: Flags, scores: Floats) -> float:
        positive, negative = int(truth.sum()), int((~truth).sum())
        least = positive * (positive + 1) / 2
        return float((rankdata(scores)[truth].sum() - least) / (positive * negative))

    return _over_classes(given, of_class)


def auprc(given: MetricInput) -> float:
    """Area under the precision-recall curve, as average precision."""
    return _over_classes(given, average_precision)


def average_precision(truth: Flags, scores: Floats) -> float:
    """Precision at each distinct score, weighted by the recall that is gained there; both ``(N,)``.

    Equal to scikit-learn's ``average_precision_score``, and faster, which counts in a bootstrap.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # the last of each score
    found = np.cumsum(truth[order])[ends]
    gained = np.diff(found, prepend=0)
    return float((gained * found / (ends + 1)).sum() / truth.sum())


def sensitivity(given: MetricInput) -> float:
    """The largest sensitivity at a specificity of at least ``argument``."""
    from sklearn.metrics import roc_curve

    assert given.argument is not None
    most = 1 - given.argument + 1e-12  # false positive rate

    def at_specificity(truth: Flags, scores: Floats) -> float:
        false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
        return float(true[false <= most].max())

    return _over_classes(given, at_specificity)


def _over_classes(given: MetricInput, measure: Callable[[Flags, Floats], float]) -> float:
    """Of the second of two classes; else the mean over classes, each against all others.

    Classes that no sample has, or all have, are left out of the mean.
    """
    truth, scores = one_vs_rest(given), given.outputs
    if given.labels.ndim == 1 and truth.shape[1] == 2:
        truth, scores = truth[:, 1:], scores[:, 1:]
    absent, always = ~truth.any(axis=0), truth.all(axis=0)
    defined = np.flatnonzero(~absent & ~always)
    if not len(defined):
        return _undefined(given, "no class has both samples with and without it")
    _remark(given, np.flatnonzero(absent), "has no sample")
    _remark(given, np.flatnonzero(always), "is the class of all samples")
    return float(np.mean([measure(truth[:, i], scores[:, i]) for i in defined]))


def one_vs_rest(given: MetricInput) -> Flags:
    """Whether each sample has each class: ``(N, classes)``."""
    if given.labels.ndim > 1:
        flags: Flags = given.labels > 0
        return flags
    single: Flags = given.labels[:, None] == np.arange(given.outputs.shape[1])
    return single


# -- multi-label -------------------------------------------------------------------------------


def mean_average_precision(given: MetricInput) -> float:
    """Mean average precision over the classes that occur."""
    truth = given.labels > 0
    precisions = average_precisions(given.outputs, truth)
    if not precisions:
        return _undefined(given, "no sample has a class")
    _remark(given, np.flatnonzero(~truth.any(axis=0)), "has no sample")
    return float(np.mean(list(precisions.values())))


def average_precisions(probabilities: Floats, truth: Flags) -> dict[int, float]:
    """The average precision of each class that occurs; both arrays ``(N, classes)``."""
    return {
        int(i): average_precision(truth[:, i], probabilities[:, i])
        for i in np.flatnonzero(truth.any(axis=0))
    }


def macro_f1_of_sets(given: MetricInput) -> float:
    """Mean F1 of the classes that occur or are predicted."""
    counts = by_class(given.predicted, given.labels > 0, given.labels.shape[1])
    if not counts.seen.any():
        return _undefined(given, "no class occurs or is predicted")
    return float(counts.f1[counts.seen].mean())


def micro_f1(given: MetricInput) -> float:
    """F1 over all decisions."""
    from sklearn.metrics import f1_score

    truth = given.labels > 0
    if not (truth.any() or given.predicted.any()):
        return _undefined(given, "no class occurs or is predicted")
    return float(f1_score(truth.ravel(), given.predicted.ravel()))


def exact_match(given: MetricInput) -> float:
    """Share of samples with all classes right."""
    return float(((given.labels > 0) == given.predicted).all(axis=1).mean())


def _of_decisions(measure: Callable[[MetricInput], float]) -> Callable[[MetricInput], float]:
    """The mean over classes of a metric of one class against the rest."""

    def mean(given: MetricInput) -> float:
        def of_class(truth: Flags, scores: Floats) -> float:
            decided = scores > 0
            both = np.stack([~decided, decided], axis=1).astype(np.float64)
            return measure(
                MetricInput(
                    predicted=decided.astype(np.int64),
                    outputs=both,
                    labels=truth.astype(np.int64),
                    classes=("no", "yes"),
                )
            )

        return _over_classes(
            MetricInput(
                predicted=given.predicted,
                outputs=given.predicted,
                labels=given.labels,
                classes=given.classes,
                remarks=given.remarks,
            ),
            of_class,
        )

    return mean


balanced_accuracy_of_sets = _of_decisions(balanced_accuracy)
kappa_of_sets = _of_decisions(quadratic_kappa)
mcc_of_sets = _of_decisions(mcc)


# -- regression --------------------------------------------------------------------------------


def _over_columns(measure: Callable[[Floats, Floats], float]) -> Callable[[MetricInput], float]:
    """The mean over the targets for which it is defined."""

    def mean(given: MetricInput) -> float:
        truth = given.labels.astype(np.float64)
        values = [measure(truth[:, i], given.predicted[:, i]) for i in range(truth.shape[1])]
        undefined = [i for i, value in enumerate(values) if math.isnan(value)]
        if len(undefined) == len(values):
            return _undefined(given, "the true values do not vary")
        _remark(given, undefined, "does not vary")
        return float(np.nanmean(values))

    return mean


def mae(truth: Floats, given: Floats) -> float:
    """Mean absolute error; both ``(N,)``."""
    from sklearn.metrics import mean_absolute_error

    return float(mean_absolute_error(truth, given))


def rmse(truth: Floats, given: Floats) -> float:
    """Root mean squared error; both ``(N,)``."""
    from sklearn.metrics import root_mean_squared_error

    return float(root_mean_squared_error(truth, given))


def r2(truth: Floats, given: Floats) -> float:
    """R²; NaN if the true values do not vary. Both ``(N,)``."""
    from sklearn.metrics import r2_score

    if len(truth) < 2:
        return math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = float(r2_score(truth, given, force_finite=False))
    return value if math.isfinite(value) else math.nan


mean_mae, mean_rmse, mean_r2 = map(_over_columns, (mae, rmse, r2))


# -- in words ----------------------------------------------------------------------------------


def _undefined(given: MetricInput, reason: str) -> float:
    given.remark(f"undefined: {reason}")
    return math.nan


def _remark(
    given: MetricInput, places: Sequence[int] | set[int] | NDArray[np.int64], why: str
) -> None:
    """Say which classes or targets a mean leaves out."""
    if not len(places):
        return
    names = [repr(given.classes[int(i)]) for i in sorted(places)]
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    given.remark(f"left out: {shown}, which {why}")


def cheapest_threshold(labels: Flags, scores: Floats, ratio: float) -> float:
    """The threshold with the lowest cost, halfway between two scores; both are ``(N,)``.

    ``ratio`` is what a true label below the threshold costs, if a false one above it costs 1.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, true = scores[order], labels[order].astype(bool)
    costs = np.cumsum(np.where(true, -ratio, 1.0))  # with the first 1, 2, … above it
    ends = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True))  # equal scores go together
    best = int(ends[costs[ends].argmin()])
    if costs[best] >= 0:
        return float((ranked[0] + 1) / 2)
    below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
    return float((ranked[best] + below) / 2)


def best_f1_threshold(labels: Flags, scores: Floats) -> float:
    """The threshold with the highest F1, halfway to the next lower score; both are ``(N,)``.

    At least one label must be true.
    """
    from sklearn.metrics import precision_recall_curve

    precision, recall, limits = precision_recall_curve(labels, scores)
    products = precision[:-1] * recall[:-1]
    place = int((products / np.maximum(precision[:-1] + recall[:-1], 1e-12)).argmax())
    below = limits[place - 1] if place else 0.0
    return float((limits[place] + below) / 2)
