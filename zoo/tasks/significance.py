"""Paired significance tests for two runs on the same samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 500
"""Bootstrap samples: an interval and p-value to about 0.01, at the price of an evaluation each."""

EXACT = 25
"""Discordant samples up to which the binomial test is used."""


def mcnemar(better: int, worse: int) -> tuple[str, float]:
    """The name of the test that applies, and its two-sided p-value.

    McNemar's test (1947, doi:10.1007/BF02295996) of right and wrong. Up to :data:`EXACT` discordant
    samples it is the exact binomial test, else chi-squared with Edwards' correction for continuity
    (1948, doi:10.1007/BF02289261); Dietterich (1998, doi:10.1162/089976698300017197) says why this
    test.

    Args:
        better: Number of samples that only the second classifier gets right.
        worse: Number of samples that only the first gets right.
    """
    from scipy.stats import binomtest, chi2

    discordant = better + worse
    if discordant == 0:
        return "mcnemar-exact", 1.0
    if discordant <= EXACT:
        return "mcnemar-exact", float(binomtest(better, discordant, 0.5).pvalue)
    statistic = max(0, abs(better - worse) - 1) ** 2 / discordant
    return "mcnemar-corrected", float(chi2.sf(statistic, df=1))


def resampled(
    value: Callable[[NDArray[np.int64]], float],
    units: Sequence[NDArray[np.int64]],
    advance: Callable[[], None],
) -> NDArray[np.float64]:
    """A metric on :data:`RESAMPLES` bootstrap samples, the same for all runs.

    Args:
        value: The metric of the samples with these indices, in which some occur several times.
        units: What is drawn: samples, or groups of them, by their indices.
        advance: Called after each.
    """
    draw = np.random.default_rng(0)
    values = np.empty(RESAMPLES)
    every = np.concatenate(units)
    alone = len(every) == len(units)
    for place in range(RESAMPLES):
        drawn = draw.integers(len(units), size=len(units))
        values[place] = value(
            every[drawn] if alone else np.concatenate([units[number] for number in drawn])
        )
        advance()
    return values


def units_of(groups: NDArray[np.str_] | None, samples: int) -> list[NDArray[np.int64]]:
    """The indices of each sample, or of each group if there are at least two: the samples of a group
    are not independent."""
    if groups is not None and len(names := np.unique(groups)) > 1:
        return [np.flatnonzero(groups == name) for name in names]
    return [np.array([index]) for index in range(samples)]


def bootstrap(
    differences: NDArray[np.float64],
) -> tuple[float, tuple[float, float] | None]:
    """The two-sided p-value of a paired bootstrap, and the 95 % interval of the difference.

    Efron and Tibshirani 1993, "An introduction to the bootstrap": percentiles, and twice the share
    of bootstrap samples on the other side of 0. If more than half of the differences are NaN, there is
    no interval, and the p-value is 1.

    Args:
        differences: Of a metric, on bootstrap samples; NaN where it is undefined.
    """
    finite = differences[np.isfinite(differences)]
    if len(finite) < len(differences) / 2:
        return 1.0, None
    tail = min((finite <= 0).sum(), (finite >= 0).sum())
    low, high = np.quantile(finite, (0.025, 0.975))
    return min(1.0, 2 * (tail + 1) / (len(finite) + 1)), (float(low), float(high))
