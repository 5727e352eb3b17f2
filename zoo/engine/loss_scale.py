"""Loss scaling for float16, whose smallest gradients would become zero."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_SCALE, _TRACKER = "scale", "_growth_tracker"


class LossScale:
    """Multiplies the loss, and skips a step whose gradients are not finite.

    Torch's ``GradScaler``: it halves the scale after such a step, and doubles it after 2,000 steps
    without one. With an optimiser that is not fused, the host waits for the device in each step.

    Args:
        device: Where the gradients are.
    """

    def __init__(self, device: torch.device) -> None:
        self._scaler = torch.amp.GradScaler(device.type)

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss to call ``backward`` on."""
        scaled: Tensor = self._scaler.scale(loss)
        return scaled

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Divide the gradients by the scale; once a step, before they are clipped."""
        self._scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Take the step if all gradients are finite, and adapt the scale."""
        self._scaler.step(optimizer)
        self._scaler.update()

    def tensors(self) -> dict[str, Tensor]:
        """The state."""
        state = self._scaler.state_dict()
        return {
            _SCALE: torch.tensor(state[_SCALE], dtype=torch.float64),
            _TRACKER: torch.tensor(state[_TRACKER]),
        }

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Load what :meth:`tensors` returned."""
        state = {_SCALE: float(tensors[_SCALE]), _TRACKER: int(tensors[_TRACKER])}
        self._scaler.load_state_dict({**self._scaler.state_dict(), **state})
