"""Exponential moving average (EMA) of the trained weights, which is validated and saved instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from zoo.errors import RunError

COUNT = "count"
"""Key of the number of updates in the state; the other keys begin with ``net.`` or ``head.``."""


class Average:
    """Averages the parameters of a network that take gradients at construction.

    After update ``n``, counted from 0, the average moves to the parameters by ``1 - d`` of the
    way, where ``d`` is the smaller of ``decay`` and ``(1 + n) / (10 + n)``. This soon forgets the
    random start, as in TensorFlow's ``ExponentialMovingAverage`` with ``num_updates``.

    Frozen parameters are not copied. Neither are buffers: BatchNorm statistics are moving averages
    already.

    Args:
        network: On the device where it trains.
        decay: In (0, 1).
    """

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        self._decay, self._count = decay, 0
        self._trained = {n: p for n, p in network.named_parameters() if p.requires_grad}
        self._averages = {name: p.detach().clone() for name, p in self._trained.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Update the average; call it after each step."""
        decay = min(self._decay, (1 + self._count) / (10 + self._count))
        if self._trained:
            move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
            move([*self._averages.values()], [*self._trained.values()], self._count)
        self._count += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Use the average as the network's parameters while the block runs."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        # Swap values, not storage: an LSTM's weights must stay contiguous on a GPU.
        for name, parameter in self._trained.items():
            kept = parameter.detach().clone()
            parameter.copy_(self._averages[name])
            self._averages[name].copy_(kept)

    def state_dict(self) -> dict[str, Tensor]:
        """The averages by the names of the parameters, and ``count``; not copies."""
        return {**self._averages, COUNT: torch.tensor(self._count)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load what :meth:`state_dict` returned; the values are copied.

        Raises:
            RunError: The parameters differ.
        """
        known = {**self._averages, COUNT: torch.tensor(0)}
        wrong = sorted(known.keys() ^ state.keys())
        wrong += [n for n in known if n in state and state[n].shape != known[n].shape]
        if wrong:
            raise RunError(
                f"the saved EMA weights do not match the trained parameters: {wrong[0]}",
                hint="Start a new run.",
            )
        self._count = int(state[COUNT])
        for name, average in self._averages.items():
            average.copy_(state[name])
