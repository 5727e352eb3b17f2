"""Labels of every kind of task, and outputs that are right, wrong and random for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zoo.data.samples import LabelArray
from zoo.tasks import task_named
from zoo.tasks.task import Task

SAMPLES = 24
CONFIDENT = 8.0
"""A logit that leaves no doubt, and a distance of standard deviations that is far off."""


@dataclass(frozen=True)
class Labelled:
    """A task with labels of some samples.

    Attributes:
        task: Fitted to the labels.
        labels: As the task reads them.
        outputs: Number of classes or targets.
    """

    task: Task
    labels: LabelArray
    outputs: int

    @property
    def right(self) -> Tensor:
        """Logits of perfect predictions, ``(N, outputs)``."""
        targets = self.task.targets(torch.from_numpy(self.labels))
        if not self.task.has_classes:
            return targets
        if targets.ndim == 1:
            targets = torch.nn.functional.one_hot(targets, self.outputs)
        return CONFIDENT * (2 * targets.float() - 1)

    @property
    def wrong(self) -> Tensor:
        """Logits of predictions that are all wrong."""
        return -self.right if self.task.has_classes else self.right + CONFIDENT

    def random(self, seed: int) -> Tensor:
        """Logits at random."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(len(self.labels), self.outputs, generator=generator)

    @property
    def in_words(self) -> str:
        """``single-label data with 3 classes``"""
        outputs = "classes" if self.task.has_classes else "targets"
        return f"{self.task.name} data with {self.outputs} {outputs}"


def labelled(name: str, outputs: int) -> Labelled:
    """Seeded labels of a task; every class has samples.

    Raises:
        NameLookupError: There is no such task.
    """
    task, random = task_named(name), np.random.default_rng(0)
    labels: LabelArray
    if not task.has_classes:
        labels = random.normal(3, 2, (SAMPLES, outputs)).astype(np.float32)
    elif task.several:
        places = np.arange(SAMPLES)[:, None] // 2 ** np.arange(outputs)
        labels = (places % 2).astype(np.float32)
    else:
        labels = np.arange(SAMPLES) % outputs
    return Labelled(task.fitted(labels), labels, outputs)


def one_sided(given: Labelled) -> LabelArray:
    """Labels in which the last class does not occur, or all values are the same."""
    labels = given.labels.copy()
    if labels.ndim == 1:
        labels[:] = 0
    elif given.task.several:
        labels[:, -1] = 0
    else:
        labels[:] = labels[0]
    return labels
