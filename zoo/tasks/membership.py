"""How well the loss of a sample tells whether it was trained on: membership inference.

The attack of Yeom et al. 2018 (arXiv:1709.01604): a sample with a low loss is taken for a training
sample. Attacks that train further networks find more; this one costs nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FALSE_POSITIVES = 0.01
"""The false-positive rate at which true positives are counted."""

LEAST = 20
"""Samples of each kind that are needed."""

_DRAWS = 200
_INTERVAL = (2.5, 97.5)  # percentiles


@dataclass(frozen=True)
class BootstrapValue:
    """A value with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Membership:
    """The result of the attack.

    Attributes:
        train: Number of training samples.
        val: Number of validation samples.
        auc: Probability that a training sample has a lower loss than a validation sample; 0.5 if
            losses tell nothing.
        tpr: Share of training samples found while 1 % of the validation samples are taken for such;
            ``None`` with fewer than 100 of these.
    """

    train: int
    val: int
    auc: BootstrapValue
    tpr: BootstrapValue | None

    def to_json(self) -> dict[str, Any]:
        """Its entry in ``run.json``."""
        return asdict(self)


def membership(
    train: NDArray[np.float64], val: NDArray[np.float64], *, seed: int = 0
) -> Membership | None:
    """Attack the losses of training samples, ``(N,)``, and others, ``(M,)``; ``None`` if too few."""
    if min(len(train), len(val)) < LEAST or not np.isfinite(train.sum() + val.sum()):
        return None
    drawn = np.random.default_rng(seed)
    pairs = [(drawn.choice(train, len(train)), drawn.choice(val, len(val))) for _ in range(_DRAWS)]
    enough = len(val) * FALSE_POSITIVES >= 1
    return Membership(
        train=len(train),
        val=len(val),
        auc=_estimate(auc(train, val), [auc(*pair) for pair in pairs]),
        tpr=_estimate(tpr(train, val), [tpr(*pair) for pair in pairs]) if enough else None,
    )


def auc(train: NDArray[np.float64], val: NDArray[np.float64]) -> float:
    """The share of pairs in which the training sample has the lower loss; ties count half."""
    others = np.sort(val)
    higher = len(others) - np.searchsorted(others, train, side="right")
    same = np.searchsorted(others, train, side="right") - np.searchsorted(others, train)
    return float((higher + 0.5 * same).mean() / len(others))


def tpr(train: NDArray[np.float64], val: NDArray[np.float64]) -> float:
    """The share of training samples below the loss that 1 % of the others are below."""
    limit = np.sort(val)[int(FALSE_POSITIVES * len(val))]
    return float((train < limit).mean())


def _estimate(value: float, draws: list[float]) -> BootstrapValue:
    low, high = np.percentile(draws, _INTERVAL)
    return BootstrapValue(*(round(float(each), 4) for each in (value, low, high)))
