"""What compiles for a run: as asked for, where measured to pay, or as an earlier run decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from zoo.engine.compile_costs import Costs
from zoo.engine.compiled import compile_cache, forget_compiled
from zoo.engine.progress import Reporter
from zoo.system.paths import COMPILED, cache_folder

Entry = dict[str, Any]
"""A decision as in ``run.json``: where (``of``, ``number``, ``trained``), ``how``, from which step
on (``start``) and up to which (``stop``), ``verdict``, and its times in seconds."""


@dataclass
class Compiler:
    """Compiles for one run, and keeps what was decided.

    Attributes:
        requested: ``on`` compiles from the first step; ``auto`` where a measurement says that it
            pays.
        device: The device.
        reporter: Receives decisions.
        journal: What was decided so far; it is saved with the run.
        replayed: What an earlier run decided, to do the same; ``None`` to decide.
        costs: What compiling has cost before.
    """

    requested: str
    device: torch.device
    reporter: Reporter
    journal: list[Entry] = field(default_factory=list)
    replayed: Sequence[Mapping[str, Any]] | None = None
    costs: Costs = field(default_factory=lambda: Costs(cache_folder() / COMPILED / "costs"))
    _stack: ExitStack = field(default_factory=ExitStack)
    _begun: bool = False

    def begin(self) -> None:
        """Import torch's compiler, with its cache, once; frees what was compiled before."""
        if not self._begun:
            self._stack.enter_context(compile_cache())
            self._begun = True
        forget_compiled()

    def close(self) -> None:
        """Stop using the cache."""
        self._stack.close()
        self._begun = False

    @cached_property
    def machine(self) -> list[object]:
        """What compiled code depends on beside the network and its inputs."""
        cuda = self.device.type == "cuda"
        name = torch.cuda.get_device_name(self.device) if cuda else self.device.type
        return [torch.__version__, name]


@contextmanager
def compiling(
    requested: str,
    device: torch.device,
    reporter: Reporter,
    *,
    alone: bool = True,
    replayed: Sequence[Mapping[str, Any]] | None = None,
) -> Iterator[Compiler | None]:
    """The compiler while the block runs; ``None`` if nothing is compiled.

    Args:
        requested: ``auto``, ``on`` or ``off``. ``auto`` compiles on CUDA, in one process: on a CPU
            steps do not get faster, and several processes could decide differently.
        device: The device.
        reporter: Receives decisions.
        alone: Whether there is one process.
        replayed: What an earlier run decided.

    Raises:
        UsageError: ``on``, and other users can write to the cache of compiled code.
    """
    chosen = requested == "on" or (requested == "auto" and device.type == "cuda" and alone)
    if not chosen and not replayed:
        yield None
        return
    compiler = Compiler(requested, device, reporter, replayed=replayed)
    try:
        if requested == "on":
            compiler.begin()
        yield compiler
    finally:
        compiler.close()
