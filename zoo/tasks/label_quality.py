"""How likely labels are right, from probabilities of networks that have not seen them.

Of classes by cleanlab (Northcutt et al. 2021, "Confident Learning: Estimating Uncertainty in Dataset
Labels", arXiv:1911.00068), of numbers by their distance from the prediction.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.samples import LabelArray
from zoo.errors import UsageError

_THRESHOLD = 0.5  # of the probability of a class that a sample has, where it may have several
_FAR = 3.5  # robust standard deviations from a prediction (Iglewicz and Hoaglin 1993)
_NORMAL = 1.4826  # standard deviations in a median absolute deviation


@dataclass(frozen=True)
class LabelQuality:
    """The labels of N samples, judged.

    Attributes:
        quality: ``(N,)`` in [0, 1], low for labels that are probably wrong.
        suggested: The labels by the predictions.
        wrong: ``(N,)``, which labels are probably wrong.
    """

    quality: NDArray[np.float64]
    suggested: LabelArray
    wrong: NDArray[np.bool_]


def require_cleanlab() -> None:
    """Raise a :class:`UsageError` if cleanlab is not installed."""
    try:
        import cleanlab  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "finding wrong labels needs the library cleanlab",
            hint="Install it: pip install 'zoo-finetune[clean]'",
        ) from error


def of_classes(outputs: NDArray[np.float64], labels: LabelArray) -> LabelQuality:
    """Of one class per sample.

    Args:
        outputs: ``(N, classes)``, out-of-sample probabilities.
        labels: ``(N,)``.
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class of few samples
        wrong = np.asarray(find_label_issues(labels, outputs, n_jobs=1), dtype=np.bool_)
    quality = get_label_quality_scores(labels, outputs, method="self_confidence")
    return LabelQuality(quality, outputs.argmax(axis=1), wrong)


def of_sets(outputs: NDArray[np.float64], labels: LabelArray) -> LabelQuality:
    """Of any number of classes per sample.

    Args:
        outputs: ``(N, classes)``, out-of-sample probabilities.
        labels: ``(N, classes)``, multi-hot.
    """
    from cleanlab.multilabel_classification.filter import find_label_issues
    from cleanlab.multilabel_classification.rank import get_label_quality_scores

    suggested = (outputs >= _THRESHOLD).astype(np.float32)
    varies = labels.min(axis=0) < labels.max(axis=0)  # of a constant class nothing is learned
    if varies.sum() == 1:
        has, share = labels[:, varies][:, 0].astype(np.int64), outputs[:, varies][:, 0]
        return replace(of_classes(np.stack((1 - share, share), axis=1), has), suggested=suggested)
    listed = [np.flatnonzero(row).tolist() for row in labels[:, varies]]
    known = np.ascontiguousarray(outputs[:, varies])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class of few samples
        wrong = np.asarray(find_label_issues(listed, known, n_jobs=1), dtype=np.bool_)
    return LabelQuality(get_label_quality_scores(listed, known), suggested, wrong)


def of_numbers(outputs: NDArray[np.float64], labels: LabelArray) -> LabelQuality:
    """Of numbers, by the largest residual of a sample in robust standard deviations.

    Args:
        outputs: ``(N, targets)``, out-of-sample predictions.
        labels: ``(N, targets)``.
    """
    residuals = labels - outputs
    spread = _NORMAL * np.median(np.abs(residuals - np.median(residuals, axis=0)), axis=0)
    largest: Any = (np.abs(residuals) / np.maximum(spread, np.finfo(np.float32).tiny)).max(axis=1)
    return LabelQuality(1 / (1 + largest**2), outputs.astype(np.float32), largest > _FAR)
