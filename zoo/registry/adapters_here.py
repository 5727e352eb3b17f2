"""The adapter runs on this machine, by the backbone that they fit. No torch."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import RunError
from zoo.registry.adapter_record import SavedAdapter, adapter_of
from zoo.registry.registry import Registry
from zoo.registry.run_record import LOCK_FILE, FinishedRun, read_run

RUNS = Path("runs")
"""The folder of runs that have no name."""


@dataclass(frozen=True)
class FoundAdapter:
    """An adapter run.

    Attributes:
        run: The run; its name is empty if it is not published.
        adapter: What it holds.
        bytes: Size of its file.
    """

    run: FinishedRun
    adapter: SavedAdapter
    bytes: int


def adapters_here(
    registry: Registry, pattern: str = "*", *, runs: Path = RUNS
) -> Iterator[FoundAdapter | RunError]:
    """Yield the adapter runs in the folder of runs, and the published ones, by their backbone.

    A run that cannot be read is yielded as its error.

    Args:
        registry: Published runs, and short names of backbones.
        pattern: Names of backbones, as for :meth:`Registry.names`.
        runs: The folder of runs.
    """
    published = {run.folder: run for _, run in registry.runs() if isinstance(run, FinishedRun)}
    errors: list[RunError] = []
    for folder in sorted(runs.iterdir()) if runs.is_dir() else []:
        if (folder / LOCK_FILE).is_file():
            try:
                run = read_run(folder)
                published.setdefault(run.folder, run)
            except RunError as error:
                errors.append(error)
    fitting = set(registry.names(pattern))
    found = [
        FoundAdapter(run, adapter, Path(run.weights.uri).stat().st_size)
        for run in published.values()
        if (adapter := adapter_of(run.record)) is not None
        and (adapter.base.backbone in fitting or _matches(adapter.base.backbone, pattern))
    ]
    yield from sorted(found, key=lambda each: (each.adapter.base.backbone, each.run.folder))
    yield from errors


def _matches(backbone: str, pattern: str) -> bool:
    """As :meth:`Registry.names`, for backbones outside the catalogues."""
    lowered, name = pattern.lower(), backbone.lower()
    return (
        fnmatch.fnmatchcase(name, lowered) if any(c in lowered for c in "*?[") else lowered in name
    )
