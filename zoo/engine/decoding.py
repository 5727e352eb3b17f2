"""Decoding a run's inputs once, into the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch

from zoo.data.samples import Samples
from zoo.engine.feature_files import describe, is_whole, mark_used, remove_left
from zoo.engine.progress import Reporter
from zoo.modalities.batches import Decoding
from zoo.system.byte_sizes import in_bytes

MOST_BYTES = 10**9
"""Size limit of a decoded split; above it, inputs are decoded in every epoch."""


def worth_decoding(
    asked: bool | None, decoding: Decoding, *, device: torch.device, epochs: int
) -> bool:
    """Whether to decode inputs once.

    Args:
        asked: The user's choice; ``None`` decodes once where there are several epochs, and
            decoding is slow or the network computes on an accelerator.
        decoding: How they are decoded.
        device: Device of the network.
        epochs: Passes over the inputs.
    """
    if asked is not None:
        return asked
    return epochs > 1 and (decoding.slow or device.type != "cpu")


def decoded_once(
    samples: Samples,
    decoding: Decoding,
    *,
    folder: Path,
    facts: Mapping[str, str | int],
    reporter: Reporter,
) -> Samples:
    """``samples``, decoded, or unchanged where that would take too much space.

    Args:
        samples: Inputs that take time to decode.
        decoding: How to decode them.
        folder: Folder of the cache.
        facts: Description shown by ``zoo cache``.
        reporter: Receives progress, and a note if the cache is not writable.

    Raises:
        BadFilesError: An input cannot be read.
    """
    if not decoding.applies(samples):
        return samples
    nouns = samples.kind.nouns
    key = f"{samples.fingerprint}\n{decoding.key}"
    file = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.arrow"
    remove_left(folder)
    whole = is_whole(file)
    if whole is False:
        reporter.note(f"the decoded {nouns} in {file} are damaged; decoding them again")
    found = decoding.opened(samples, file) if whole else None
    if found is None:
        if (size := decoding.estimated_bytes(samples)) > MOST_BYTES:
            reporter.note(
                f"the decoded {nouns} would take {in_bytes(size)}; decoding them in every epoch instead"
            )
            return samples
        try:
            with reporter.steps("decoding", len(samples)) as advance:
                for count in decoding.decode(samples, file):
                    for _ in range(count):
                        advance()
            describe(file, facts)
        except OSError as error:
            reason = error.strerror or error
            reporter.note(f"failed to cache the decoded {nouns} in {folder} ({reason})")
            return samples
        found = decoding.opened(samples, file)
    mark_used(file)
    return found or samples
