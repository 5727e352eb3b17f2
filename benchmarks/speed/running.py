"""Run the libraries of the cases, and save each result at once."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import machine
from benchmarks.report import Result, measure_once, read_results
from benchmarks.speed.budget import Budget, expected_seconds
from benchmarks.speed.cases import Case, Library
from benchmarks.speed.inputs import Inputs
from benchmarks.speed.measuring import RunFailed, measure
from zoo.system.processor import usable_cores

DURATION = 8.0
"""Seconds for which the hand-written loop is timed."""


@dataclass(frozen=True)
class Measurement:
    """One process to measure: a library on a case, in round ``repeat``."""

    case: Case
    library: Library
    repeat: int


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Where and how measurements run.

    Attributes:
        inputs: Data and initial weights.
        work: Folder of runs and caches.
        results: File of results.
        device: ``cpu`` or ``cuda``.
        size: Height and width of images, and at most so many tokens, of the cases for a GPU.
        limit: Maximum number of training samples, for a trial run.
        budget: The time left.
    """

    inputs: Inputs
    work: Path
    results: Path
    device: str
    size: int
    limit: int | None
    budget: Budget

    def key(self, item: Measurement) -> dict[str, Any]:
        """Fields that identify the result of a measurement."""
        return {
            "by": item.library.name,
            "repeat": item.repeat,
            **self.settings(item.case),
        }

    def settings(self, case: Case) -> dict[str, Any]:
        """The settings and the machine, with which a case's results must agree."""
        return {
            "case": case.name,
            "epochs": case.epochs,
            "samples": case.samples,
            "limit": self.limit,
            "size": self.size,
            "machine": machine(self.device),
        }

    def done(self, item: Measurement) -> bool:
        """Whether the measurement has a result."""
        key = self.key(item)
        return any(key.items() <= result.items() for result in read_results(self.results))

    def found(self, cases: Sequence[Case]) -> list[Result]:
        """The results of these cases with their settings, on this machine."""
        settings = [self.settings(case) for case in cases]
        return [
            result
            for result in read_results(self.results)
            if any(key.items() <= result.items() for key in settings)
        ]

    def measure_all(self, pending: Sequence[Measurement]) -> dict[tuple[str, str], str]:
        """Append each result to the file; return why others have none, by case and library."""
        reasons = {}
        for item in pending:
            try:
                measure_once(
                    self.results, self.key(item), lambda item=item: self._measured(item), self.device  # type: ignore[misc]
                )  # fmt: skip
            except RunFailed as error:
                reasons[item.case.name, item.library.name] = str(error)
                click.echo(f"{item.case.name}, {item.library.name}: {error}", err=True)
        return reasons

    def _measured(self, item: Measurement) -> dict[str, Any]:
        """Metrics of one run.

        zoo's cache is cleared first, unless the library needs a warm cache: then the cache of the previous
        run is used, or filled by an extra run that is not measured.
        """
        case, library = item.case, item.library
        cache = self.work / "cache" / f"{case.name}-{item.repeat}"
        environment = os.environ | {
            "ZOO_CACHE": str(cache),
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_CACHE": str(self.work / "cache" / "datasets"),
        }
        output = self.work / "run"
        command = self._command(item, output)
        expected = expected_seconds(case, library) if self.budget.limit(1) else library.seconds
        if self.budget.left() < expected:
            raise RunFailed("no time left")
        limit = self.budget.limit(expected)
        shutil.rmtree(output, ignore_errors=True)
        if not library.warm:
            shutil.rmtree(cache, ignore_errors=True)
        elif not cache.exists():
            measure(command, environment, limit)
            shutil.rmtree(output, ignore_errors=True)
        found = measure(command, environment, limit) | of_run(output)
        if library.epochs is not None:
            found["seconds"] += (case.epochs - library.epochs) * found["epoch_seconds"]
            found.pop("accuracy", None)
        return found

    def _command(self, item: Measurement, output: Path) -> list[str]:
        case, library = item.case, item.library
        values: dict[str, Any] = {
            "seed": item.repeat,
            "epochs": library.epochs or case.epochs,
            "output": output,
            "size": min(self.size, 128) if case.start == "bert" else self.size,
            "workers": max(1, round(usable_cores()) - 2),
            "batch": self._batch(case),
            "duration": 1 if self.limit else DURATION,
        }
        if case.data:
            values["data"] = self.inputs.data(case.data, round(case.samples * library.samples))
        if case.start:
            values["start"] = self.inputs.start(case.start)
        return [sys.executable, *(part.format(**values) for part in shlex.split(library.command))]

    def _batch(self, case: Case) -> int:
        """zoo's batch size in this case, which was measured before; else 256."""
        own = {"by": "zoo", **self.settings(case)}
        found = [r for r in read_results(self.results) if own.items() <= r.items()]
        return int(found[-1].get("batch_size", 256)) if found else 256


def measurements(
    cases: Sequence[Case], selected: set[str], missing: Sequence[str], repeats: int | None
) -> Iterator[Measurement]:
    """All measurements in order: one round of all libraries, then the next round.

    In a round, what is optional comes last.
    """
    pairs = [(case, library) for case in cases for library in case.libraries]
    pairs.sort(key=lambda pair: pair[1].optional)
    for repeat in range(repeats or max(library.repeats for _, library in pairs)):
        for case, library in pairs:
            required = repeat < (repeats or library.repeats)
            if required and library.peer in selected and library.package not in missing:
                yield Measurement(case, library, repeat)


def of_run(run: Path) -> dict[str, Any]:
    """Facts of a zoo run; other libraries print theirs."""
    if not run.exists():
        return {}
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    epochs: list[Result] = [json.loads(line) for line in lines]
    found = {
        "passes": len(epochs),
        "trained_on": record["data"]["train"],
        "validated_on": record["data"]["val"],
        "parts": record["results"]["parts"],
    }
    if gpu := record["results"]["memory"].get("gpu"):
        found["gpu_memory"] = gpu
    phase = record["phases"][-1]
    if "lr" in phase:  # not a head that is fitted with L-BFGS
        found |= {"lr": phase["lr"], "batch_size": phase["settings"]["batch_size"]}
        found["waiting"] = epochs[-1]["waiting"]
        if len(epochs) > 1:
            found["steady"] = epochs[-1]["samples_per_second"]
    return found
