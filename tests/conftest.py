"""What every test stands on: one thread a process, and folders of its own instead of the user's."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

# Two test processes on two cores: more threads would only wait for each other. Before torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_StopsAtAnImportError(config))


class _StopsAtAnImportError:
    """pytest stops when a module of tests cannot be imported; pytest-xdist would run all others."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        distributed = self._config.pluginmanager.getplugin("dsession")
        if report.failed and distributed and not self._config.option.continue_on_collection_errors:
            distributed.shouldstop = "a module of tests cannot be imported"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow tests, the longest first, so that none is left for last."""
    items.sort(key=lambda item: -_minutes(item.get_closest_marker("slow")))


def pytest_collection_finish() -> None:
    """Spare the garbage collector the libraries: walking them takes 40 % of a short fine-tune."""
    _Imported.settle()
    gc.set_threshold(50_000, 20, 20)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """The same for what a test was the first to import."""
    if len(sys.modules) > _Imported.modules + 50:
        _Imported.settle()


class _Imported:
    """Objects of imported modules live as long as the process; nobody need look for them again."""

    modules = 0

    @classmethod
    def settle(cls) -> None:
        gc.collect()
        gc.freeze()
        cls.modules = len(sys.modules)


def _minutes(slow: pytest.Mark | None) -> float:
    """The minutes that a slow test states; a tenth if it states none, 0 for the others."""
    if slow is None:
        return 0.0
    return float(slow.args[0]) if slow.args else 0.1


@pytest.fixture(autouse=True)
def no_run_is_left_in_the_current_folder() -> Iterator[None]:
    """Every test that trains says where to, or works in a folder of its own."""
    runs = Path.cwd() / "runs"
    before = set(runs.glob("*"))
    yield
    left = sorted(path.name for path in set(runs.glob("*")) - before)
    assert not left, f"left in {runs.name}/ of the current folder: {', '.join(left)}"


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Caches and settings that no earlier run has touched, and none later will see."""
    home = tmp_path_factory.mktemp("home")
    places = {
        "ZOO_CACHE": home / "zoo",
        "XDG_CONFIG_HOME": home / "config",
        "TORCH_HOME": home / "torch",
        "HF_DATASETS_CACHE": home / "datasets",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, path in places.items():
            patch.setenv(name, str(path))
        for name in ("ZOO_PLUGINS", "ZOO_RESOLVE_ORDER"):
            patch.delenv(name, raising=False)
        yield
