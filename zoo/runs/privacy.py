"""The privacy of a run in words: for the terminal, the report and the model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NOT_COVERED = (
    "The guarantee is for each training sample. It does not cover the validation samples, which "
    "choose the epoch, centre and scale the features, and are what the metrics, the calibration and "
    "predictions.parquet are computed from; nor the list of classes, the number of samples, and "
    "input settings measured on the data, such as the value range of images.",
    "Features of all samples are cached on disk without noise, and run.json has a fingerprint of the "
    "data: publish the run with 'zoo push', which leaves both out. Every further run on the same data "
    "spends its own epsilon: the epsilons add up.",
    "The noise is drawn from a key of the system that is not kept, so that 'zoo rerun' gives other "
    "weights. Floating-point noise has known attacks; nothing is done against them.",
)
"""What the guarantee does not say."""

_GROUPS = (
    "Samples have groups here, and the guarantee is not of groups: a group of k samples has k times "
    "this epsilon."
)


def guarantee(privacy: Mapping[str, Any]) -> str:
    """The guarantee of ``privacy`` in ``run.json``, in one line."""
    return (
        f"Differential privacy of each training sample: epsilon {privacy['epsilon']:g}, delta "
        f"{privacy['delta']:.2g}"
    )


def mechanism(privacy: Mapping[str, Any]) -> str:
    """What the guarantee follows from, in one line."""
    return (
        f"DP-SGD with noise multiplier {privacy['noise_multiplier']:.3g}, clipping norm "
        f"{privacy['clipping_norm']:g}, Poisson sampling at rate {privacy['sampling_rate']:.3g}, "
        f"{privacy['steps']:,} steps; {privacy['accountant']}"
    )


def not_covered(privacy: Mapping[str, Any]) -> list[str]:
    """What the guarantee does not say, in sentences."""
    return [*NOT_COVERED, *([_GROUPS] if privacy["groups"] else [])]
