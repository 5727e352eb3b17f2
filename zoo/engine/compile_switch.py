"""The steps of a stretch of training, or of one pass: which of them run compiled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import nn

from zoo.engine.break_even import Decision, How, Timing, Trial
from zoo.engine.compiled import TOO_OFTEN, Call, compiled, described, kinds, reason_of, refusal
from zoo.engine.compiler import Compiler, Entry
from zoo.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Steps that the same code runs: of a phase with the same trained parameters, or one pass.

    Attributes:
        of: The phase's name, or what is computed.
        number: The phase's number.
        net: The network that runs.
        call: The network, or its method that runs.
        shapes: What identifies the shapes of the inputs, and the precision.
        dynamic: Whether the inputs vary in more than their number.
        graphs: Whether CUDA graphs may be recorded.
        frozen: Whether it is inference with parameters that do not change.
        unit: What is counted.
    """

    of: str
    number: int
    net: nn.Module
    call: Call
    shapes: Sequence[object]
    dynamic: bool
    graphs: bool = False
    frozen: bool = False
    unit: str = "a step"


class Switch:
    """Which steps of a stretch run compiled.

    Args:
        compiler: Of the run.
        stretch: Its steps.
        start: The first step, from 0.
    """

    def __init__(self, compiler: Compiler, stretch: Stretch, start: int) -> None:
        self._compiler, self._stretch, self._start = compiler, stretch, start
        # Now: another stretch trains others of the same parameters.
        self._trained = sum(p.requires_grad for p in stretch.net.parameters())
        self._made: dict[How, Call] = {}
        self._fresh = False
        self._trial: Trial | None = None
        self._how: How | None = None  # of the next step
        self._waiting: list[How] = ["code", "graphs"] if stretch.graphs else ["code"]
        self._replayed: Sequence[Mapping[str, Any]] | None = compiler.replayed
        if compiler.requested == "on" and not any(map(self._is_ours, self._replayed or ())):
            self._replayed = None
        if self._replayed is None:
            self._begin()

    def _begin(self) -> None:
        entries = [entry for entry in self._compiler.journal if self._is_ours(entry)]
        if entries:  # resumed
            open_ones = [e for e in entries if e["start"] is not None and e["stop"] is None]
            self._how = open_ones[-1]["how"] if open_ones else None
            if self._how and entries[-1]["verdict"] == "trial":
                self._waiting = self._waiting[self._waiting.index(self._how) :]
                self._try(before=entries[-1]["before"])
        elif self._compiler.requested == "on":
            self._how = "code"
            self._write("code", Decision(verdict="asked"), self._start)
        elif not (self._stretch.frozen and self._stretch.dynamic):
            self._try()  # texts come in order of length: their batches cannot be compared

    @property
    def soon(self) -> int | None:
        """After how many steps the next timing is needed; ``None`` for at any time."""
        return self._trial.soon if self._trial else None

    @property
    def decides(self) -> bool:
        """Whether timings are needed."""
        return self._trial is not None

    def call(self, step: int) -> Call | None:
        """The compiled network for ``step``; ``None`` to run the network itself."""
        how = self._replayed_at(step) if self._replayed is not None else self._how
        if how is None:
            return None
        if how not in self._made:
            try:
                self._made[how] = self._make(how)
            except UsageError as error:  # others could place code where it would be kept
                if self._compiler.requested == "on":
                    raise
                self._give_up(how, error.message, step)
                return self.call(step)
            self._fresh = True
        return self._made[how]

    def fresh(self) -> bool:
        """Whether code was compiled since the last call."""
        fresh, self._fresh = self._fresh, False
        return fresh

    def _make(self, how: How) -> Call:
        stretch = self._stretch
        if not self._made:
            self._compiler.begin()
        return compiled(
            stretch.call, stretch.net, dynamic=stretch.dynamic, frozen=stretch.frozen, how=how
        )

    # -- deciding ----------------------------------------------------------------------------

    def add(self, timing: Timing, done: int, left: int) -> None:
        """Add measured steps.

        Args:
            timing: Their seconds.
            done: Steps done, so that the next one has this number.
            left: Steps that are left in the stretch.
        """
        if not self._trial or not (decision := self._trial.add(timing, left)):
            return
        how = self._waiting[0]
        if decision.verdict == "trial":
            self._stop(done)
            self._write(how, decision, done)
            self._how = how
            return
        self._say(how, decision)
        self._waiting.pop(0)
        self._trial = None
        if decision.verdict == "too few steps":
            self._write(how, decision, None)
            return
        self._compiler.costs.keep(self._key, how, decision)
        self._entry().update(_measured(decision))
        if decision.verdict == "slower":
            self._stop(done)
            self._go_back(done)
        elif self._waiting:
            self._try(before=0.0)

    def failed(self, error: Exception, step: int) -> bool:
        """Go back after an error in a compiled step, which has to be repeated.

        Returns:
            Whether compiling was at fault, or may have been; else the error is the network's.

        Raises:
            UsageError: The network cannot be compiled, as was asked for.
        """
        how = self._replayed_at(step) if self._replayed is not None else self._how
        if how is None:
            return False
        reason = reason_of(error)
        tried = self._trial is not None and self._trial.compiles
        if reason is None and not tried:
            return False
        if self._compiler.requested == "on" and not tried and reason != TOO_OFTEN:
            raise refusal(str(reason)) from error
        self._give_up(how, reason or f"{type(error).__name__} when compiled", step)
        return True

    def _give_up(self, how: How, reason: str, step: int) -> None:
        """Go on from ``step`` without, or as before the trial."""
        tried = self._trial is not None and self._trial.compiles
        decision = Decision(verdict="failed", reason=reason)
        self._say(how, decision)
        self._trial, self._waiting = None, []
        if self._replayed is not None:
            self._replayed = None
            self._write(how, decision, step)
        self._entry().update(verdict="failed", reason=reason)
        self._stop(step)
        self._how = None
        if tried:
            self._go_back(step)

    def end(self, step: int) -> None:
        """The stretch ends before ``step``."""
        self._stop(step)

    def _try(self, before: float = 0.0) -> None:
        """Begin to measure, or to compile if ``before`` was measured."""
        expected = self._compiler.costs.expected(
            self._key, self._waiting[0], kinds(self._stretch.net)[1] or _parts(self._stretch.net)
        )
        self._trial = Trial(expected, before)

    def _go_back(self, step: int) -> None:
        """Run what was kept before the latest trial."""
        kept = [e for e in self._compiler.journal if self._is_ours(e) and e["verdict"] == "faster"]
        self._how = kept[-1]["how"] if kept else None
        if kept:
            self._compiler.journal.append({**kept[-1], "start": step, "stop": None})

    def _say(self, how: How, decision: Decision) -> None:
        of = f"{self._stretch.of}, " if self._stretch.frozen else ""
        graphs = "CUDA graphs " if how == "graphs" else ""
        self._compiler.reporter.note(decision.in_words(of + graphs, self._stretch.unit))

    @cached_property
    def _key(self) -> list[object]:
        stretch = self._stretch
        network = [described(stretch.net), stretch.frozen, stretch.dynamic]
        return [*self._compiler.machine, *network, *stretch.shapes]

    # -- journal -----------------------------------------------------------------------------

    def _is_ours(self, entry: Mapping[str, Any]) -> bool:
        stretch = self._stretch
        ours = (stretch.of, stretch.number, self._trained)
        return (entry["of"], entry["number"], entry["trained"]) == ours

    def _write(self, how: How, decision: Decision, start: int | None) -> None:
        stretch = self._stretch
        entry = {"of": stretch.of, "number": stretch.number, "trained": self._trained}
        span = {"how": how, "start": start, "stop": None}
        self._compiler.journal.append({**entry, **span, **_measured(decision)})

    def _entry(self) -> Entry:
        return [entry for entry in self._compiler.journal if self._is_ours(entry)][-1]

    def _stop(self, step: int) -> None:
        """Close the entry that is open."""
        for entry in self._compiler.journal:
            if self._is_ours(entry) and entry["start"] is not None and entry["stop"] is None:
                entry["stop"] = step

    def _replayed_at(self, step: int) -> How | None:
        """What an earlier run had at ``step``; its decisions become this run's."""
        how: How | None = None
        for entry in filter(self._is_ours, self._replayed or ()):
            if entry not in self._compiler.journal:
                self._compiler.journal.append(dict(entry))
            start, stop = entry["start"], entry["stop"]
            if start is not None and start <= step and (stop is None or step < stop):
                how = entry["how"]
        return how


def _measured(decision: Decision) -> Entry:
    times = {name: round(getattr(decision, name), 6) for name in ("before", "after", "seconds")}
    return {"verdict": decision.verdict, **times, "left": decision.left}


def _parts(net: nn.Module) -> int:
    """The layers with parameters, for an estimate where a whole network is compiled."""
    return sum(1 for module in net.modules() if any(True for _ in module.parameters(recurse=False)))
