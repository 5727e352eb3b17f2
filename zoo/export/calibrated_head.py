"""The temperature of a run as part of its network, so that exports have calibrated probabilities."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.contract.network.backbone import Backbone


def divide_logits(backbone: Backbone, temperature: float) -> None:
    """Divide the logits of ``backbone`` by ``temperature``, in place.

    A linear head stays one, with other weights, so that its library still loads it.
    """
    head = backbone.head
    if temperature == 1:
        return
    if not isinstance(head, nn.Linear):
        backbone.head = nn.Sequential(head, _Divided(temperature))
        return
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.div_(temperature)


class _Divided(nn.Module):
    def __init__(self, temperature: float) -> None:
        super().__init__()
        self._temperature = temperature

    def forward(self, logits: Tensor) -> Tensor:
        return logits / self._temperature
