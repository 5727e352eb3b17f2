"""Read small regular files, with a size limit. No torch."""

from __future__ import annotations

import errno
from pathlib import Path

from zoo.system.files import read_regular, require_regular

LIMIT = 64 * 2**20
"""Bytes of a record, a config, a registry file or a history; real ones have a few megabytes."""

TOKENIZER_LIMIT = 256 * 2**20
"""Bytes of a tokenizer; the largest that are published have about 35 MB."""

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".ckpt")


def read_small(path: Path) -> bytes:
    """Read a regular file of at most :data:`LIMIT` bytes.

    Raises:
        OSError: It does not exist, is a named pipe or device, or is larger; see ``strerror``.
    """
    return read_regular(path, limit=LIMIT)


def refuse_endless(folder: Path) -> None:
    """Check that a library can read all files of a folder without waiting or reading forever.

    Raises:
        OSError: A file is a named pipe or device, or is larger than files of its type can be.
    """
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            continue
        limit = LIMIT if path.name.endswith("config.json") else TOKENIZER_LIMIT
        try:
            require_regular(path, limit=None if path.suffix in _WEIGHTS else limit)
        except OSError as error:  # what cannot be read for another reason says so where it is used
            if error.errno in (errno.EINVAL, errno.EFBIG, errno.ENXIO):
                raise
