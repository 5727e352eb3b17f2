"""Decoded inputs in the cache: kept while a run's inputs are checked, and used in each epoch.

Each run adds a file with the inputs that were not there yet, by the digests of their contents; so
data that grows is not decoded as a whole again, wherever it lies.
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch

from zoo.data.samples import Samples
from zoo.engine.feature_files import (
    FeatureFile,
    describe,
    is_whole,
    mark_used,
    remove,
    remove_left,
)
from zoo.engine.progress import Advance, Reporter
from zoo.modalities.batches import DecodedWriter, Decoding
from zoo.system.byte_sizes import in_bytes
from zoo.system.processor import usable_cores

MOST_BYTES = 10**9
"""Size limit of a decoded split; above it, inputs are decoded in every epoch."""

_CHUNK = 64  # inputs decoded at a time

_ESTIMATED = 32  # inputs from which the size of all is estimated

_DOUBT = 3.0  # how far such an estimate may be above the limit, of an even number of inputs


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


class DecodedCache:
    """Decoded inputs in a folder: kept while they are checked, found again by their digests.

    Implements :class:`zoo.data.examined.Keeps`.

    Args:
        folder: Folder of the cache.
        facts: Description shown by ``zoo cache``.
        reporter: Receives progress, and a note if inputs are not kept.
        nouns: The inputs, in words.
        decodings: How to decode inputs while they are checked; empty if that is of no use.
        held_out: The share of the inputs that will be another split than the rest.
    """

    def __init__(
        self,
        folder: Path,
        facts: Mapping[str, str | int],
        reporter: Reporter,
        *,
        nouns: str,
        decodings: Sequence[Decoding] = (),
        held_out: float = 0.0,
    ) -> None:
        self._folder, self._facts, self._reporter = folder, facts, reporter
        self._nouns, self._decodings, self._held_out = nouns, decodings, held_out
        self._pass: _Pass | None = None
        self._given_up = False

    # -- while inputs are checked --------------------------------------------------------------

    @contextmanager
    def during(self, count: int) -> Iterator[None]:
        """Keep what is added while the block runs, for ``count`` inputs."""
        if not self._decodings or self._given_up:
            yield
            return
        remove_left(self._folder)
        limit = MOST_BYTES / (1 - self._held_out)
        writer = self._writer(self._decodings[0])
        with self._reporter.steps("reading", count) as advance:
            running = self._pass = _Pass(writer, count, limit, advance)
            try:
                yield
            except BaseException:
                writer.abandon()
                raise
            finally:
                self._pass = None
        if running.error is not None:
            self._failed(writer, running.error)
        elif running.too_large:
            writer.abandon()
            self._too_large(running.expected)
        else:
            self._finish(writer)

    def wanted(self, digest: bytes) -> Sequence[Decoding]:  # noqa: ARG002
        """All ways, as long as there is space."""
        return self._decodings if self._pass is not None and self._pass.open else ()

    def add(self, digest: bytes, decoded: Any) -> None:
        """Keep an input."""
        if self._pass is not None and self._pass.open:
            self._pass.add(digest, decoded)

    # -- afterwards ----------------------------------------------------------------------------

    def of(self, samples: Samples, decoding: Decoding) -> Samples:
        """``samples``, decoded; those that are not kept yet are decoded now.

        Unchanged where that would take too much space.

        Raises:
            BadFilesError: An input cannot be read.
        """
        if not decoding.applies(samples):
            return samples
        assert samples.digests is not None
        found = self._found(decoding, samples.digests)
        missing = {digest: i for i, digest in enumerate(samples.digests) if digest not in found}
        if missing:
            if self._given_up or not self._decode(samples.select([*missing.values()]), decoding):
                return samples
            found = self._found(decoding, samples.digests)
            if missing.keys() - found.keys():  # files have changed since they were checked
                return samples
        files = {
            file: number for number, file in enumerate({file for file, _, _ in found.values()})
        }
        for file in files:
            mark_used(file)
        located = (found[digest] for digest in samples.digests)
        places = [(files[file], batch, row) for file, batch, row in located]
        return decoding.opened(samples, list(files), places)

    def _found(
        self, decoding: Decoding, digests: Sequence[bytes]
    ) -> dict[bytes, tuple[Path, int, int]]:
        """Where inputs are kept; of several files with the same ones, the largest."""
        found, left = dict[bytes, tuple[Path, int, int]](), set(digests)
        files = self._folder.glob(f"{_prefix(decoding)}-*.arrow")
        for file in sorted(files, key=_size, reverse=True):
            if left and (places := decoding.find(file, left)) and self._is_whole(file):
                found |= {digest: (file, *place) for digest, place in places.items()}
                left -= places.keys()
        return found

    def _is_whole(self, file: Path) -> bool:
        whole = is_whole(file)
        if whole is False:
            self._reporter.note(
                f"the decoded {self._nouns} in {file} are damaged; decoding them again"
            )
            remove([FeatureFile(file, {}, 0, 0.0)])
        return bool(whole)

    def _decode(self, samples: Samples, decoding: Decoding) -> bool:
        """Decode and keep the samples; whether that was possible."""
        if (size := decoding.estimated_bytes(samples)) > MOST_BYTES:
            return self._too_large(size)
        remove_left(self._folder)
        writer, read = self._writer(decoding), partial(_read, samples, decoding)
        try:
            with (
                self._reporter.steps("decoding", len(samples)) as advance,
                ThreadPoolExecutor(max_workers=math.ceil(usable_cores())) as pool,
            ):
                for start in range(0, len(samples), _CHUNK):
                    chunk = range(start, min(start + _CHUNK, len(samples)))
                    for digest, decoded in pool.map(read, chunk):
                        writer.add(digest, decoded)
                        advance()
        except OSError as error:
            return self._failed(writer, error)
        except BaseException:
            writer.abandon()
            raise
        return self._finish(writer)

    def _writer(self, decoding: Decoding) -> DecodedWriter:
        return decoding.writer(self._folder / f"{_prefix(decoding)}-{os.urandom(8).hex()}.arrow")

    def _finish(self, writer: DecodedWriter) -> bool:
        try:
            writer.finish()
        except OSError as error:
            return self._failed(writer, error)
        if writer.count:
            describe(writer.file, {**self._facts, "samples": writer.count})
        return True

    def _failed(self, writer: DecodedWriter, error: OSError) -> bool:
        writer.abandon()
        self._given_up = True
        reason = error.strerror or error
        self._reporter.note(
            f"failed to cache the decoded {self._nouns} in {self._folder} ({reason})"
        )
        return False

    def _too_large(self, size: int) -> bool:
        self._given_up = True
        self._reporter.note(
            f"the decoded {self._nouns} would take {in_bytes(size)}, too much for the cache"
        )
        return False


class _Pass:
    """What several threads keep while inputs are checked.

    Attributes:
        error: Why no more can be written.
        too_large: Whether it would take too much space.
    """

    def __init__(self, writer: DecodedWriter, total: int, limit: float, advance: Advance) -> None:
        self.error: OSError | None = None
        self.too_large = False
        self._writer, self._total, self._limit, self._advance = writer, total, limit, advance
        self._lock = threading.Lock()

    @property
    def open(self) -> bool:
        """Whether more is kept."""
        return self.error is None and not self.too_large

    @property
    def expected(self) -> int:
        """The size of all in bytes, estimated from those so far."""
        return self._writer.size * self._total // max(1, self._writer.count)

    def add(self, digest: bytes, decoded: Any) -> None:
        """Write one input, if there is space."""
        try:
            self._writer.add(digest, decoded)
        except OSError as error:
            self.error = error
            return
        with self._lock:
            self._advance()
            done = self._writer.count / self._total
            if self._writer.count >= min(_ESTIMATED, self._total):
                self.too_large |= self.expected > self._limit * (1 + _DOUBT * max(0.0, 1 - done))


def _prefix(decoding: Decoding) -> str:
    return hashlib.sha256(decoding.key.encode()).hexdigest()[:16]


def _size(file: Path) -> int:
    with suppress(OSError):  # removed meanwhile
        return file.stat().st_size
    return 0


def _read(samples: Samples, decoding: Decoding, index: int) -> tuple[bytes, Any]:
    return decoding.read(samples.raw(index), samples.input(index))
