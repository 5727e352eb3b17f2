"""What the commands write lies in the output folder and in the caches, and nowhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import Zoo

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = (
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
)

_written: list[Path] | None = None


@cache
def _watch() -> None:
    """Note each path that is opened for writing, made, renamed or removed."""

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if _written is None:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, (str, bytes)) and flags & _WRITES:
                _written.append(Path(os.path.realpath(os.fsdecode(path))))
        elif event in _CHANGES:
            _written.append(Path(os.path.realpath(os.fsdecode(arguments[0]))))

    sys.addaudithook(note)


@contextmanager
def watched() -> Iterator[list[Path]]:
    """What this process writes inside the block."""
    global _written
    _watch()
    _written = found = []
    try:
        yield found
    finally:
        _written = None


def test_the_watch_sees_what_is_written_and_not_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "read").write_text("a")
    with watched() as written:
        (tmp_path / "read").read_text()
        (tmp_path / "new").write_text("a")
        (tmp_path / "new").rename(tmp_path / "other")
    assert {path.name for path in written} == {"new"}


def test_nothing_outside_of_the_output_and_the_caches_is_written(
    few_photos: Path, tmp_path: Path, outside: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Python, not a command, writes the bytecode of a module that this process imports first.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    libraries = ("TORCHINDUCTOR_CACHE_DIR", "MPLCONFIGDIR")
    for name in ("ZOO_CACHE", "TORCH_HOME", "HF_HOME", *libraries):
        monkeypatch.setenv(name, str(tmp_path / "caches" / name))
    run, others = tmp_path / "out" / "run", tmp_path / "out"
    small = ("--epochs", "1", "--image-size", "16", "--workers", "0")
    with watched() as written:
        for command in (
            ("finetune", "cnn", "--data", few_photos, *small, "--output", run),
            ("predict", run, few_photos / "red" / "0.png", "--output", others / "said.csv"),
            ("evaluate", run, "--data", few_photos),
            ("report", run, "--output", others / "report.html"),
            ("export", run, "--format", "native", "--output", others / "native"),
        ):
            done = zoo_cli(*command)
            assert done.code == 0, done.err
    own = [others.resolve(), (tmp_path / "caches").resolve(), Path("/dev")]
    strange = {path for path in written if not any(path.is_relative_to(each) for each in own)}
    assert {run / "run.json"} <= set(run.iterdir())
    assert len(written) > 10
    assert not strange
