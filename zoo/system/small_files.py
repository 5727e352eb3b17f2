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
    """All bytes of a regular file of at most :data:`LIMIT`.

    Raises:
        OSError: It is not there, is a named pipe or a device, or is larger; ``strerror`` says so.
    """
    return read_regular(path, limit=LIMIT)


def refuse_endless(folder: Path) -> None:
    """Refuse a folder in which a library could wait for a pipe, or read without end.

    Raises:
        OSError: A file in it is a named pipe or a device, or is larger than a file of its kind.
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
