"""Whether a run's pictures are decoded once, into the cache, and then read from there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import PIL
import torch
from PIL import Image

from zoo.data.samples import Samples
from zoo.engine.feature_files import describe, is_whole, mark_used, remove_left
from zoo.engine.progress import Reporter
from zoo.modalities.image.bit_depth import ValueRange
from zoo.modalities.image.decoded import decode, estimated_bytes, opened

MOST_BYTES = 10**9
"""What a split may take decoded; beyond that its pictures are decoded anew in each epoch."""

_SMALL = 128
"""Pixels up to which networks on a CPU are mostly faster than decoding is."""


def worth_decoding(wish: bool | None, *, size: int, device: torch.device, epochs: int) -> bool:
    """Whether pictures are decoded once.

    Args:
        wish: What the user wants; ``None`` leaves it to what pays: reading them more than once,
            for a network that computes faster than pictures can be decoded.
        size: Of the network's pictures, in pixels.
        device: Where it computes.
        epochs: Passes over the pictures.
    """
    if wish is not None:
        return wish
    return epochs > 1 and (size <= _SMALL or device.type != "cpu")


def decoded_once(
    samples: Samples,
    size: int,
    *,
    values: ValueRange,
    folder: Path,
    facts: Mapping[str, str | int],
    reporter: Reporter,
) -> Samples:
    """``samples`` with their pictures decoded, or as they are where that would not fit.

    Args:
        samples: Pictures.
        size: The shorter side in pixels that is needed.
        values: What is black and white in pictures with more than 8 bits.
        folder: Where they are kept.
        facts: What they are of, for people.
        reporter: Sees the steps, and is told if they cannot be kept.

    Raises:
        BadFilesError: A picture cannot be read.
    """
    if not len(samples) or isinstance(samples.picture(0), Image.Image):
        return samples
    key = f"{samples.fingerprint}\n{size}\n{values}\n{PIL.__version__}"
    file = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.arrow"
    remove_left(folder)
    whole = is_whole(file)
    if whole is False:
        reporter.note(f"the decoded images in {file} are damaged; they are decoded again")
    found = opened(samples, file) if whole else None
    if found is None:
        if (taken := estimated_bytes(samples, size, values)) > MOST_BYTES:
            reporter.note(f"decoded, {taken / 1e9:.1f} GB of pictures; they are decoded each time")
            return samples
        try:
            with reporter.steps("decoding", len(samples)) as advance:
                for count in decode(samples, size, file, values):
                    for _ in range(count):
                        advance()
            describe(file, facts)
        except OSError as error:
            reason = error.strerror or error
            reporter.note(f"decoded pictures cannot be kept in {folder} ({reason})")
            return samples
        found = opened(samples, file)
    mark_used(file)
    return found or samples
