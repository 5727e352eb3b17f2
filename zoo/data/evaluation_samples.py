"""The samples to evaluate a run on, without those that it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from zoo.data.leakage import Contents
from zoo.data.samples import Samples
from zoo.errors import DataError

UNSEEN = "unseen"
"""The name for data without splits after samples seen in training are dropped."""


@dataclass(frozen=True)
class EvaluationSamples:
    """The samples of one split to evaluate on.

    Attributes:
        samples: The samples.
        left_out: How many were dropped because the run was trained on them.
        trained_on: How many of ``samples`` have duplicates in training. Only the run's own
            validation split keeps such samples, so that its metrics match those of the run.
        notes: What else was left out, one note each.
    """

    samples: Samples
    left_out: int = 0
    trained_on: int = 0
    notes: tuple[str, ...] = ()


def evaluation_samples(
    held_out: Mapping[str, Samples], trained: Contents | None, own: str
) -> dict[str, EvaluationSamples]:
    """The samples to evaluate on, by split.

    Samples are recognised by their contents, whatever their path.

    Args:
        held_out: The splits of the data.
        trained: The contents that the run was trained on; ``None`` if unknown.
        own: The fingerprint of the run's own validation samples.

    Raises:
        DataError: The run was trained on all samples of a split.
    """
    chosen = {}
    for name, samples in held_out.items():
        if trained is None or samples.contents is None:
            chosen[name] = EvaluationSamples(samples)
            continue
        seen = np.isin(samples.contents, trained)
        count = int(seen.sum())
        if samples.fingerprint == own:
            chosen[name] = EvaluationSamples(samples, trained_on=count)
        elif count == len(samples):
            raise DataError(
                f"the run was trained on all {count:,} samples of {name!r}, so none is left to "
                "evaluate on",
                hint="Use data that the run has not seen.",
            )
        elif count:
            left = samples.select(np.flatnonzero(~seen))
            chosen[UNSEEN if name == "all" else name] = EvaluationSamples(left, left_out=count)
        else:
            chosen[name] = EvaluationSamples(samples)
    return chosen
