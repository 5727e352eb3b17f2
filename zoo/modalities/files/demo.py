"""The demo data that a plugin makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from zoo.data.kind import DemoData
from zoo.data.sequences import Indices, Listed
from zoo.modalities.files.reading import calling, encoded

if TYPE_CHECKING:
    from zoo.modalities.files.functions import FileFunctions


def demo_of(modality: FileFunctions) -> DemoData:
    """See :class:`zoo.data.kind.DemoData`."""

    def make(names: Sequence[str], seed: int) -> tuple[Listed, Indices, list[bytes]]:
        with calling(modality, "make_demo"):
            made = [(raw, label) for raw, label in modality.make_demo(seed) if label in names]
        raws = tuple(raw for raw, _ in made)
        titles = tuple(f"{source} {modality.noun} {i + 1}" for i in range(len(raws)))
        labels = np.array([names.index(label) for _, label in made], dtype=np.int64)
        return Listed(raws, titles), labels, [encoded(modality, raw) for raw in raws]

    source = f"demo/{modality.nouns}"
    return DemoData(source, modality.demo_classes, make, epochs=modality.demo_epochs)
