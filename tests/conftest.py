"""What every test stands on: one thread a process, and folders of its own instead of the user's."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Two test processes on two cores: more threads would only wait for each other. Before torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from tests import messages

_CHOOSE = (
    "keyword",
    "deselect",
    "lf",
    "stepwise",
    "collectonly",
    "ignore",
    "ignore_glob",
    "maxfail",
)
"""Options with which a run is but a part of the suite."""


def pytest_configure(config: pytest.Config) -> None:
    """Note which messages of the zoo this process, and those that it starts, come to see."""
    if not hasattr(config, "workerinput"):
        os.environ[messages.FOLDER] = tempfile.mkdtemp(prefix="messages-")
    messages.watch()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Let the whole everyday suite fail if no test has seen some message, and name each such."""
    if hasattr(session.config, "workerinput"):
        return
    whole = exitstatus == pytest.ExitCode.OK and _everything(session.config)
    left = messages.unreached(messages.gathered(keep=whole))
    shutil.rmtree(os.environ[messages.FOLDER])
    if left and whole:
        told = session.config.pluginmanager.get_plugin("terminalreporter").stats
        print(f"\nNo test has seen {len(left)} of the messages; give each a test, or remove it:")
        print("\n".join(f"{m.file}:{m.lines[0]}: {m.text}" for m in left))
        print(f"{len(told.get('skipped', ()))} tests were skipped, and have seen none.")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _everything(config: pytest.Config) -> bool:
    return (
        config.args_source is pytest.Config.ArgsSource.TESTPATHS
        and config.getoption("markexpr").startswith("not slow")
        and not any(config.getoption(name, None) for name in _CHOOSE)
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the proofs that say how many minutes they take, so that none is left for last."""
    items.sort(key=lambda item: -_minutes(item.get_closest_marker("slow")))


def pytest_collection_finish() -> None:
    """Keep the garbage collector from walking the libraries again for every network that is built.

    That took a third of the time of building one.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _minutes(slow: pytest.Mark | None) -> float:
    return float(slow.args[0]) if slow and slow.args else 0.0


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
