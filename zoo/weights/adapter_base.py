"""Find the base of an adapter, and check that it is the right one. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo.contract.spec import Weights
from zoo.errors import RunError, WeightsError, ZooError
from zoo.registry.adapter_record import AdapterBase, SavedAdapter
from zoo.registry.registry import Registry
from zoo.registry.run_record import LOCK_FILE, read_run
from zoo.weights.find import fetch, file_sha256


def find_base(
    folder: Path,
    saved: SavedAdapter,
    record: Mapping[str, Any],
    *,
    registry: Registry,
    given: Path | None = None,
) -> tuple[Weights, Path]:
    """Return the weights that an adapter fits, and their file; downloaded if needed, and verified.

    Published weights are found by name and tag in the catalogue, never at an address in ``run.json``.

    Args:
        folder: The adapter's run folder.
        saved: The ``adapter`` of its ``run.json``.
        record: Content of its ``run.json``.
        registry: Installed plugins, and published runs.
        given: A file, a folder or a run to use instead of the recorded place.

    Raises:
        RunError: The base is not found, or is another one.
        WeightsUnavailable: It is not on this machine and its host is unreachable.
    """
    base = saved.base
    local = given or (_local(base, registry) if base.file else None)
    if base.file and local is None:
        raise RunError(
            f"the adapter {folder} needs its base, {_named(base)}, which is not at {base.file}",
            hint="If the base is a run, publish it where it is now: zoo add NAME FOLDER. Or name "
            f"the file once: zoo merge {folder} --base PATH",
        )
    weights = _at(local, record) if local else _published(folder, base, registry)
    path = fetch(weights)
    found = file_sha256(path)
    if found != base.sha256:
        raise RunError(
            f"the adapter {folder} does not fit {path}: it was trained on {_named(base)} with a sha256 "
            f"that starts with {base.sha256[:12]}, and this one's starts with {found[:12]}",
            hint=f"Restore that file, or name another: zoo merge {folder} --base PATH",
        )
    return weights, path


def _named(base: AdapterBase) -> str:
    return f"{base.backbone} ({base.weights})"


def _local(base: AdapterBase, registry: Registry) -> Path | None:
    """The recorded file, or a published run with the same hash."""
    file = Path(base.file)
    if file.exists():
        return file
    runs = [run for _, run in registry.runs() if not isinstance(run, ZooError)]
    return next((Path(run.weights.uri) for run in runs if run.weights.sha256 == base.sha256), None)


def _at(path: Path, record: Mapping[str, Any]) -> Weights:
    """The recorded weights, at another path."""
    if (path / LOCK_FILE).is_file():
        path = Path(read_run(path).weights.uri)
    recorded = Weights.from_json(record["weights"])
    return replace(recorded, uri=str(path), sha256="")


def _published(folder: Path, base: AdapterBase, registry: Registry) -> Weights:
    spec = None
    with suppress(WeightsError):
        spec = registry.resolve(base.backbone).spec
    found = next((w for w in spec.weights if w.tag == base.weights), None) if spec else None
    if found is None:
        raise RunError(
            f"the adapter {folder} needs the weights {base.weights!r} of {base.backbone}, which is not "
            "in the catalogue of an installed plugin",
            hint=f"Name their file: zoo merge {folder} --base PATH",
        )
    return found
