"""What a method is given and returns, and what several of them share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

BATCH = 32

NETWORK = "tf_efficientnet_lite0"
"""timm's name of the image network."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run of a method.

    Attributes:
        dataset: ``images`` or ``texts``.
        data: A folder of images with ``train``, ``val`` and ``test``; or with the same as ``.tsv``.
        start: A file of image weights, or the folder of a text encoder.
        epochs: Number of epochs; 0 if the method has none.
        seed: Seeds everything random.
        size: Image height and width, and at most so many tokens.
        samples: Number of training samples.
        work: A folder for what the method writes.
    """

    dataset: str
    data: Path
    start: Path
    epochs: int
    seed: int
    size: int
    samples: int
    work: Path

    @property
    def batch(self) -> int:
        """Batch size: 32, or all samples if they are fewer."""
        return min(BATCH, self.samples)

    @property
    def length(self) -> int:
        """Maximum number of tokens."""
        return min(self.size, 128)


@dataclass(frozen=True)
class Scores:
    """Accuracy of the epoch that is best on ``val``, there and on ``test``."""

    val: float
    test: float


class Best:
    """Keeps the parameters of the epoch that is best on ``val``."""

    def __init__(self) -> None:
        self.val = -1.0
        self._state: dict[str, Any] = {}

    def update(self, net: nn.Module, val: float) -> None:
        """Keep a copy if ``val`` is higher than before."""
        if val > self.val:
            self.val = val
            self._state = {name: tensor.clone() for name, tensor in net.state_dict().items()}

    def restore(self, net: nn.Module) -> nn.Module:
        """Load the kept parameters."""
        net.load_state_dict(self._state)
        return net
