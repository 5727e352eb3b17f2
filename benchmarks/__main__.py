"""Compare the speed of zoo with other libraries: ``python -m benchmarks``.

All libraries use the same data, backbone, initial weights and number of epochs. They run in turn on the
same machine, each run in a new process. Each result is saved immediately and not measured again, so an
interrupted benchmark can be continued.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import torch
from filelock import FileLock, Timeout

from benchmarks.machine import kind
from benchmarks.report import provenance, update_section
from benchmarks.speed.budget import Budget, expected_seconds, fitting
from benchmarks.speed.cases import CASES, Case
from benchmarks.speed.gpu import utilisation
from benchmarks.speed.gpu_cases import GPU_CASES
from benchmarks.speed.inputs import Inputs
from benchmarks.speed.measuring import MEMORY, ROOT
from benchmarks.speed.running import Measurement, Runner, measurements
from benchmarks.speed.table import mismatches, not_measured, tables
from zoo.system.paths import cache_folder

RESULTS = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line."""

    only: str | None
    peers: str | None
    repeats: int | None
    epochs: int | None
    limit: int | None
    gpu: bool
    minutes: float | None
    device: str
    image_size: int | None
    data: Path
    work: Path | None
    results: Path | None
    write: bool

    @property
    def trial(self) -> bool:
        """Whether the results do not belong on the page."""
        changed = (self.limit, self.epochs, self.image_size)
        return any(changed) or (self.gpu and self.device == "cpu")


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
    "--minutes", type=float, help="With --gpu: measure what fits, the most important first."
)
@click.option(
    "--device",
    type=click.Choice(["cuda", "cpu"]),
    default="cuda",
    show_default=True,
    help="With --gpu: cpu is a trial run.",
)
@click.option("--image-size", type=int, help="With --gpu: pixels or tokens, for a trial run.")
@click.option(
    "--data",
    default="../shared/data",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder with clothing and sst2.",
)
@click.option("--work", type=click.Path(path_type=Path), help="Folder for generated inputs.")
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    help="File for results; default: speed-KIND.jsonl, for this kind of machine.",
)
@click.option("--write/--no-write", default=True, help="Whether to update README.md.")
def main(**values: Any) -> None:
    """Compare zoo with other libraries. Results already saved are not measured again.

    A trial run (--limit, --epochs, --image-size, --device cpu) does not update README.md.
    """
    options = Options(**values)
    budget = Budget(options.minutes)
    device = options.device if options.gpu else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise click.UsageError(
            "--gpu requires a CUDA GPU, and torch found none; try: --device cpu --limit 64"
        )
    if options.minutes is not None and not options.gpu:
        raise click.UsageError("--minutes requires --gpu")
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    all_cases = _cases(options, budget)
    cases = _selected(options.only, {case.name: case for case in all_cases})
    peers = {library.peer: library.peer for case in all_cases for library in case.libraries}
    selected = {"zoo", *_selected(options.peers, peers)}
    missing = _missing(cases, selected)
    work = (options.work or cache_folder() / "benchmarks").absolute()
    runner = Runner(
        inputs=Inputs(options.data.absolute(), work / "inputs", small=options.limit is not None),
        work=work,
        results=options.results or RESULTS / f"speed-{kind(device)}.jsonl",
        device=device,
        size=options.image_size or 224,
        limit=options.limit,
        budget=budget,
    )
    plan = list(measurements(cases, selected, missing, options.repeats))
    pending = [item for item in plan if not runner.done(item)]
    minutes = sum(_expected(item, options.gpu) for item in pending) / 60
    click.echo(
        f"{len(pending)} of {len(plan)} runs to measure: about {minutes:.0f} minutes", err=True
    )
    with _locked(work):
        reasons = runner.measure_all([item for item in pending if not item.library.optional])
        trace = _trace(runner, cases) if options.gpu else None
        reasons |= runner.measure_all([item for item in pending if item.library.optional])
        shutil.rmtree(work / "cache", ignore_errors=True)
    planned = [(item.case, item.library) for item in plan if item.repeat == 0]
    lost = not_measured(planned, runner.found(all_cases), reasons)
    text = _text(all_cases, runner, missing, lost, options.gpu, trace)
    print(text)
    if options.write and not options.trial:
        update_section("speed", text, device)
    if any(reason != "no time left" for reason in reasons.values()):
        sys.exit(1)


def _cases(options: Options, budget: Budget) -> Sequence[Case]:
    """The cases with the number of samples and epochs of this command."""
    cases: Sequence[Case] = GPU_CASES if options.gpu else CASES
    if options.gpu and options.minutes is not None:
        cases = fitting(cases, budget.left())
    return [
        replace(
            case,
            epochs=options.epochs or case.epochs,
            samples=min(case.samples, options.limit) if options.limit else case.samples,
        )
        for case in cases
    ]


def _selected(requested: str | None, known: Mapping[str, Any]) -> list[Any]:
    """The values of comma-separated names; all values by default."""
    names = [name.strip() for name in requested.split(",")] if requested else list(known)
    if unknown := [name for name in names if name not in known]:
        raise click.BadParameter(f"unknown: {', '.join(unknown)}; choose from: {', '.join(known)}")
    return [known[name] for name in names]


def _missing(cases: Sequence[Case], selected: set[str]) -> list[str]:
    """Packages of selected libraries that are not installed."""
    needed = {
        library.package
        for case in cases
        for library in case.libraries
        if library.package and library.peer in selected
    }
    return sorted(name for name in needed if importlib.util.find_spec(name) is None)


def _expected(item: Measurement, gpu: bool) -> float:
    """Expected duration. On a CPU, for a trial run, the time after start-up is scaled to its samples."""
    if gpu:
        return expected_seconds(item.case, item.library)
    full = next(case for case in CASES if case.name == item.case.name)
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


def _trace(runner: Runner, cases: Sequence[Case]) -> Path | None:
    """A file with the operators of zoo's steps on ResNet-50, if there is time."""
    case = next((case for case in cases if case.start == "resnet50" and case.throughput), None)
    path = runner.results.with_suffix(".trace.txt")
    limit = runner.budget.left()
    if case is None or limit < 20 or path.exists():
        return path if path.exists() else None
    before, count = (1, 2) if runner.limit else (20, 10)
    zoo = f"finetune torchvision/resnet50 --strategy full --epochs 20 --image-size {runner.size}"
    zoo += f" --batch-size {16 if runner.limit else 256} --no-report"
    inputs = runner.inputs
    arguments = ["--weights", str(inputs.start("resnet50"))]
    arguments += ["--data", str(inputs.data("photographs", case.samples))]
    arguments += ["--output", str(runner.work / "traced")]
    module = ["-m", "benchmarks.speed.trace", str(path.absolute()), str(before), str(count)]
    shutil.rmtree(runner.work / "traced", ignore_errors=True)
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(
            [sys.executable, *module, *shlex.split(zoo), *arguments],
            cwd=ROOT,
            timeout=min(limit, 90),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    return path if path.exists() else None


def _text(
    cases: Sequence[Case],
    runner: Runner,
    missing: Sequence[str],
    lost: Sequence[str],
    gpu: bool,
    trace: Path | None,
) -> str:
    results = runner.found(cases)
    notes = [f"Skipped, not installed: {', '.join(missing)}."] if missing else []
    notes += mismatches(cases, results)
    notes += ["\n".join(f"- {line}" for line in lost)] if lost else []
    if gpu:
        notes.insert(0, utilisation(cases, results, runner.device, runner.size))
        notes += (
            [f"Operators of zoo's steps: {trace.name}."] if trace else ["No trace of zoo's steps."]
        )
    return "\n\n".join(
        [
            tables(cases, results, kind(runner.device), steady=gpu),
            *notes,
            "Medians, with minimum and maximum in brackets; accuracy is mean ± standard deviation over "
            f"seeds. Memory is the peak {MEMORY} of the process and its children.",
            provenance(device=runner.device),
        ]
    )


if __name__ == "__main__":
    main()
