"""Demo images: handwritten digits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from zoo.data.kind import DemoData
from zoo.data.sequences import Indices, Listed


def _digits(names: Sequence[str], _: int) -> tuple[Listed, Indices, list[bytes]]:
    from sklearn.datasets import load_digits

    data = load_digits()
    chosen = np.flatnonzero(data.target < len(names))
    grey = np.rint(data.images[chosen] * (255 / 16)).astype(np.uint8)  # (N, 8, 8), were 0 to 16
    images = tuple(Image.fromarray(pixels).convert("RGB") for pixels in grey)
    inputs = Listed(images, tuple(f"demo/digits image {i + 1}" for i in chosen))
    return inputs, data.target[chosen].astype(np.int64), [pixels.tobytes() for pixels in grey]


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
