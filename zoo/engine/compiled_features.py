"""The features of many batches, compiled where that pays in those that are left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from zoo.contract.network.backbone import Backbone
from zoo.engine.break_even import Timing
from zoo.engine.compile_switch import Stretch, Switch
from zoo.engine.compiler import Compiler
from zoo.engine.streams import Pace, wait_for

_Call = Callable[[Mapping[str, Tensor]], Tensor]

_EVERY = 5  # batches between two readings of the clock, until there is a decision


class Runner(Protocol):
    """What is needed of :class:`zoo.engine.forward.Forward`."""

    backbone: Backbone
    device: torch.device
    precision: str
    ragged: bool

    def features(
        self, batch: Mapping[str, Tensor], *, exact: bool = False, call: _Call | None = None
    ) -> Tensor:
        """The features of a batch, by ``call``."""


class CompiledFeatures:
    """As :meth:`zoo.engine.forward.Forward.features`, in one pass over a split.

    Args:
        forward: Runs the backbone.
        compiler: Of the run.
        what: What is computed, such as ``"features of train"``.
        count: Samples of the pass.
        clock: Seconds.
    """

    def __init__(
        self,
        forward: Runner,
        compiler: Compiler,
        what: str,
        count: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._forward, self._compiler, self._what = forward, compiler, what
        self._count, self._clock = count, clock
        self._pace = Pace(forward.device)
        self._switch: Switch | None = None
        self._size = self._done = self._unread = 0
        self._ended = self._read_at = clock()

    def __call__(self, batch: Mapping[str, Tensor], *, exact: bool = False) -> Tensor:
        """``(B, feature_dim)``, float32, on the device."""
        forward, size = self._forward, len(next(iter(batch.values())))
        switch = self._switch = self._switch or self._begin(size)
        whole = forward.ragged or size == self._size
        call = switch.call(self._done) if whole else None
        with self._pace.step(self._clock() - self._ended):
            try:
                outputs = forward.features(batch, exact=exact, call=call)
            except Exception as error:
                if not (call and switch.failed(error, self._done)):
                    raise
                outputs = forward.features(batch, exact=exact)
        self._done += 1
        self._unread += 1
        if switch.decides and self._unread >= (switch.soon or _EVERY):
            self._read(switch)
        self._ended = self._clock()
        return outputs

    def _begin(self, size: int) -> Switch:
        forward, self._size = self._forward, size
        backbone = forward.backbone
        stretch = Stretch(
            of=self._what,
            number=0,
            net=backbone,
            call=backbone.features,
            shapes=(size, backbone.spec.to_json()["input"], forward.precision),
            dynamic=forward.ragged,
            frozen=True,
            unit="a batch",
        )
        return Switch(self._compiler, stretch, 0)

    def _read(self, switch: Switch) -> None:
        wait_for(self._forward.device)
        now = self._clock()
        timing = Timing(self._unread, now - self._read_at, self._pace.idle())
        self._read_at, self._unread = now, 0
        left = -(-self._count // self._size) - self._done
        switch.add(timing, self._done, max(0, left))
