"""Find weights that are already on this machine. No torch."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from zoo.contract.spec import Weights
from zoo.system.paths import hub_folder, torch_folder
from zoo.system.small_files import read_small

HUB = "hf:"
"""Begins the address of a repository of the Hub, or of a file in one: ``hf:org/name/file``."""

PACKAGE = "package:"
"""Begins the address of a file or folder in an installed package: ``package:acme_zoo/tiny.pth``."""

_SHARD = re.compile(r"(.+)-\d{5}-of-(\d{5})(\.\w+)")  # model-00001-of-00003.safetensors


def hub_parts(uri: str) -> tuple[str, str | None]:
    """Split ``hf:org/name/file`` into ``("org/name", "file")``; the file may be ``None``."""
    org, _, rest = uri.removeprefix(HUB).partition("/")
    name, _, file = rest.partition("/")
    return (f"{org}/{name}" if name else org), file or None


def package_parts(uri: str) -> tuple[str, str]:
    """Split ``package:acme_zoo/weights/tiny.pth`` into ``("acme_zoo", "weights/tiny.pth")``."""
    package, _, file = uri.removeprefix(PACKAGE).partition("/")
    return package, file


def package_folders(package: str) -> list[Path]:
    """The folders of an installed package, which is not imported; empty if there is none."""
    try:
        spec = find_spec(package) if package.isidentifier() else None
    except (ImportError, ValueError):  # a module in sys.modules that has no spec
        spec = None
    return [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []


def cached_file(weights: Weights) -> Path | None:
    """Return the local file or folder of weights, or ``None``.

    Only names are checked, not contents.
    """
    return LocalWeights().find(weights.uri)


class LocalWeights:
    """Weights on this machine; each cache folder is listed once."""

    def find(self, uri: str) -> Path | None:
        """Return the local file or folder of a ``Weights.uri``, or ``None``."""
        if uri.startswith(("http://", "https://")):
            name = uri.partition("?")[0].partition("#")[0].rpartition("/")[2]
            return torch_folder() / name if name in self._torch else None
        if uri.startswith(HUB):
            if not self._hub:
                return None
            repo, file = hub_parts(uri)
            folder = f"models--{repo.replace('/', '--')}"
            return _in_snapshots(hub_folder() / folder, file) if folder in self._hub else None
        if uri.startswith(PACKAGE):
            return _in_package(*package_parts(uri))
        path = Path(os.path.expanduser(uri))
        return path if os.path.exists(path) else None

    def hub_models(self) -> Iterator[str]:
        """Yield the repositories in the Hub's cache that have weights, as ``org/name``."""
        for folder in sorted(self._hub):
            kind, _, repo = folder.partition("--")
            if kind == "models" and _in_snapshots(hub_folder() / folder, None):
                yield repo.replace("--", "/", 1)

    @cached_property
    def _torch(self) -> frozenset[str]:
        return _listing(torch_folder())

    @cached_property
    def _hub(self) -> frozenset[str]:
        return _listing(hub_folder())


def _in_package(package: str, file: str) -> Path | None:
    if not file or ".." in file.split("/") or os.path.isabs(file):
        return None
    places = (folder / file for folder in package_folders(package))
    return next((place for place in places if os.path.exists(place)), None)


def _in_snapshots(repo: Path, file: str | None) -> Path | None:
    for snapshot in _snapshots(repo):
        if file is not None:
            if os.path.exists(snapshot / file):
                return snapshot / file
        elif _has_weights(_listing(snapshot)):
            return snapshot
    return None


def _has_weights(names: frozenset[str]) -> bool:
    """Whether the files include weights, with all shards."""
    weights = [name for name in names if name.endswith((".safetensors", ".bin"))]
    shards = Counter(found.group(2, 1, 3) for name in weights if (found := _SHARD.fullmatch(name)))
    return bool(weights) and all(count == int(of) for (of, *_), count in shards.items())


def _snapshots(repo: Path) -> Iterator[Path]:
    """Yield the snapshots of a repository in the Hub's cache, ``main`` first."""
    main = ""
    with suppress(OSError):
        main = read_small(repo / "refs" / "main").decode(errors="replace").strip()
    names = _listing(repo / "snapshots")
    for name in sorted(names, key=lambda name: (name != main, name)):
        yield repo / "snapshots" / name


def _listing(folder: Path) -> frozenset[str]:
    """Return the names in a folder, without broken links; empty if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(e.name for e in entries if not e.is_symlink() or os.path.exists(e))
    except OSError:
        return frozenset()
