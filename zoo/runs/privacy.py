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


def attack_in_words(found: Mapping[str, Any]) -> str:
    """What the attack of ``membership`` in ``results`` found, and what it means."""
    auc, tpr = found["auc"], found["tpr"]
    text = (
        f"Membership inference by the loss: AUC {auc['value']:.3f} (95 % interval {auc['low']:.3f} to "
        f"{auc['high']:.3f}), {found['train']:,} training against {found['val']:,} validation samples"
    )
    if tpr:
        text += (
            f"; at 1 % false positives it finds {tpr['value']:.1%} of the training samples "
            f"({tpr['low']:.1%} to {tpr['high']:.1%})"
        )
    return f"{text}. {_meaning(auc['low'])} If the two splits differ in kind, that counts as well."


def _meaning(low: float) -> str:
    if low > 0.6:
        return (
            "The loss of a sample tells much about whether it was trained on: do not publish this run "
            "if that must not be known. Less training, more data or --private lower it."
        )
    if low > 0.5:
        return "The loss of a sample tells a little about whether it was trained on."
    return "The loss of a sample does not tell whether it was trained on. A stronger attack may find more."
