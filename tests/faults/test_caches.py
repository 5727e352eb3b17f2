"""A cache whose building is killed is built again, and gives what an undisturbed one gives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.faults import children
from zoo.modalities import IMAGE

ROOT = Path(__file__).parents[2]


def _aged(folder: Path, pattern: str) -> list[Path]:
    """What a kill has left, as if that were a minute ago."""
    found = list(folder.glob(pattern))
    for path in found:
        os.utime(path, (time.time() - 60,) * 2)
    return found


@pytest.mark.long
def test_a_killed_builder_leaves_nothing_that_the_next_start_takes_for_whole(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.caches", "--kills", "1"],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(" 0 lost\n")


def test_features_killed_while_they_are_written_are_computed_again(tmp_path: Path) -> None:
    from zoo.engine.features import compute
    from zoo.engine.progress import Quiet

    whole = np.arange(12, dtype=np.float32).reshape(4, 3)

    def features(fill: Callable[[NDArray[Any]], None]) -> NDArray[Any]:
        return compute(
            tmp_path, key=("net", "data"), shape=(4, 3), dtype=np.float32, fill=fill,
            facts={"samples": 4}, reporter=Quiet(),
        )  # fmt: skip

    def half(array: NDArray[Any]) -> None:
        array[:2] = 7
        array.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    assert children.wait(children.fork(lambda: features(half))) == children.KILLED
    assert [path.name[0] for path in _aged(tmp_path, ".*.npy")] == ["."], "killed too early"
    assert np.array_equal(features(lambda array: np.copyto(array, whole)), whole)
    assert np.array_equal(features(half), whole), "the second look is at the file"
    assert not list(tmp_path.glob(".*")), "what the kill has left is still there"


def test_images_killed_while_they_are_written_are_decoded_again(tmp_path: Path) -> None:
    from tests.decoded import cache_in, decoded_once, files_in
    from zoo.data.samples import Samples
    from zoo.data.sequences import Paths
    from zoo.modalities.image.decoded import ImageDecoding, ImageWriter

    for number in range(3):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number}.png")
    samples = Samples(IMAGE, Paths.under(tmp_path, [f"{n}.png" for n in range(3)]))
    folder = tmp_path / "cache"

    def half() -> None:
        cache = cache_in(folder, ImageDecoding(8))
        write = ImageWriter._write

        def killed(writer: ImageWriter) -> None:
            write(writer)
            os.kill(os.getpid(), signal.SIGKILL)

        ImageWriter._write = killed  # type: ignore[method-assign]
        with cache.during(3):
            IMAGE.examine(samples.inputs, cache)

    assert children.wait(children.fork(half)) == children.KILLED
    assert _aged(folder, ".*.arrow"), "killed too early"
    assert not files_in(folder)
    found = decoded_once(samples, ImageDecoding(8), folder).inputs
    assert not list(folder.glob(".*")), "what the kill has left is still there"
    reds = [found[n].getpixel((0, 0))[0] for n in range(3)]
    assert reds == [0, 1, 2]


def test_rows_of_a_table_killed_while_they_are_written_are_read_again(tmp_path: Path) -> None:
    from zoo.data.sources.table_cache import fill_cache, opened_cache

    place = tmp_path / "tables" / "rows"

    def killed(*_: object) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    def read(path: str, cache: str) -> Any:
        import datasets

        return datasets.load_dataset("csv", data_files=path, cache_dir=cache, split="train")

    table = tmp_path / "t.csv"
    table.write_text("text,label\na,1\nb,2\n")
    left = children.fork(lambda: fill_cache(place, table, killed))
    assert children.wait(left) == children.KILLED
    assert _aged(place.parent, ".rows-*"), "killed too early"
    fill_cache(place, table, read)
    rows = opened_cache(place)
    assert rows is not None
    assert list(rows["text"]) == ["a", "b"]
    assert [path.name for path in place.parent.iterdir()] == ["rows"]
