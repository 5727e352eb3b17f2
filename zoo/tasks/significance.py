"""Whether a difference between two runs on the same samples is more than chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EXACT = 25
"""Discordant samples up to which the binomial test is used."""


def mcnemar(better: int, worse: int) -> tuple[str, float]:
    """The name of the test that fits, and its two-sided p.

    McNemar's test (1947, doi:10.1007/BF02295996) of right and wrong. Up to :data:`EXACT` discordant
    samples it is the exact binomial test, else chi-squared with Edwards' correction for continuity
    (1948, doi:10.1007/BF02289261); Dietterich (1998, doi:10.1162/089976698300017197) says why this
    test.

    Args:
        better: Samples that the second classifier alone has right.
        worse: Those that the first alone has right.
    """
    from scipy.stats import binomtest, chi2

    discordant = better + worse
    if discordant == 0:
        return "mcnemar-exact", 1.0
    if discordant <= EXACT:
        return "mcnemar-exact", float(binomtest(better, discordant, 0.5).pvalue)
    statistic = max(0, abs(better - worse) - 1) ** 2 / discordant
    return "mcnemar-corrected", float(chi2.sf(statistic, df=1))


def wilcoxon(differences: NDArray[np.float64]) -> tuple[str, float]:
    """The name of the test, and its two-sided p.

    Wilcoxon's signed-rank test (1945, doi:10.2307/3001968).

    Args:
        differences: ``(N,)``; those that are not finite count for nothing.
    """
    from scipy import stats

    finite = differences[np.isfinite(differences)]
    return "wilcoxon", float(stats.wilcoxon(finite).pvalue) if finite.any() else 1.0
