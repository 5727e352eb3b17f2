"""``zoo cache``: what is listed, and what is removed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Zoo
from zoo.engine.feature_files import describe
from zoo.system.leftovers import held
from zoo.system.paths import COMPILED
from zoo.system.plurals import counted


@pytest.fixture
def features(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Three files of a kilobyte, used 0, 10 and 40 days ago; what the last is of is not known."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    folder = tmp_path / "features"
    folder.mkdir()
    now = time.time()
    for name, days in (("new", 0), ("older", 10), ("oldest", 40)):
        path = folder / f"{name}.npy"
        path.write_bytes(bytes(1000))
        os.utime(path, (now - days * 86_400,) * 2)
        if days < 40:
            facts = {"backbone": "acme/mid", "precision": "fp32", "data": "photos", "split": "val"}
            describe(path, {**facts, "samples": 5, "features": 50})
    return folder


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_files_are_listed_the_last_used_first(zoo: Zoo, features: Path) -> None:
    lines = zoo("cache").out.splitlines()
    assert [line.split() for line in lines[:-1]] == [
        ["backbone", "precision", "data", "split", "samples", "features", "size", "last", "used"],
        ["acme/mid", "fp32", "photos", "val", "5", "50", "1", "kB", "today"],
        ["acme/mid", "fp32", "photos", "val", "5", "50", "1", "kB", "10", "days", "ago"],
        ["?", "?", "?", "?", "?", "?", "1", "kB", "40", "days", "ago"],
    ]
    assert lines[-1] == f"3 files, 3 kB: {features.parent}"
    rows = zoo("cache", "--json").document
    assert [Path(row["path"]).name for row in rows] == ["new.npy", "older.npy", "oldest.npy"]
    assert (rows[0]["backbone"], rows[0]["bytes"]) == ("acme/mid", 1000)
    assert len(left(features)) == 5  # nothing was removed


def test_compiled_networks_count_as_one(zoo: Zoo, features: Path) -> None:
    code = features.parent / COMPILED / "ab" / "graph.so"
    code.parent.mkdir(parents=True)
    code.write_bytes(bytes(10**6))
    [row] = [
        row
        for row in zoo("cache", "--json").document
        if "bytes" in row and not row["path"].endswith(".npy")
    ]
    assert (row["data"], row["path"]) == ("compiled networks", str(features.parent / COMPILED))
    assert row["bytes"] >= 10**6
    assert "compiled networks" in zoo("cache").out
    zoo("cache", "--prune", "--keep", "500kB")
    assert (code.exists(), len(left(features))) == (False, 5)  # alone larger than that
    zoo("cache", "--prune")
    assert not left(features)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ([], set()),
        (["--older-than", 30], {"new", "older"}),
        (["--older-than", 5], {"new"}),
        (["--keep", "2kB"], {"new", "older"}),
        (["--keep", "1.5 kB"], {"new"}),
        (["--keep", "0"], set()),
        (["--keep", "1GB"], {"new", "older", "oldest"}),
        (["--older-than", 5, "--keep", "1GB"], {"new"}),
    ],
)
def test_pruning_removes_what_the_options_say(
    zoo: Zoo, features: Path, options: list[object], kept: set[str]
) -> None:
    done = zoo("cache", "--prune", *options)
    assert done.code == 0
    files = 3 - len(kept)
    words = f"{counted(files, 'file')}, {files} "
    assert done.out.splitlines()[-1].startswith(words)
    assert {name.removesuffix(".npy") for name in left(features) if name.endswith(".npy")} == kept
    assert not {"new.json", "older.json"} & left(features) - {f"{name}.json" for name in kept}


def test_files_used_at_the_same_time_have_an_order_all_the_same(zoo: Zoo, features: Path) -> None:
    """Clocks of file systems tick slowly, and a restored cache may have one time throughout."""
    names = ["a.arrow", "b.npy", "new.npy", "older.npy", "oldest.npy", "z.arrow"]
    for name in names:
        (features / name).write_bytes(bytes(1000))
        os.utime(features / name, ns=(10**18, 10**18))
    assert [Path(row["path"]).name for row in zoo("cache", "--json").document] == names
    zoo("cache", "--prune", "--keep", "2kB")
    assert left(features) == {"a.arrow", "b.npy"}


def test_pruning_takes_what_a_killed_process_left_and_nothing_that_is_being_written(
    zoo: Zoo, features: Path
) -> None:
    for name in (".a.1.npy", ".b.2.npy", ".c.3.arrow"):
        (features / name).write_bytes(bytes(10))
        os.utime(features / name, (time.time() - 60,) * 2)
    with held(features / ".b.2.npy"):
        assert zoo("cache", "--prune").code == 0
    assert left(features) == {".b.2.npy"}


def test_an_empty_cache_is_no_error(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "none"))
    assert zoo("cache", "--json").document == []
    assert zoo("cache", "--prune").out == f"0 files, 0 B removed: {tmp_path / 'none'}\n"


def test_wrong_options_are_reported(zoo: Zoo, features: Path) -> None:
    done = zoo("cache", "--keep", "2GB")
    assert done.code == 1
    assert "Add --prune" in done.err
    assert "'much' is not a valid size" in zoo("cache", "--prune", "--keep", "much").err
    assert len(left(features)) == 5
