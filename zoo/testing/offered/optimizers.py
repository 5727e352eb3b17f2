"""Optimisers: a few steps lower a loss, and a stopped run continues to the same bytes."""

from __future__ import annotations

import torch
from torch import nn

from zoo.contract.extensions import OptimizerSpec
from zoo.engine.optimizer_state import OptimizerState
from zoo.engine.optimizers import make_optimizer
from zoo.registry.offers import Offer

_STEPS, _STOP = 9, 4
_LR = 0.01


def check_optimizer(offer: Offer[OptimizerSpec]) -> None:
    """Train in one piece, and stopped in between with the state that a checkpoint keeps."""
    whole, stopped = _Training(offer), _Training(offer)
    before = whole.loss().item()
    whole.train(0, _STEPS)
    after = whole.loss().item()
    assert after < before, (
        f"{offer}: the loss rises in {_STEPS} steps, from {before:.4g} to {after:.4g}"
    )
    stopped.train(0, _STOP)
    resumed = _Training(offer)
    resumed.net.load_state_dict(stopped.net.state_dict())
    resumed.state.load_tensors(
        {key: value.clone() for key, value in stopped.state.tensors().items()}
    )
    resumed.train(_STOP, _STEPS)
    for (name, expected), found in zip(
        whole.net.named_parameters(), resumed.net.parameters(), strict=True
    ):
        assert torch.equal(expected, found), (
            f"{offer}: a run that is stopped and resumed ends with other values of {name!r}: what "
            "the optimiser remembers must be tensors or numbers, in its state or its groups"
        )


class _Training:
    """A small network, an image-like batch, and the optimiser."""

    def __init__(self, offer: Offer[OptimizerSpec]) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.net = nn.Sequential(
                nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 3)
            )
            self._images, self._labels = torch.randn(8, 3, 6, 6), torch.arange(8) % 3
        vectors = [p for p in self.net.parameters() if p.ndim == 1]
        matrices = [p for p in self.net.parameters() if p.ndim > 1]
        self._groups = [
            {
                "params": matrices,
                "lr": _LR,
                "full_lr": _LR,
                "name": "matrices",
                "weight_decay": 0.1,
            },
            {"params": vectors, "lr": _LR, "full_lr": _LR, "name": "vectors", "weight_decay": 0.0},
        ]
        self._optimizer = make_optimizer(offer, self._groups, torch.device("cpu"))
        self.state = OptimizerState(self._optimizer, dict(self.net.named_parameters()))

    def loss(self) -> torch.Tensor:
        return nn.functional.cross_entropy(self.net(self._images), self._labels)

    def train(self, start: int, stop: int) -> None:
        for number in range(start, stop):
            for group in self._optimizer.param_groups:
                group["lr"] = group["full_lr"] / (1 + number)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(number)
                self.loss().backward()  # type: ignore[no-untyped-call]
                self._optimizer.step()
            self._optimizer.zero_grad()
