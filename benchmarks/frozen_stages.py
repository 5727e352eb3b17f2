"""Speed-up from caching the outputs of frozen stages.

Trains only the last stage of a network, or the last two, with and without caching the outputs of the
frozen stages (:mod:`zoo.engine.prefixed`). The cache is empty before each run. Measures the CPU time of
the whole fine-tuning run.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click

import zoo
from benchmarks.report import provenance, table, update_section
from zoo.engine.progress import Quiet


@dataclass(frozen=True)
class PartlyFrozen:
    """A network, the last frozen stage, and the training data."""

    backbone: str
    freeze_until: str
    trains: str
    data: str
    options: tuple[tuple[str, Any], ...] = ()


_MINILM = "hf/sentence-transformers/all-MiniLM-L6-v2"
CASES = (
    PartlyFrozen(_MINILM, "layer.4", "1 of 6 layers", "sst2"),
    PartlyFrozen(_MINILM, "layer.3", "2 of 6 layers", "sst2"),
    PartlyFrozen("resnet18", "layer3", "1 of 4 stages", "clothing", (("cached_views", 1),)),
    PartlyFrozen("resnet18", "layer2", "2 of 4 stages", "clothing", (("cached_views", 1),)),
)


@click.command()
@click.option("--data", default="../shared/data", type=click.Path(path_type=Path))
@click.option("--samples", default=200, help="Training samples (default: 200).")
@click.option("--epochs", default=5, help="Number of epochs (default: 5).")
@click.option("--rounds", default=3, help="Rounds; the median is reported (default: 3).")
@click.option(
    "--image-size", default=96, help="Height and width of images, in pixels (default: 96)."
)
def main(data: Path, samples: int, epochs: int, rounds: int, image_size: int) -> None:
    """Measure the speed-up for a text network and an image network."""
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        datasets = {
            "sst2": _texts(data, folder, samples),
            "clothing": _images(data, folder, samples),
        }
        for case in CASES:
            size = {"image_size": image_size} if case.data == "clothing" else {}
            options = {**dict(case.options), **size, "epochs": epochs}
            # Not measured: the first run of each modality imports libraries.
            _seconds(case, datasets[case.data], folder, {**options, "epochs": 2}, cached=True)
            seconds = [
                tuple(
                    _seconds(case, datasets[case.data], folder, options, cached=cached)
                    for cached in (False, True)
                )
                for _ in range(rounds)
            ]
            rows.append(_row(case, seconds))
            click.echo(" | ".join(rows[-1]), err=True)
    columns = ("network", "trained", "uncached, s", "cached, s", "speed-up")
    text = (
        f"{table(columns, rows)}\n\n{samples} training samples, {epochs} epochs, images of "
        f"{image_size} pixels, one view per image, one thread. {provenance('frozen_stages')}"
    )
    print(text)
    update_section("frozen stages", text)


def _row(case: PartlyFrozen, seconds: Sequence[tuple[float, ...]]) -> list[str]:
    uncached, cached = (statistics.median(column) for column in zip(*seconds, strict=True))
    ratios = [slow / fast for slow, fast in seconds]
    spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    return [case.backbone, case.trains, f"{uncached:.1f}", f"{cached:.1f}", spread]


def _seconds(
    case: PartlyFrozen, data: Path, folder: Path, options: dict[str, Any], *, cached: bool
) -> float:
    """CPU time of a fine-tuning run including validation, with or without caching frozen stages."""
    shutil.rmtree(folder / "run", ignore_errors=True)
    shutil.rmtree(folder / "cache", ignore_errors=True)
    caching = nullcontext() if cached else patch("zoo.engine.loop.prefixed", return_value=None)
    with patch.dict(os.environ, {"ZOO_CACHE": str(folder / "cache")}), caching:
        began = time.process_time()
        zoo.finetune(
            case.backbone,
            data,
            **options,
            strategy="full",
            weights="none",
            freeze_until=case.freeze_until,
            workers=0,
            output=folder / "run",
            report=False,
            reporter=Quiet(),
        )
        return time.process_time() - began


def _texts(data: Path, folder: Path, samples: int) -> Path:
    (folder / "sst2").mkdir()
    for split, name, count in (("train", "train", samples), ("dev", "val", samples // 4)):
        lines = (data / "sst2" / f"{split}.tsv").read_text(encoding="utf-8").splitlines()
        text = "\n".join(lines[: count + 1]) + "\n"
        (folder / "sst2" / f"{name}.tsv").write_text(text, encoding="utf-8")
    return folder / "sst2"


def _images(data: Path, folder: Path, samples: int) -> Path:
    names = sorted(path.name for path in (data / "clothing" / "train").iterdir() if path.is_dir())
    for split, count in (("train", samples), ("val", samples // 4)):
        for name in names:
            target = folder / "clothing" / split / name
            target.mkdir(parents=True)
            found = sorted((data / "clothing" / split / name).glob("*.jpg"))
            for path in found[: -(-count // len(names))]:
                shutil.copy(path, target)
    return folder / "clothing"


if __name__ == "__main__":
    main()
