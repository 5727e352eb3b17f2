"""Epochs that cross-validation has chosen, for training on all samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from zoo.engine.strategies import Phase


@dataclass(frozen=True, kw_only=True)
class ChosenEpochs:
    """Which epochs are kept when all samples are trained on, so that none is left to choose by.

    Attributes:
        kept: By phase, the epoch to keep, from 1. Training ends after the last.
        by_epoch: By phase, from 0, and epoch, from 1: the mean of the metrics of the folds.
        metrics: The metrics of the run: those of ``logits``.
        logits: The outputs for the samples, each from the fold that did not train on it.
    """

    kept: tuple[int, ...]
    by_epoch: Mapping[tuple[int, int], Mapping[str, float]]
    metrics: Mapping[str, float]
    logits: Tensor

    def epochs(self, number: int, phase: Phase) -> int:
        """How many epochs of a phase, from 0, are trained.

        A phase in steps before the last ends as it does in the folds. Of the strengths of L-BFGS the
        weaker ones are not needed.
        """
        if number >= len(self.kept):
            return 0
        last = number == len(self.kept) - 1
        return self.kept[number] if last or phase.solved else phase.epochs

    def keeps(self, number: int, epoch: int, phase: Phase) -> bool:
        """Whether the parameters after an epoch are kept: at the end, or to start the next phase."""
        last = number == len(self.kept) - 1
        return epoch == self.kept[number] and (last or phase.solved)
