"""L2-SP: a penalty on the distance from the pretrained weights (Li et al. 2018, arXiv:1802.01483)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo.contract.network.backbone import Backbone

HEAD_PULL = 0.01
"""Weight decay of the head, which has no pretrained weights: the paper's beta."""


class L2SP:
    """Adds the gradients of ``alpha/2 |w - w0|² + beta/2 |v|²`` before a step of the optimiser.

    ``w`` are the backbone's parameters, ``w0`` their values at construction, ``v`` the head's.
    Adding gradients needs no graph over all parameters, and happens once per step, however its
    samples are split into micro-batches and over processes. It replaces weight decay, which would
    pull towards zero.

    Parameters that take no gradient at construction are left out for good, and so are those
    that the backbone gets later, such as adapters.

    Args:
        backbone: On the device where it trains.
        alpha: Strength, at least 0; the paper searches between 0.001 and 1.
        beta: Weight decay of the head, at least 0.
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
        """Add the gradients of the penalty; call it once before each optimiser step."""
        moved = [(p, start) for p, start in self._starts if p.requires_grad]
        if moved:
            parameters, starts = (list(each) for each in zip(*moved, strict=True))
            _add(parameters, torch._foreach_sub(parameters, starts), self._alpha)
        head = [p for p in self._backbone.head.parameters() if p.requires_grad]
        if head:
            _add(head, head, self._beta)


def _add(parameters: Sequence[nn.Parameter], directions: Sequence[Tensor], strength: float) -> None:
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    torch._foreach_add_(gradients, list(directions), alpha=strength)
