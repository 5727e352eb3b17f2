"""Images that are decoded once, as a run has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from zoo.data.samples import Samples
from zoo.engine.decoding import DecodedCache
from zoo.engine.progress import Quiet, Reporter
from zoo.modalities import IMAGE
from zoo.modalities.batches import Decoding


def cache_in(folder: Path, *decodings: Decoding, reporter: Reporter | None = None) -> DecodedCache:
    """A cache that keeps images, while they are checked, as ``decodings`` decode them."""
    return DecodedCache(folder, {}, reporter or Quiet(), nouns="images", decodings=decodings)


def with_digests(samples: Samples) -> Samples:
    """The samples as they are after a check."""
    return replace(samples, digests=IMAGE.examine(samples.inputs).digests)


def decoded_once(
    samples: Samples, decoding: Decoding, folder: Path, *, reporter: Reporter | None = None
) -> Samples:
    """The samples, decoded in a folder."""
    return cache_in(folder, reporter=reporter).of(with_digests(samples), decoding)


def files_in(folder: Path) -> Sequence[Path]:
    """The files of decoded images."""
    return list(folder.glob("[!.]*.arrow"))
