"""An exponential moving average of what trains, which is validated and kept in its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from zoo.errors import RunError

COUNT = "count"
"""The name of the number of updates in the state; a backbone's tensors lie in ``net`` or ``head``."""


class Average:
    """Averages the parameters of a network that take gradients when this is made.

    After update ``n``, counted from 0, the average moves to the parameters by ``1 - d`` of the
    way, where ``d`` is the smaller of ``decay`` and ``(1 + n) / (10 + n)``. So the random start
    is soon forgotten, as in TensorFlow's ``ExponentialMovingAverage`` with ``num_updates``.

    Frozen parameters are not copied. Neither are buffers: the statistics of BatchNorm are moving
    averages already, and those of the network hold for the average too.

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
        """Take the parameters into the average; call it after each step."""
        decay = min(self._decay, (1 + self._count) / (10 + self._count))
        if self._trained:
            move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
            move([*self._averages.values()], [*self._trained.values()], self._count)
        self._count += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The network computes with the average while the block runs; after it all is as before."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        # Values rather than storage, because an LSTM's weights must stay in one piece on a GPU.
        for name, parameter in self._trained.items():
            kept = parameter.detach().clone()
            parameter.copy_(self._averages[name])
            self._averages[name].copy_(kept)

    def state_dict(self) -> dict[str, Tensor]:
        """The averages by the names of the parameters, and ``count``; not copies."""
        return {**self._averages, COUNT: torch.tensor(self._count)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`state_dict` gave; the values are copied.

        Raises:
            RunError: It is of other parameters.
        """
        known = {**self._averages, COUNT: torch.tensor(0)}
        wrong = sorted(known.keys() ^ state.keys())
        wrong += [n for n in known if n in state and state[n].shape != known[n].shape]
        if wrong:
            raise RunError(
                f"the averaged weights are of other parameters than those that train: {wrong[0]}",
                hint="Begin the run again.",
            )
        self._count = int(state[COUNT])
        for name, average in self._averages.items():
            average.copy_(state[name])
