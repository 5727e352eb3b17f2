"""Whether a run's inputs are decoded once, into the cache, and then read from there."""

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
"""What a split may take decoded; beyond that its inputs are decoded again in each epoch."""


def worth_decoding(
    asked: bool | None, decoding: Decoding, *, device: torch.device, epochs: int
) -> bool:
    """Whether inputs are decoded once.

    Args:
        asked: What the user asked for; ``None`` leaves it to what pays: reading them more than
            once, for a network that computes faster than they can be decoded.
        decoding: How they are decoded.
        device: Where the network computes.
        epochs: Passes over them.
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
    """``samples`` decoded, or as they are where that would not fit.

    Args:
        samples: Inputs that take time to decode.
        decoding: How they are.
        folder: Where they are kept.
        facts: What they are of, for people.
        reporter: Sees the steps, and is told if they cannot be kept.

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
        reporter.note(f"the decoded {nouns} in {file} are damaged; they are decoded again")
    found = decoding.opened(samples, file) if whole else None
    if found is None:
        if (taken := decoding.estimated_bytes(samples)) > MOST_BYTES:
            reporter.note(f"decoded, {in_bytes(taken)} of {nouns}; they are decoded each time")
            return samples
        try:
            with reporter.steps("decoding", len(samples)) as advance:
                for count in decoding.decode(samples, file):
                    for _ in range(count):
                        advance()
            describe(file, facts)
        except OSError as error:
            reason = error.strerror or error
            reporter.note(f"decoded {nouns} cannot be kept in {folder} ({reason})")
            return samples
        found = decoding.opened(samples, file)
    mark_used(file)
    return found or samples
