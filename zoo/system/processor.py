"""Number of processor cores that this process may use."""

from __future__ import annotations

import os
from pathlib import Path


def usable_cores(root: Path = Path("/")) -> float:
    """Return the number of usable cores: CPU affinity or the cgroup's quota; may be a fraction.

    Args:
        root: The folder that contains ``proc`` and ``sys``.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min([float(cores), *_quotas(root)])


def _quotas(root: Path) -> list[float]:
    """Yield the quota of each cgroup of this process, in cores; versions 2 and 1."""
    read = {1: _version_1, 2: _version_2}
    quotas = [read[version](folder) for version, folder in cgroups("cpu", root)]
    return [quota for quota in quotas if quota]


def cgroups(controller: str, root: Path = Path("/")) -> list[tuple[int, Path]]:
    """The version and folder of each cgroup of this process, which may not exist.

    Args:
        controller: Such as ``cpu``.
        root: The folder that contains ``proc`` and ``sys``.
    """
    groups, found = root / "sys" / "fs" / "cgroup", list[tuple[int, Path]]()
    for line in _read(root / "proc" / "self" / "cgroup").splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0":
            found += [(2, folder) for folder in _upwards(groups, path)]
        elif controller in controllers.split(","):
            for base in (groups / controllers, groups / controller):
                found += [(1, folder) for folder in _upwards(base, path)]
    return found


def _upwards(base: Path, path: str) -> list[Path]:
    folder = base / path.strip("/")
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(base))]


def _version_2(folder: Path) -> float:
    quota, _, period = _read(folder / "cpu.max").partition(" ")
    return _share(quota, period or "100000")


def _version_1(folder: Path) -> float:
    return _share(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))


def _share(quota: str, period: str) -> float:
    """Return ``quota / period``; 0 for no limit (``max``, ``-1``, no such file)."""
    try:
        return max(0.0, int(quota) / int(period))
    except (ValueError, ZeroDivisionError):
        return 0.0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
