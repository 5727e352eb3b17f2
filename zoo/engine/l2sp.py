"""A pull towards the weights that training started from: L2-SP (Li et al. 2018, arXiv:1802.01483)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.contract.backbone import Backbone

HEAD_PULL = 0.01
"""Strength of the head's pull to zero, which has no weights to start from: the paper's beta."""


class L2SP:
    """Adds the gradients of ``alpha/2 |w - w0|² + beta/2 |v|²`` before a step of the optimiser.

    ``w`` are the backbone's parameters, ``w0`` what they were when this was made, ``v`` the
    head's. The gradients are added rather than the penalty to the loss: they are known without a
    graph over all parameters, and come once a step whatever parts or processes its samples are
    dealt out to. It stands in place of a weight decay, which would pull to zero at the same time.

    What takes no gradient when this is made is not copied, and is not pulled if it trains later;
    neither is a parameter that the backbone gets later, such as an adapter's.

    Args:
        backbone: On the device where it trains.
        alpha: Strength, at least 0; the paper searches between 0.001 and 1.
        beta: Strength of the head's pull to zero, at least 0.
    """

    def __init__(self, backbone: Backbone, alpha: float, beta: float = HEAD_PULL) -> None:
        self._backbone, self._alpha, self._beta = backbone, alpha, beta
        self._starts: list[tuple[nn.Parameter, Tensor]] = [
            (parameter, parameter.detach().clone())
            for parameter in backbone.net.parameters()
            if parameter.requires_grad
        ]

    @torch.no_grad()
    def add_gradients(self) -> None:
        """Add the pull to the gradients of what trains now; call it once before each step."""
        for parameter, start in self._starts:
            if parameter.requires_grad:
                _add(parameter, parameter - start, self._alpha)
        for parameter in self._backbone.head.parameters():
            if parameter.requires_grad:
                _add(parameter, parameter, self._beta)


def _add(parameter: nn.Parameter, direction: Tensor, strength: float) -> None:
    if parameter.grad is None:
        parameter.grad = direction * strength
    else:
        parameter.grad.add_(direction, alpha=strength)
