"""What an evaluation measures: never samples that the run was trained on without saying so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from zoo.data.leakage import Contents
from zoo.data.samples import Samples
from zoo.errors import DataError

UNSEEN = "unseen"
"""The split of data without splits from which what was trained on has been left out."""


@dataclass(frozen=True)
class EvaluationSamples:
    """The samples of one split that are measured.

    Attributes:
        samples: What is measured.
        left_out: How many more the split has, which the run was trained on.
        trained_on: How many of ``samples`` have contents that the run was trained on too: of its own
            validation samples, which stay whole, so that their metrics are those of the run.
        notes: What else is left out, a fact each.
    """

    samples: Samples
    left_out: int = 0
    trained_on: int = 0
    notes: tuple[str, ...] = ()


def evaluation_samples(
    held_out: Mapping[str, Samples], trained: Contents | None, own: str
) -> dict[str, EvaluationSamples]:
    """What is measured of each split, by name.

    Samples are recognised by their contents, wherever they lie and whatever they are called.

    Args:
        held_out: What the data offer.
        trained: The contents that the run was trained on; ``None`` where that is not known.
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
                f"the run was trained on all {count:,} samples of {name!r}, and nothing is left to "
                "measure it on",
                hint="Give data that it has not seen.",
            )
        elif count:
            left = samples.select(np.flatnonzero(~seen))
            chosen[UNSEEN if name == "all" else name] = EvaluationSamples(left, left_out=count)
        else:
            chosen[name] = EvaluationSamples(samples)
    return chosen
