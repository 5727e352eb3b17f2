"""What a run and the caches keep is written beside, flushed and renamed: no crash leaves half."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import Zoo


@dataclass
class Kept:
    """Which files were flushed, in which state, and which names came by renaming."""

    flushed: dict[int, int] = field(default_factory=dict)  # inode: time of the last change
    renamed: set[str] = field(default_factory=set)

    def is_whole(self, path: Path) -> bool:
        """Whether the file was flushed after its last change, and then given its name."""
        found = path.stat()
        names = {os.path.realpath(each) for each in (path, *path.parents)}
        return self.flushed.get(found.st_ino) == found.st_mtime_ns and bool(names & self.renamed)


@contextmanager
def watched() -> Iterator[Kept]:
    """What is flushed and renamed inside the block."""
    kept, fsync = Kept(), os.fsync

    def flush(file: Any) -> None:
        fsync(file)
        found = os.fstat(file if isinstance(file, int) else file.fileno())
        kept.flushed[found.st_ino] = found.st_mtime_ns

    def noted(move: Callable[..., None]) -> Callable[..., None]:
        def moved(source: Any, target: Any, **more: Any) -> None:
            move(source, target, **more)
            kept.renamed.add(os.path.realpath(target))

        return moved

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", flush)
        patch.setattr(os, "rename", noted(os.rename))
        patch.setattr(os, "replace", noted(os.replace))
        yield kept


def test_the_watch_tells_whole_files_from_others(tmp_path: Path) -> None:
    whole, cut, plain = (tmp_path / name for name in ("whole", "cut", "plain"))
    with watched() as kept:
        for path in (whole, cut):
            with (tmp_path / "new").open("w") as file:
                file.write("a")
                file.flush()
                if path is whole:
                    os.fsync(file.fileno())
            (tmp_path / "new").rename(path)
        with plain.open("w") as file:
            os.fsync(file.fileno())
    assert [kept.is_whole(path) for path in (whole, cut, plain)] == [True, False, False]


def test_every_file_of_a_run_and_of_the_caches_is_flushed_and_then_gets_its_name(
    few_photos: Path, tmp_path: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, out = tmp_path / "cache", tmp_path / "out"
    monkeypatch.setenv("ZOO_CACHE", str(cache))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", cache / "tables")
    table = tmp_path / "reviews.csv"
    table.write_text("text,label\n" + "good,yes\nbad,no\n" * 10)
    small = ("--epochs", "1", "--workers", "0", "--no-report")
    image = ("finetune", "cnn", "--data", few_photos, "--image-size", "16", *small)
    photo = few_photos / "red" / "0.png"
    with watched() as kept:
        for command in (
            (*image, "--strategy", "full", "--output", out / "full"),
            (*image, "--strategy", "probe", "--output", out / "probe"),
            ("finetune", "lstm", "--data", table, *small, "--output", out / "text"),
            ("predict", out / "full", photo, "--output", out / "said.csv"),
            ("embed", out / "full", few_photos, "--output", out / "features.npy"),
            ("export", out / "full", "--format", "native", "--output", out / "native"),
        ):
            done = zoo_cli(*command)
            assert done.code == 0, done.err
    made = [path for root in (out, cache) for path in root.rglob("*") if path.is_file()]
    assert {path.relative_to(cache).parts[0] for path in made if path.is_relative_to(cache)} >= {
        "features",
        "index",
        "tables",
    }
    assert {"model.safetensors", "run.json", "metrics.jsonl"} <= {path.name for path in made}
    transactional = {cache / "examined.sqlite"}
    assert [
        str(path) for path in made if not kept.is_whole(path) and path not in transactional
    ] == []
