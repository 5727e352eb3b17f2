"""Run folders and registry files that name code, point outside, or describe what cannot be."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.end_to_end.conftest import Zoo
from tests.faults.test_hostile_weights import changed, copied
from zoo.errors import PluginError, RunError, UsageError, ZooError


def altered(run: Path, *path: str, to: Any) -> Path:
    """``run.json`` with another value at one place."""
    record = json.loads((run / "run.json").read_text())
    inner = record
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    (run / "run.json").write_text(json.dumps(record))
    return run


@pytest.fixture
def run(run_of_photos: Path, tmp_path: Path) -> Path:
    return copied(run_of_photos, tmp_path / "run")


@pytest.fixture
def published(run: Path, outside: Path) -> Path:
    """The run, published as ``mine`` by a registry.toml in the working directory."""
    Path("registry.toml").write_text(f"[models.mine]\nrun = {json.dumps(str(run))}\n")
    return run


# -- code --------------------------------------------------------------------------------------


LOADERS = (
    "evil:load",
    "os:system",
    "zoo.engine.surgery:find_surgery",
    "subprocess:run",
    "..evil:load",
)


@pytest.mark.parametrize("loader", LOADERS)
def test_a_loader_of_no_plugin_is_neither_imported_nor_called(
    loader: str,
    published: Path,
    marker: Path,
    few_photos: Path,
    zoo_cli: Zoo,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("evil.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(Path.cwd())  # as 'python -m zoo' has it
    altered(published, "spec", "loader", to=loader)
    image = few_photos / "red" / "0.png"
    for command in (
        ("predict", published, image),
        ("evaluate", published, "--data", few_photos),
        ("finetune", "mine", "--data", few_photos),
        ("show", "mine"),
    ):
        done = zoo_cli(*command)
        assert done.code == 1, command
        assert "code named by a run folder is not executed" in done.err
    for use in (lambda: zoo.load("mine"), lambda: zoo.open_run(published).load()):
        with pytest.raises(RunError, match="installed plugin"):
            use()
    assert "evil" not in sys.modules


def test_a_surgery_that_a_run_names_is_not_imported(
    run: Path, marker: Path, few_photos: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("evil.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(Path.cwd())
    changed(run, surgery="evil:operate")
    with pytest.raises(UsageError, match="does not import it by itself"):
        zoo.open_run(run).predict([few_photos / "red" / "0.png"])


def test_heads_and_tasks_are_names_and_no_code(run: Path, outside: Path) -> None:
    with pytest.raises(ZooError, match="no head is called"):
        zoo.open_run(altered(run, "head", to="os:system")).load()
    with pytest.raises(RunError, match="task"):
        zoo.open_run(altered(run, "task", to={"name": "__import__('os')"}))


# -- what cannot be ----------------------------------------------------------------------------


HUGE: Mapping[str, tuple[tuple[str, ...], Any]] = {
    "features": (("spec", "feature_dim"), 25_000_000_000),
    "a layer": (("spec", "config", "channels"), [100_000, 500_000]),
    "a grid": (("spec", "config", "grid"), 100_000),
    "images": (("spec", "input", "size"), 200_000),
    "a number that no tensor counts": (("spec", "feature_dim"), 2**70),
    "classes": (("classes",), [f"class {i}" for i in range(300_000)]),
}


@pytest.mark.parametrize("what", HUGE)
def test_a_run_that_asks_for_100_gb_is_refused(
    what: str, published: Path, few_photos: Path, zoo_cli: Zoo
) -> None:
    path, value = HUGE[what]
    altered(published, *path, to=value)
    done = zoo_cli("predict", published, few_photos / "red" / "0.png")
    assert done.code == 1
    assert "run" in done.err
    if what != "classes":  # which are the run's own affair where others start from it
        assert zoo_cli("finetune", "mine", "--data", few_photos, "--epochs", 1).code == 1


STRANGE: Mapping[str, tuple[tuple[str, ...], Any]] = {
    "a record of lists": (("data",), []),
    "classes in one text": (("classes",), "abc"),
    "classes of numbers": (("classes",), [1, 2]),
    "a head of numbers": (("head",), 7),
    "an option that the loader needs": (("spec", "config"), {}),
    "an option of another kind": (("spec", "config"), {"channels": "ab", "grid": 1, "dropout": 0}),
    "a size in words": (("spec", "input", "size"), "224"),
    "means that are not numbers": (("spec", "input", "mean"), ["a", "b", "c"]),
    "another modality": (("spec", "modality"), "text"),
    "a task of numbers": (("task",), 5),
    "a regression without its scale": (("task",), {"name": "regression", "metric": "loss"}),
    "results of nothing": (("results",), {}),
    "a share of two": (("data", "val_split"), 2),
    "columns of numbers": (("data", "text_column"), [1, 2]),
}


@pytest.mark.parametrize("what", STRANGE)
def test_a_record_that_cannot_be_is_reported_in_a_line(
    what: str, run: Path, few_photos: Path, zoo_cli: Zoo, outside: Path
) -> None:
    path, value = STRANGE[what]
    altered(run, *path, to=value)
    done = zoo_cli("predict", run, few_photos / "red" / "0.png")
    assert done.code == 1
    assert "run" in done.err
    with pytest.raises((RunError, PluginError)):
        zoo.open_run(run).load()


# -- outside -----------------------------------------------------------------------------------


def test_a_name_of_registry_toml_leads_to_a_folder_that_is_only_read(
    outside: Path, few_photos: Path, zoo_cli: Zoo
) -> None:
    """Whatever a file in the working directory names: it is read as a run, and nothing else."""
    names = {
        "up": "../outside",
        "absolute": str(outside),
        "nobody": "~no-such-user-here/run",
        "nul": "a\\u0000b",
        "long": "x" * 10_000,
        "device": "/dev",
        "escape": "\\u001b[2Jgone",
    }
    lines = [f'[models.{name}]\nrun = "{folder}"\n' for name, folder in names.items()]
    Path("registry.toml").write_text("".join(lines))
    done = zoo_cli("list")
    assert done.code == 0
    assert "\x1b" not in done.out + done.err
    for name in names:
        for command in (("show", name), ("finetune", name, "--data", few_photos)):
            done = zoo_cli(*command)
            assert done.code == 1
            assert name in done.err
            assert "\x1b" not in done.err
    assert {path.name for path in Path.cwd().iterdir()} == {"registry.toml"}


def test_the_run_of_a_name_with_a_path_in_it_stays_in_the_folder_of_runs(
    run: Path, outside: Path, few_photos: Path, zoo_cli: Zoo
) -> None:
    names = ("../../outside/x", "/tmp/absolute", "..", "a\\nb", "\\u001b[31mred", "x" * 10_000)
    lines = [f'[models."{name}"]\nrun = {json.dumps(str(run))}\n' for name in names]
    Path("registry.toml").write_text("".join(lines))
    before = set(outside.parent.iterdir())
    for name in names:
        done = zoo_cli(
            *(
                "finetune",
                "--no-report",
                json.loads(f'"{name}"'),
                "--data",
                few_photos,
                "--epochs",
                1,
            ),
            *("--strategy", "probe", "--workers", 0),
        )
        assert done.code == 0, done.err
        assert "\x1b" not in done.out + done.err
    assert len(list(Path("runs").iterdir())) == len(names)
    assert set(outside.parent.iterdir()) == before


def test_a_state_behind_a_link_is_not_written_through(
    run: Path, outside: Path, few_photos: Path, zoo_cli: Zoo
) -> None:
    """A run that somebody else made, to be gone on with, whose parts are links to elsewhere."""
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "finished": False}))
    (run / "last").symlink_to(outside)
    for name in ("model.safetensors", "README.md", "metrics.jsonl", "predictions.parquet"):
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(outside / "kept.txt")
    (run / ".lock").unlink(missing_ok=True)
    done = zoo_cli("finetune", "--resume", run, "--save-every", 0)
    assert done.code == 1
    assert "link" in done.err


def test_a_lock_that_is_a_link_leaves_its_target_alone(
    run: Path, outside: Path, zoo_cli: Zoo
) -> None:
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "finished": False}))
    (run / ".lock").symlink_to(outside / "kept.txt")
    assert zoo_cli("finetune", "--resume", run).code == 1


def test_a_lock_file_that_never_ends_is_refused(
    outside: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    folder = tmp_path / "endless"
    folder.mkdir()
    os.mkfifo(folder / "run.json")
    assert zoo_cli("predict", folder, "x.jpg").code == 1
    (folder / "run.json").unlink()
    (folder / "run.json").symlink_to("/dev/zero")
    assert zoo_cli("predict", folder, "x.jpg").code == 1


def test_the_next_command_of_a_run_is_quoted(run: Path) -> None:
    """It is there to be pasted into a shell."""
    altered(run, "spec", "modality", to="image")
    opened = zoo.open_run(altered(run, "example", to="$(touch x); `touch y` 'z'\n.png"))
    assert shlex.split(opened.next_command())[-1].endswith("$(touch x); `touch y` 'z'\n.png")
