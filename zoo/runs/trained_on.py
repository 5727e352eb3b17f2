"""Hashes of the training samples, to recognise them in an evaluation."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np

from zoo.data.leakage import Contents
from zoo.data.samples import Samples
from zoo.errors import RunError
from zoo.system.files import read_regular, replacing

DIGESTS = "trained_on.bin"
"""The first 8 bytes of the sha256 of each sample's contents, unique and sorted."""

_MOST = 2**30  # bytes, of 134 million samples


def write_digests(folder: Path, train: Samples, before: Path | None = None) -> None:
    """Write the hashes of the training samples; the demo data has none.

    Args:
        folder: The run folder.
        train: Its training samples.
        before: The folder of the run that it started from, whose hashes are added.
    """
    contents = np.array([], dtype=np.uint64) if train.contents is None else train.contents
    earlier = None
    if before is not None:
        with suppress(RunError):  # the run goes on without
            earlier = read_digests(before)
    if earlier is not None:
        contents = np.concatenate((contents, earlier))
    write_contents(folder / DIGESTS, contents)


def write_contents(path: Path, contents: Contents) -> None:
    """Write hashes, unique and sorted."""
    with replacing(path) as temporary:
        temporary.write_bytes(np.unique(contents).astype("<u8").tobytes())


def read_digests(folder: Path) -> Contents | None:
    """The hashes of :func:`write_digests`; ``None`` if there is no file, as in a published run.

    Raises:
        RunError: It cannot be read.
    """
    path = folder / DIGESTS
    try:
        content = read_regular(path, limit=_MOST)
        return np.frombuffer(content, dtype="<u8").astype(np.uint64)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}",
            hint="Remove the file to evaluate without leaving training samples out.",
        ) from error
