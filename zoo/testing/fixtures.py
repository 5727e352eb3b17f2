"""Fixtures for a plugin's own tests: ``pytest_plugins = ["zoo.testing.fixtures"]``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.registry.registry import Registry


@pytest.fixture
def zoo_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a temporary index and settings, isolated from the user's.

    Returns:
        The folder that contains them. It is the working directory, so a ``registry.toml`` written
        there applies.
    """
    folder = tmp_path / "zoo"
    folder.mkdir()
    monkeypatch.setenv("ZOO_CACHE", str(folder / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    for name in ("ZOO_PLUGINS", "ZOO_NO_PLUGIN", "ZOO_RESOLVE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def zoo_registry(
    zoo_folders: Path,  # noqa: ARG001 - for what it sets
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Registry]:
    """``zoo_registry("acme")``: a registry of only these plugins, or of all installed ones."""

    def discover(*plugins: str) -> Registry:
        if plugins:
            monkeypatch.setenv("ZOO_PLUGINS", ",".join(plugins))
        return Registry.discover()

    return discover
