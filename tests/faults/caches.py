"""Kill what builds the caches at random moments, and compare the next start with an undisturbed one.

The index of the catalogue, features, and decoded images in turn, each into an empty cache:

    python -m tests.faults.caches --kills 60
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from itertools import cycle
from pathlib import Path

import numpy as np
from PIL import Image

from tests.faults import children, tallies
from tests.faults.tallies import Tally

IMAGES = 150  # a class


def write_images(folder: Path) -> Path:
    """Two classes of images."""
    generator = np.random.default_rng(0)
    for channel, name in enumerate(("red", "green")):
        (folder / name).mkdir(parents=True)
        for number in range(IMAGES):
            pixels = generator.integers(0, 200, (96, 96, 3), dtype=np.uint8)
            pixels[..., channel] += 40
            Image.fromarray(pixels).save(folder / name / f"{number}.jpg")
    return folder


def builders(images: Path) -> Mapping[str, Callable[[Path], None]]:
    """What builds each cache, and writes down in a file what it has come to."""
    import zoo
    from zoo.engine.progress import Quiet
    from zoo.registry.registry import Registry

    registry = Registry.discover()  # so that no training has to wait for the index

    def index(result: Path) -> None:
        found = Registry.discover()
        rows = [found.spec(name).to_json() for name in found.names()]
        result.write_text(_digest(json.dumps(rows).encode()))

    def trained(result: Path, **options: object) -> None:
        run = zoo.finetune(
            "cnn", images, weights="none", image_size=64, workers=0, registry=registry,
            output=result.with_suffix(""), reporter=Quiet(), report=False, **options,
        )  # fmt: skip
        result.write_text(json.dumps([run.record["sha256"], run.metrics]))
        shutil.rmtree(run.folder)

    return {
        "index": index,
        "features": lambda result: trained(result, strategy="probe"),
        "images": lambda result: trained(result, strategy="bias", epochs=1, cache_images=True),
    }


def torment(folder: Path, kills: int, seed: int) -> Tally:
    """Kill ``kills`` times; each cache is killed at most three times, and then left alone."""
    os.environ |= {"OMP_NUM_THREADS": "1", "ZOO_CACHE": str(folder / "cache")}
    import torch

    torch.set_num_threads(1)
    chance, tally = random.Random(seed), Tally()
    undisturbed: dict[str, tuple[str, float]] = {}
    built = builders(write_images(folder / "data"))
    for number, (what, build) in enumerate(cycle(built.items())):
        if tally.kills >= kills:
            return tally
        cache, result = folder / f"cache-{number}", folder / f"{number}.result"
        os.environ["ZOO_CACHE"] = str(cache)
        if what not in undisturbed:
            began = time.monotonic()
            child = children.fork(lambda: build(result))  # noqa: B023
            assert children.wait(child) == children.DONE, what
            undisturbed[what] = result.read_text(), time.monotonic() - began
            shutil.rmtree(cache)
            result.unlink()
        expected, seconds = undisturbed[what]
        for _ in range(3):
            if tally.kills == kills:
                break
            child = children.fork(lambda: build(result))  # noqa: B023
            ended = children.strike(child, chance.uniform(0, seconds), signal.SIGKILL)
            shutil.rmtree(result.with_suffix(""), ignore_errors=True)
            if ended == children.DONE:
                break
            assert ended == children.KILLED, what
            tally.kills += 1
            tally.begun += any(path.name.startswith(".") for path in cache.rglob("*.*"))
        result.unlink(missing_ok=True)
        child = children.fork(lambda: build(result))  # noqa: B023
        assert children.wait(child) == children.DONE, f"{what} could not be built again"
        if result.read_text() == expected:
            tally.whole += 1
        else:
            tally.lost += (f"{what} in round {number}: {result.read_text()}",)
        shutil.rmtree(cache)
    raise AssertionError("unreachable: cycle never ends")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    tallies.main(__doc__, torment, kills=60)
