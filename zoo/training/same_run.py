"""The claim to a run that was started before, whose data, weights and versions must be the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo.errors import RunError
from zoo.registry.requirements import versions_of
from zoo.training.claims import Claim, Claimed
from zoo.training.record import require_same_data


def same_run(folder: Path, started: Mapping[str, Any]) -> Claim:
    """A claim to a locked folder, for a run whose data, weights and versions have not changed."""

    @contextmanager
    def claim(record: Mapping[str, Any]) -> Iterator[Claimed]:
        refuse_change(folder, started, record)
        plain = {key: value for key, value in started.items() if key not in ("format", "finished")}
        yield Claimed(folder, plain)

    return claim


def refuse_change(folder: Path, started: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Raise a :class:`RunError` if ``record``, of a run started now, differs from ``started``."""
    require_same_data(folder, started, record)
    if (started["weights"] or {}).get("sha256", "") != (record["weights"] or {}).get("sha256", ""):
        raise RunError(
            f"the weights that {folder} started from have changed: {started['request']['weights']}",
            hint="Restore them, or start a new run.",
        )
    now = record["versions"] | versions_of(record["plugins"])
    then = started["versions"] | versions_of(started["plugins"])
    changed = [
        f"{name} {then.get(name)}, now {now.get(name)}"
        for name in now | versions_of(started["plugins"])
        if then.get(name) != now.get(name)
    ]
    if changed:
        raise RunError(
            f"{folder} was started with other versions: {', '.join(changed)}",
            hint="Install those versions to resume the run, or start a new one.",
        )
