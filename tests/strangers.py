"""Distributions that tests write and install by putting them on ``sys.path``."""

from __future__ import annotations

import importlib
import itertools
import textwrap
from pathlib import Path

import pytest

_numbers = itertools.count()  # an imported module stays imported, so that no name serves twice


class Strangers:
    """A folder on ``sys.path``, also of child processes, with installed plugins.

    Args:
        folder: An empty folder; a cache of its own is made beside it.
        patch: Undone at the end of the test.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.site = folder / "site"
        self.site.mkdir()
        patch.syspath_prepend(str(self.site))
        patch.setenv("PYTHONPATH", str(self.site))
        patch.setenv("ZOO_CACHE", str(folder / "cache"))

    def install(self, name: str, code: str, *, version: str = "0.1") -> str:
        """Install the plugin ``name`` from the distribution ``zoo-<name>``; returns its module.

        ``{module}`` in the code is replaced by the module's name.
        """
        module = f"stranger_{next(_numbers)}"
        (self.site / f"{module}.py").write_text(
            textwrap.dedent(code).replace("{module}", module), encoding="utf-8"
        )
        metadata = self.metadata(name)
        metadata.mkdir()
        (metadata / "entry_points.txt").write_text(f"[zoo.plugins]\n{name} = {module}\n")
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: zoo-{name}\nVersion: {version}\n"
        )
        importlib.invalidate_caches()
        return module

    def metadata(self, name: str) -> Path:
        """The folder by which the distribution is found; without it, it is not installed."""
        return self.site / f"zoo_{name.replace('-', '_')}-0.1.dist-info"
