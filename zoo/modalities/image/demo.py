"""Demo images: handwritten digits."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zoo.data.kind import DemoData
from zoo.data.sequences import Indices, Listed


def _digits(names: Sequence[str], _: int) -> tuple[Listed, Indices, list[bytes]]:
    pixels, labels = _read_digits()
    chosen = np.flatnonzero(labels < len(names))
    grey = np.rint(pixels[chosen] * (255 / 16)).astype(np.uint8)  # were 0 to 16
    images = tuple(Image.fromarray(each).convert("RGB") for each in grey)
    inputs = Listed(images, tuple(f"demo/digits image {i + 1}" for i in chosen))
    return inputs, labels[chosen], [each.tobytes() for each in grey]


def _read_digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """``(N, 8, 8)`` and ``(N,)``, as scikit-learn's ``load_digits``, without importing it."""
    found = find_spec("sklearn")
    assert found is not None  # a dependency
    assert found.submodule_search_locations
    file = Path(found.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    table = np.loadtxt(file, delimiter=",")
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)


DIGITS = DemoData(
    source="demo/digits",
    classes=tuple("0123456789"),
    make=_digits,
    image_size=32,  # they are scanned at 8 x 8, and more shows no more of them
    epochs=8,
    flip=False,  # a mirrored 2 is not a digit
    min_scale=0.7,  # a third of a 7 is a 1
)
"""1,797 digits of 8 x 8 pixels: scikit-learn's, from UCI's "Optical Recognition of Handwritten
Digits"."""
