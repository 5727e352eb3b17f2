"""Compare the speed of zoo with other libraries: ``python -m benchmarks``.

All libraries use the same data, backbone, initial weights, batch size and number of epochs. They run in
turn on the same machine, each run in a new process. Each result is saved immediately and not measured
again, so an interrupted benchmark can be continued.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import torch
from filelock import FileLock, Timeout

from benchmarks.report import Result, machine, measure_once, provenance, read_results, update_readme
from benchmarks.speed.cases import CASES, GPU_CASES, Case, Library
from benchmarks.speed.inputs import Inputs
from benchmarks.speed.measuring import MEMORY, RunFailed, measure
from benchmarks.speed.table import mismatches, tables
from zoo.system.paths import cache_folder

RESULTS = Path(__file__).with_name("speed.jsonl")


@dataclass(frozen=True)
class Measurement:
    """One process to measure: a library on a case, in round ``repeat``."""

    case: Case
    library: Library
    repeat: int

    def key(self, limit: int | None) -> dict[str, Any]:
        """Fields that identify the result of this measurement."""
        return {"by": self.library.name, "repeat": self.repeat, **_key(self.case, limit)}


def _key(case: Case, limit: int | None) -> dict[str, Any]:
    return {
        "case": case.name,
        "epochs": case.epochs,
        "samples": case.samples,
        "limit": limit,
        "machine": machine(),
    }


@click.command()
@click.option("--only", help="Comma-separated benchmark cases; default: all.")
@click.option("--peers", help="Comma-separated libraries: tutorial, fastai, trainer, …")
@click.option(
    "--repeats", type=int, help="Runs per library, each with its own seed; default: usually 3."
)
@click.option("--epochs", type=int, help="Number of epochs, for a trial run.")
@click.option("--limit", type=int, help="Maximum number of training samples, for a trial run.")
@click.option("--gpu", is_flag=True, help="Run the cases for a CUDA GPU instead.")
@click.option(
    "--data",
    default="../shared/data",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder with clothing and sst2.",
)
@click.option("--work", type=click.Path(path_type=Path), help="Folder for generated inputs.")
@click.option(
    "--results", default=RESULTS, type=click.Path(path_type=Path), help="File for results."
)
@click.option("--write/--no-write", default=True, help="Whether to update README.md.")
def main(
    only: str | None,
    peers: str | None,
    repeats: int | None,
    epochs: int | None,
    limit: int | None,
    gpu: bool,
    data: Path,
    work: Path | None,
    results: Path,
    write: bool,
) -> None:
    """Compare zoo with other libraries. Results already saved are not measured again.

    A trial run with --limit or --epochs does not update README.md.
    """
    if gpu and not torch.cuda.is_available():
        raise click.UsageError("--gpu requires a CUDA GPU; torch found none")
    work = (work or cache_folder() / "benchmarks").absolute()
    all_cases = GPU_CASES if gpu else CASES
    cases = [
        _overridden(case, epochs, limit)
        for case in _selected(only, {case.name: case for case in all_cases})
    ]
    known = {library.peer: library.peer for case in all_cases for library in case.peers}
    selected = {"zoo", *_selected(peers, known)}
    missing = _missing(cases, selected)
    plan = list(_measurements(cases, selected, missing, repeats))
    done = read_results(results)
    pending = [item for item in plan if not _is_done(item.key(limit), done)]
    minutes = sum(_expected_seconds(item) for item in pending) / 60
    click.echo(
        f"{len(pending)} of {len(plan)} runs to measure: about {minutes:.0f} minutes on two slow "
        "cores without other load",
        err=True,
    )
    inputs = Inputs(data.absolute(), work / "inputs", small=limit is not None)
    with _locked(work):
        failed = _measure_all(pending, inputs, work, results, limit)
        shutil.rmtree(work / "cache", ignore_errors=True)
    reported = [_overridden(case, epochs, limit) for case in all_cases]
    current = _current(reported, read_results(results), limit)
    text = _text(reported, current, missing, failed, gpu)
    print(text)
    if write and limit is None and epochs is None:
        update_readme("speed of a GPU" if gpu else "speed", text)
    if failed:
        sys.exit(1)


def _selected(requested: str | None, known: dict[str, Any]) -> list[Any]:
    """The values of comma-separated names; all values by default."""
    names = [name.strip() for name in requested.split(",")] if requested else list(known)
    if unknown := [name for name in names if name not in known]:
        raise click.BadParameter(f"unknown: {', '.join(unknown)}; choose from: {', '.join(known)}")
    return [known[name] for name in names]


def _overridden(case: Case, epochs: int | None, limit: int | None) -> Case:
    samples = min(case.samples, limit) if limit else case.samples
    return replace(case, epochs=epochs or case.epochs, samples=samples)


def _missing(cases: Sequence[Case], selected: set[str]) -> list[str]:
    """Packages of selected libraries that are not installed."""
    needed = {
        library.package
        for case in cases
        for library in case.libraries
        if library.package and library.peer in selected
    }
    return sorted(name for name in needed if importlib.util.find_spec(name) is None)


def _measurements(
    cases: Sequence[Case], selected: set[str], missing: Sequence[str], repeats: int | None
) -> Iterator[Measurement]:
    """All measurements in order: one round of all libraries, then the next round."""
    pairs = [(case, library) for case in cases for library in case.libraries]
    for repeat in range(repeats or max(library.repeats for _, library in pairs)):
        for case, library in pairs:
            required = repeat < (repeats or library.repeats)
            if required and library.peer in selected and library.package not in missing:
                yield Measurement(case, library, repeat)


def _is_done(key: dict[str, Any], results: Sequence[Result]) -> bool:
    return any(key.items() <= result.items() for result in results)


def _current(cases: Sequence[Case], results: Sequence[Result], limit: int | None) -> list[Result]:
    """Results of these cases with their current settings, on this machine."""
    keys = [_key(case, limit) for case in cases]
    return [result for result in results if any(key.items() <= result.items() for key in keys)]


def _expected_seconds(item: Measurement) -> float:
    """Expected duration. For a trial run, the time after start-up is scaled to its samples."""
    full = next(case for case in (*CASES, *GPU_CASES) if case.name == item.case.name)
    samples, full_samples = item.case.samples * item.case.epochs, full.samples * full.epochs
    startup = min(item.library.seconds, 8)
    scale = samples / full_samples if full_samples else 1
    return startup + (item.library.seconds - startup) * scale


@contextmanager
def _locked(work: Path) -> Iterator[None]:
    """Allow only one benchmark at a time: a second one would distort timings and share files."""
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / "lock", timeout=0):
            yield
    except Timeout as error:
        message = f"another benchmark is running in {work}; wait until it has finished"
        raise click.ClickException(message) from error


def _measure_all(
    pending: Sequence[Measurement], inputs: Inputs, work: Path, results: Path, limit: int | None
) -> list[str]:
    """Append each result to the file; return messages of failed runs."""
    failed = []
    for item in pending:
        try:
            measure_once(results, item.key(limit), lambda item=item: _measured(item, inputs, work))  # type: ignore[misc]
        except RunFailed as error:
            failed.append(f"{item.case.name}, {item.library.name}: {error}")
            click.echo(f"failed: {failed[-1]}", err=True)
    return failed


def _measured(item: Measurement, inputs: Inputs, work: Path) -> dict[str, Any]:
    """Metrics of one run.

    zoo's cache is cleared first, unless the library needs a warm cache: then the cache of the previous
    run is used, or filled by an extra run that is not measured.
    """
    case, library = item.case, item.library
    cache = work / "cache" / f"{case.name}-{item.repeat}"
    environment = os.environ | {
        "ZOO_CACHE": str(cache),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(work / "cache" / "datasets"),
    }
    output = work / "run"
    values: dict[str, Any] = {"seed": item.repeat, "epochs": case.epochs, "output": output}
    if case.data:
        values["data"] = inputs.data(case.data, round(case.samples * library.samples))
    if case.start:
        values["start"] = inputs.start(case.start)
    arguments = [argument.format(**values) for argument in shlex.split(library.command)]
    command = [sys.executable, *arguments]
    shutil.rmtree(output, ignore_errors=True)
    if not library.warm:
        shutil.rmtree(cache, ignore_errors=True)
    elif not cache.exists():
        measure(command, environment)
        shutil.rmtree(output, ignore_errors=True)
    return measure(command, environment) | _counts(output)


def _counts(run: Path) -> dict[str, int]:
    """Epochs and samples of a zoo run; other libraries print theirs."""
    if not run.exists():
        return {}
    data = json.loads((run / "run.json").read_text(encoding="utf-8"))["data"]
    epochs = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return {"passes": len(epochs), "trained_on": data["train"], "validated_on": data["val"]}


def _text(
    cases: Sequence[Case],
    results: Sequence[Result],
    missing: Sequence[str],
    failed: Sequence[str],
    gpu: bool,
) -> str:
    notes = [f"Skipped, not installed: {', '.join(missing)}."] if missing else []
    notes += [f"Failed: {message}" for message in failed] + mismatches(cases, results)
    if gpu:
        from benchmarks.speed.gpu import utilisation

        notes.insert(0, utilisation(cases, results))
    memory = f"Memory is the peak {MEMORY} of the process and its children."
    return "\n\n".join(
        [
            tables(cases, results),
            *notes,
            "Medians, with minimum and maximum in brackets; accuracy is mean ± standard deviation over "
            f"seeds. {memory}",
            provenance(),
        ]
    )


if __name__ == "__main__":
    main()
