"""Measure zoo's speed beside what a user would pick instead: ``python -m benchmarks``.

Everybody has the same data, backbone, starting parameters, batch and epochs, and takes turns on the
same machine, each time as a process started again. A result is kept as soon as it is there, and not
measured again: a measurement that was stopped goes on where it was.
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

from benchmarks.report import Result, circumstances, machine, once, put, read
from benchmarks.speed.cases import CASES, GPU_CASES, Case, Contestant
from benchmarks.speed.inputs import Inputs
from benchmarks.speed.measuring import MEMORY, Failed, measure
from benchmarks.speed.table import disagreements, tables
from zoo.system.paths import cache_folder

RESULTS = Path(__file__).with_name("speed.jsonl")


@dataclass(frozen=True)
class Turn:
    """One process to measure: a contestant's, for the ``repeat``-th time."""

    case: Case
    by: Contestant
    repeat: int

    def key(self, limit: int | None) -> dict[str, Any]:
        """What its result is found by, later."""
        return {"by": self.by.name, "repeat": self.repeat, **_key(self.case, limit)}


def _key(case: Case, limit: int | None) -> dict[str, Any]:
    return {
        "case": case.name,
        "epochs": case.epochs,
        "samples": case.samples,
        "limit": limit,
        "machine": machine(),
    }


@click.command()
@click.option("--only", help="Some of the pieces of work, with commas.")
@click.option("--peers", help="Some of the peers, with commas: tutorial, fastai, trainer, …")
@click.option("--repeats", type=int, help="Times, each with a seed of its own; default: mostly 3.")
@click.option("--epochs", type=int, help="Instead of each piece's own, to try it out.")
@click.option("--limit", type=int, help="At most so many training samples, to try it out.")
@click.option("--gpu", is_flag=True, help="The pieces of work for a CUDA card instead.")
@click.option(
    "--data",
    default="../shared/data",
    show_default=True,
    type=click.Path(path_type=Path),
    help="A folder with clothing and sst2.",
)
@click.option("--work", type=click.Path(path_type=Path), help="Where inputs are made and kept.")
@click.option("--results", default=RESULTS, type=click.Path(path_type=Path), help="Where they go.")
@click.option("--write/--no-write", default=True, help="Whether the table goes into README.md.")
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
    """Measure zoo beside its peers; what is in the file of results already is not repeated.

    A trial, with --limit or --epochs, does not go into README.md.
    """
    if gpu and not torch.cuda.is_available():
        raise click.UsageError("--gpu needs a CUDA card, and torch finds none here")
    work = (work or cache_folder() / "benchmarks").absolute()
    table_of_cases = GPU_CASES if gpu else CASES
    cases = [
        _cut(case, epochs, limit)
        for case in _chosen(only, {case.name: case for case in table_of_cases})
    ]
    everybody = {one.peer: one.peer for case in table_of_cases for one in case.peers}
    admitted = {"zoo", *_chosen(peers, everybody)}
    missing = _missing(cases, admitted)
    plan = list(_turns(cases, admitted, missing, repeats))
    done = read(results)
    left = [turn for turn in plan if not _is_there(turn.key(limit), done)]
    minutes = sum(_expected(turn) for turn in left) / 60
    click.echo(
        f"{len(left)} of {len(plan)} processes to measure: about {minutes:.0f} minutes on two slow "
        "cores, if nothing else runs",
        err=True,
    )
    inputs = Inputs(data.absolute(), work / "inputs", small=limit is not None)
    with _alone(work):
        failed = _measure_all(left, inputs, work, results, limit)
        shutil.rmtree(work / "cache", ignore_errors=True)
    everything = [_cut(case, epochs, limit) for case in table_of_cases]
    text = _text(everything, _fitting(everything, read(results), limit), missing, failed, gpu)
    print(text)
    if write and limit is None and epochs is None:
        put("speed of a GPU" if gpu else "speed", text)
    if failed:
        sys.exit(1)


def _chosen(requested: str | None, known: dict[str, Any]) -> list[Any]:
    """What the names with commas stand for; all without any."""
    names = [name.strip() for name in requested.split(",")] if requested else list(known)
    if unknown := [name for name in names if name not in known]:
        raise click.BadParameter(f"{', '.join(unknown)}; there are: {', '.join(known)}")
    return [known[name] for name in names]


def _cut(case: Case, epochs: int | None, limit: int | None) -> Case:
    samples = min(case.samples, limit) if limit else case.samples
    return replace(case, epochs=epochs or case.epochs, samples=samples)


def _missing(cases: Sequence[Case], admitted: set[str]) -> list[str]:
    """Packages that are not installed, so that their peers are left out."""
    needed = {
        one.package
        for case in cases
        for one in case.contestants
        if one.package and one.peer in admitted
    }
    return sorted(name for name in needed if importlib.util.find_spec(name) is None)


def _turns(
    cases: Sequence[Case], admitted: set[str], missing: Sequence[str], repeats: int | None
) -> Iterator[Turn]:
    """Who is measured when: all of them once, then all of them again."""
    everybody = [(case, one) for case in cases for one in case.contestants]
    for repeat in range(repeats or max(one.repeats for _, one in everybody)):
        for case, one in everybody:
            wanted = repeat < (repeats or one.repeats)
            if wanted and one.peer in admitted and one.package not in missing:
                yield Turn(case, one, repeat)


def _is_there(key: dict[str, Any], results: Sequence[Result]) -> bool:
    return any(key.items() <= result.items() for result in results)


def _fitting(cases: Sequence[Case], results: Sequence[Result], limit: int | None) -> list[Result]:
    """The results of these pieces of work as they are now, on this machine."""
    keys = [_key(case, limit) for case in cases]
    return [result for result in results if any(key.items() <= result.items() for key in keys)]


def _expected(turn: Turn) -> float:
    """Seconds that it takes about; of a trial a share, beside what it takes to start."""
    full = next(case for case in (*CASES, *GPU_CASES) if case.name == turn.case.name)
    work, whole = turn.case.samples * turn.case.epochs, full.samples * full.epochs
    start = min(turn.by.seconds, 8)
    return start + (turn.by.seconds - start) * (work / whole if whole else 1)


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Refuse a second measurement beside this one, which would disturb its metrics and files."""
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / "lock", timeout=0):
            yield
    except Timeout as error:
        message = f"another measurement is running in {work}; wait for its end"
        raise click.ClickException(message) from error


def _measure_all(
    turns: Sequence[Turn], inputs: Inputs, work: Path, results: Path, limit: int | None
) -> list[str]:
    """Append each turn's result to the file; gives what went wrong, in words."""
    failed = []
    for turn in turns:
        try:
            once(results, turn.key(limit), lambda turn=turn: _measured(turn, inputs, work))  # type: ignore[misc]
        except Failed as error:
            failed.append(f"{turn.case.name} by {turn.by.name}: {error}")
            click.echo(f"failed: {failed[-1]}", err=True)
    return failed


def _measured(turn: Turn, inputs: Inputs, work: Path) -> dict[str, Any]:
    """A turn's metrics; zoo's cache is empty before it, unless it has to be warm.

    It is left for the next turn, and filled without being measured where nobody left one.
    """
    case, by = turn.case, turn.by
    cache = work / "cache" / f"{case.name}-{turn.repeat}"
    environment = os.environ | {
        "ZOO_CACHE": str(cache),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(work / "cache" / "datasets"),
    }
    output = work / "run"
    words: dict[str, Any] = {"seed": turn.repeat, "epochs": case.epochs, "output": output}
    if case.data:
        words["data"] = inputs.data(case.data, round(case.samples * by.samples))
    if case.start:
        words["start"] = inputs.start(case.start)
    command = [sys.executable, *(word.format(**words) for word in shlex.split(by.command))]
    shutil.rmtree(output, ignore_errors=True)
    if not by.warm:
        shutil.rmtree(cache, ignore_errors=True)
    elif not cache.exists():
        measure(command, environment)
        shutil.rmtree(output, ignore_errors=True)
    return measure(command, environment) | _counts(output)


def _counts(run: Path) -> dict[str, int]:
    """Of a run of zoo's: its epochs, and its samples; peers tell theirs themselves."""
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
    remarks = [f"Left out, because not installed: {', '.join(missing)}."] if missing else []
    remarks += [f"Failed: {one}" for one in failed] + disagreements(cases, results)
    if gpu:
        from benchmarks.speed.gpu import shares

        remarks.insert(0, shares(cases, results))
    memory = f"Memory is the peak {MEMORY} of the process and its children."
    return "\n\n".join(
        [
            tables(cases, results),
            *remarks,
            "Medians, with minimum and maximum in brackets; accuracy is mean ± standard deviation over "
            f"seeds. {memory}",
            circumstances(),
        ]
    )


if __name__ == "__main__":
    main()
