"""Compare accuracy from equal starts: ``python -m benchmarks.equal_starts``.

zoo and other libraries train from the same pretrained weights on the same samples, with budgets in epochs and in
time. The epoch is chosen on ``val``, accuracy is that on ``test``. Each run is a new process; its result is saved
immediately and not measured again, so the benchmark can be interrupted and continued.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks.equal_starts import data as inputs
from benchmarks.equal_starts.plan import (
    ALL,
    EPOCHS,
    METHODS,
    SECONDS,
    SHOTS,
    TIME,
    Cell,
    Method,
)
from benchmarks.equal_starts.table import tables
from benchmarks.report import Result, measure_once, provenance, read_results, update_readme
from benchmarks.speed.measuring import RunFailed, measure
from zoo.system.paths import cache_folder

RESULTS = Path(__file__).parents[1] / "equal-starts.jsonl"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where and how cells are measured.

    Attributes:
        shared: Folder with ``clothing`` and ``sst2``.
        work: Folder for data and runs.
        results: File of results.
        limit: Maximum number of samples per class, for a trial run.
        size: Image height and width.
        seconds: The budget in time.
        autogluon: Python of an environment with AutoGluon, or ``None``.
    """

    shared: Path
    work: Path
    results: Path
    limit: int | None
    size: int
    seconds: float
    autogluon: Path | None

    def key(self, cell: Cell) -> dict[str, Any]:
        """Fields that identify the result of a cell."""
        limits = {"limit": self.limit, "size": self.size}
        return {**asdict(cell), **limits, **({"of": self.seconds} if cell.budget == TIME else {})}

    def measure(self, cell: Cell) -> None:
        """Append the result of a cell, if it has none."""
        measure_once(self.results, self.key(cell), lambda: self._measured(cell))

    def _measured(self, cell: Cell) -> dict[str, Any]:
        epochs = self._epochs(cell)
        shots = f"{cell.shots or 'all'}-{cell.seed}" if cell.shots else "all"
        name = f"{cell.dataset}-{shots}" + (f"-of-{self.limit}" if self.limit else "")
        lay_out = inputs.images if cell.dataset == "images" else inputs.texts
        data = lay_out(self.shared, self.work / name, cell.shots, cell.seed, self.limit)
        output = self.work / "run"
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        job = {
            "dataset": cell.dataset,
            "data": str(data),
            "start": str(inputs.start(cell.dataset, self.work)),
            "epochs": epochs,
            "seed": cell.seed,
            "size": self.size,
            "samples": inputs.samples(cell.dataset, data),
            "work": str(output),
        }
        environment = os.environ | {
            "ZOO_CACHE": str(output / "cache"),  # empty, so that the time includes the features
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_CACHE": str(output / "datasets"),
        }
        found = measure(self._command(cell, job), environment)
        if "test" not in found:
            raise RunFailed("printed no accuracy")
        return {**found, "trained_epochs": epochs}

    def _command(self, cell: Cell, job: Mapping[str, Any]) -> list[str]:
        function = _method(cell.method).function(cell.dataset)
        assert function is not None
        if cell.method == "autogluon":
            script = Path(__file__).with_name("autogluon.py")
            arguments = dict(job) | {"batch": min(32, job["samples"])}
            return [str(self.autogluon), str(script), json.dumps(arguments)]
        options = [part for name, value in job.items() for part in (f"--{name}", str(value))]
        return [sys.executable, "-m", "benchmarks.equal_starts.train", function, *options]

    def _epochs(self, cell: Cell) -> int:
        """The cell's number of epochs; for a budget in time, as many as fit, and at least one."""
        if cell.budget != TIME:
            return int(cell.budget or 0)
        seconds = {}
        for epochs in (1, 3):
            other = Cell(cell.dataset, cell.method, cell.shots, str(epochs), cell.seed)
            self.measure(other)
            key = self.key(other)
            found = [r for r in read_results(self.results) if key.items() <= r.items()]
            seconds[epochs] = found[-1]["seconds"]
        epoch = max(0.1, (seconds[3] - seconds[1]) / 2)
        return max(1, int((self.seconds - (seconds[1] - epoch)) / epoch))


def _method(name: str) -> Method:
    return next(method for method in METHODS if method.name == name)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


@click.command()
@click.option("--only", help="Comma-separated methods; default: all that are installed.")
@click.option("--datasets", default="images,texts", show_default=True)
@click.option(
    "--budgets",
    default=",".join([*map(str, EPOCHS), TIME]),
    show_default=True,
    help="Numbers of epochs, and 'time'.",
)
@click.option(
    "--shots",
    default=",".join(str(each or "all") for each in SHOTS),
    show_default=True,
    help="Training samples per class.",
)
@click.option("--seeds", default="0,1,2", show_default=True)
@click.option("--seconds", default=SECONDS, show_default=True, help="The budget 'time'.")
@click.option("--limit", type=int, help="Maximum samples per class of a split, for a trial run.")
@click.option("--image-size", default=224, show_default=True, help="Height and width in pixels.")
@click.option(
    "--data", default="../shared/data", show_default=True, type=click.Path(path_type=Path),
    help="Folder with clothing and sst2.",
)  # fmt: skip
@click.option("--work", type=click.Path(path_type=Path), help="Folder for data and runs.")
@click.option(
    "--autogluon", type=click.Path(path_type=Path, exists=True),
    help="Python of an environment with autogluon.multimodal.",
)  # fmt: skip
@click.option(
    "--results", default=RESULTS, type=click.Path(path_type=Path), help="File for results."
)
@click.option("--write/--no-write", default=True, help="Whether to update README.md.")
def main(
    only: str | None,
    datasets: str,
    budgets: str,
    shots: str,
    seeds: str,
    seconds: float,
    limit: int | None,
    image_size: int,
    data: Path,
    work: Path | None,
    autogluon: Path | None,
    results: Path,
    write: bool,
) -> None:
    """Compare accuracy from equal starts. Results already saved are not measured again.

    A trial run (--limit or --image-size) does not update README.md.
    """
    bench = Bench(
        shared=data.absolute(),
        work=(work or cache_folder() / "benchmarks" / "equal-starts").absolute(),
        results=results.absolute(),
        limit=limit,
        size=image_size,
        seconds=seconds,
        autogluon=autogluon,
    )
    bench.work.mkdir(parents=True, exist_ok=True)
    missing = _missing(autogluon)
    methods = [_known(name) for name in _parts(only)] if only else list(METHODS)
    cells = list(
        _cells(
            [method for method in methods if method.name not in missing],
            _parts(datasets),
            _parts(budgets),
            [ALL if each == "all" else int(each) for each in _parts(shots)],
            [int(each) for each in _parts(seeds)],
        )
    )
    failed = _measure_all(bench, cells)
    keys = [bench.key(cell) for cell in cells]
    found: list[Result] = [
        r for r in read_results(bench.results) if any(key.items() <= r.items() for key in keys)
    ]
    notes = [f"Not installed: {', '.join(missing)}."] if missing else []
    notes += [f"Not measured: {message}." for message in failed]
    text = "\n\n".join([tables(found), *notes, provenance("equal_starts")])
    print(text)
    if write and limit is None and image_size == 224:
        update_readme("equal starts", text)
    if failed:
        sys.exit(1)


def _known(name: str) -> Method:
    names = [method.name for method in METHODS]
    if name not in names:
        raise click.BadParameter(f"unknown: {name}; choose from: {', '.join(names)}")
    return _method(name)


def _missing(autogluon: Path | None) -> list[str]:
    """Names of methods whose library is not installed."""
    missing = [m.name for m in METHODS if m.package and importlib.util.find_spec(m.package) is None]
    return missing if autogluon else [*missing, "autogluon"]


def _cells(
    methods: Sequence[Method],
    datasets: Sequence[str],
    budgets: Sequence[str],
    shots: Sequence[int],
    seeds: Sequence[int],
) -> Iterator[Cell]:
    """All cells: seed after seed, so that an interrupted benchmark has all methods of some seeds."""
    for seed in seeds:
        for dataset in datasets:
            for count in shots:
                for method in methods:
                    if method.function(dataset):
                        for budget in budgets if method.epochs else [""]:
                            yield Cell(dataset, method.name, count, budget, seed)


def _measure_all(bench: Bench, cells: Sequence[Cell]) -> list[str]:
    """Measure all cells; return a message for each that failed."""
    failed = []
    for number, cell in enumerate(cells, 1):
        try:
            bench.measure(cell)
        except RunFailed as error:
            failed.append(f"{cell}: {error}")
            click.echo(f"failed: {failed[-1]}", err=True)
        click.echo(f"{number} of {len(cells)}", err=True)
    return failed


if __name__ == "__main__":
    main()
