"""Data opened as commands open it, with the name of a task in the place of its object."""

from __future__ import annotations

from typing import Any

from zoo.data import dataset, demo, loader, rows, subsample
from zoo.data.samples import Samples, Splits
from zoo.modalities.image.batches import ImageBatches
from zoo.modalities.image.not_seen import Reading
from zoo.modalities.image.transforms import ImageTransform
from zoo.modalities.text.batches import TextBatches
from zoo.modalities.text.tokenization import TextEncoder
from zoo.tasks import AUTO, tasks_for


def open_data(source: Any, *, task: str = AUTO, **options: Any) -> Splits:
    return dataset.open_data(source, tasks=tasks_for(task), **options)


def open_rows(source: Any, *, task: str = AUTO, **options: Any) -> rows.Rows:
    return rows.open_rows(source, tasks=tasks_for(task), **options)


def open_subsample(source: Any, *, task: str = AUTO, **options: Any) -> Splits:
    return subsample.open_subsample(source, tasks=tasks_for(task), **options)


def demo_data(modality: Any, **options: Any) -> Splits:
    return demo.demo_data(modality, task="single-label", **options)


def make_loader(
    samples: Samples,
    *,
    transform: ImageTransform | None = None,
    encoder: TextEncoder | None = None,
    seed: int = 0,
    reading: Reading | None = None,
    **options: Any,
) -> loader.Loader:
    reader = TextBatches(samples, encoder) if encoder else None
    if transform is not None:
        reader = ImageBatches(samples, transform, seed, reading)
    return loader.make_loader(reader, seed=seed, **options)
