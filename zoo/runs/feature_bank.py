"""Features of training samples, to tell how unlike them a new input is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from zoo.data.sequences import Indices
from zoo.errors import RunError, WeightsError
from zoo.system.tensors.files import write_tensors
from zoo.weights.loading.load import read_state_dict

BANK = "feature_bank.safetensors"

MOST = 1000
"""Training samples whose features are kept, and held-out samples whose distances are."""

_KEY = "features"


@dataclass(frozen=True)
class FeatureBank:
    """Features of some training samples.

    The distance of an input is one minus the cosine of its features and those of the nearest kept
    training sample (Sun et al. 2022, arXiv:2204.06507, whose best neighbour is the 0.1 % of their
    samples, which is the first of 1,000). It needs no labels, so it is the same for every task, and
    unlike the energy of the logits it does not depend on how sure the head is.

    Attributes:
        features: ``(samples, feature_dim)`` of float16, each row of length 1.
    """

    features: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Self:
        """The bank of ``(samples, feature_dim)``."""
        return cls(functional.normalize(features.float(), dim=1).half())

    def to(self, device: torch.device) -> FeatureBank:
        """The same bank on a device."""
        return FeatureBank(self.features.to(device))

    def distances(self, features: Tensor) -> Tensor:
        """The distance of each of ``(B, feature_dim)``, float32: ``(B,)``, in [0, 2]."""
        rows = functional.normalize(features.float(), dim=1)
        cosines = rows @ self.features.float().T  # (B, samples)
        return 1 - cosines.amax(dim=1)

    def write(self, folder: Path) -> None:
        """Write it to a run folder; ``OSError`` if that fails."""
        write_tensors(folder / BANK, {_KEY: self.features}, {})


def read_bank(folder: Path, feature_dim: int) -> FeatureBank | None:
    """The bank of a run folder; ``None`` if there is none.

    Raises:
        RunError: It is damaged.
    """
    path = folder / BANK
    if not path.is_file():
        return None
    try:
        features = read_state_dict(path).get(_KEY)
    except WeightsError as error:
        raise _damaged(path, error.message) from error
    if features is None or features.ndim != 2 or features.shape[1] != feature_dim:
        raise _damaged(path, f"its features are not (samples, {feature_dim})")
    if not len(features) or not features.is_floating_point() or not features.isfinite().all():
        raise _damaged(path, "its features are not finite numbers")
    return FeatureBank(features)


def some_of(count: int, seed: int) -> Indices:
    """The places of up to :data:`MOST` of ``count`` samples, drawn at random, in order."""
    chosen: Indices = np.sort(np.random.default_rng(seed).permutation(count)[:MOST])
    return chosen


def _damaged(path: Path, why: str) -> RunError:
    return RunError(
        f"{path} is damaged: {why}",
        hint="Restore it from a copy of the run, or predict without --reject.",
    )
