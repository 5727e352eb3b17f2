"""Paired significance tests for two runs on the same samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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


def wilcoxon(differences: NDArray[np.float64]) -> tuple[str, float]:
    """The name of the test, and its two-sided p-value.

    Wilcoxon's signed-rank test (1945, doi:10.2307/3001968).

    Args:
        differences: ``(N,)``; values that are not finite are ignored.
    """
    from scipy import stats

    finite = differences[np.isfinite(differences)]
    return "wilcoxon", float(stats.wilcoxon(finite).pvalue) if finite.any() else 1.0
