"""Read files with a plugin's functions; exceptions become errors that name the plugin."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from zoo.contract.inputs import InputSpec
from zoo.contract.modalities import registered
from zoo.data.examined import Examined
from zoo.data.sequences import Inputs, Raw
from zoo.errors import BadFilesError, PluginError, ZooError, first_line

if TYPE_CHECKING:
    from zoo.modalities.files.functions import FileFunctions


@contextmanager
def calling(modality: FileFunctions, what: str) -> Iterator[None]:
    """Run a plugin's function: its exceptions become a :class:`PluginError` that names the plugin.

    Args:
        modality: The plugin's modality.
        what: What the function does, for the message.
    """
    try:
        yield
    except ZooError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"the plugin {plugin_of(modality)!r} is broken: {what} raised "
            f"{first_line(error, kind=True)}",
            hint="Report it to the plugin's author, or upgrade the plugin.",
        ) from error


def plugin_of(modality: FileFunctions) -> str:
    """The plugin that registered a modality; else the modality's name."""
    row = registered().get(modality.name)
    return (row.plugin if row else "") or modality.name


def read_sample(modality: FileFunctions, raw: Raw, name: str) -> Any:
    """Read an input with the plugin.

    Raises:
        BadFilesError: It cannot be read.
        PluginError: The plugin fails.
    """
    with calling(modality, f"reading {name}"):
        try:
            return modality.read(raw)
        except (ValueError, OSError, EOFError) as error:
            raise BadFilesError(
                f"{name} cannot be read as a {modality.noun}: {_reason(error)}",
                paths=(name,),
                hint="Fix or remove the file, or skip such files with --bad-files skip.",
            ) from error


def prepare(
    modality: FileFunctions, sample: Any, name: str, given: InputSpec, seed: int | None = None
) -> Tensor:
    """Prepare a sample: float32, of the modality's shape, or shorter if the plugin collates.

    Args:
        modality: The modality.
        sample: The result of :func:`read_sample`.
        name: Its name in errors.
        given: What the network takes.
        seed: Of the augmentation; ``None`` for none.
    """
    generator = None if seed is None else np.random.default_rng(seed)
    with calling(modality, f"preparing {name}"):
        prepared = modality.prepare(sample, given, generator)
        shape = tuple(modality.shape(given))
        if not isinstance(prepared, Tensor) or not _fits(modality, tuple(prepared.shape), shape):
            is_tensor = isinstance(prepared, Tensor)
            found = tuple(prepared.shape) if is_tensor else f"a {type(prepared).__name__}"
            raise TypeError(f"{found} rather than a tensor {shape}")
        return prepared.to(torch.float32)


def _fits(modality: FileFunctions, found: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    if modality.collate is None or not shape or not found:
        return found == shape
    return found[:-1] == shape[:-1] and 1 <= found[-1] <= shape[-1]


def encoded(modality: FileFunctions, raw: Raw) -> bytes:
    """An input in memory as the bytes of a file."""
    with calling(modality, f"encoding a {modality.noun}"):
        return raw if isinstance(raw, bytes) else modality.encode(raw)


def examine(modality: FileFunctions, inputs: Inputs) -> Examined:
    """Read every input once, in threads; decoders release the GIL."""

    def look(index: int) -> tuple[bytes, bytes, str]:
        return _examine(modality, inputs[index], inputs.name(index))

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        found = list(pool.map(look, range(len(inputs))))
    return Examined(
        [digest for digest, _, _ in found],
        np.array([int.from_bytes(same[:8], "little") for _, same, _ in found], dtype=np.uint64),
        reasons={index: reason for index, (_, _, reason) in enumerate(found) if reason},
    )


def _examine(modality: FileFunctions, raw: Raw, name: str) -> tuple[bytes, bytes, str]:
    """The digest of an input as stored, that of its content, and why it cannot be read."""
    if raw is None:
        return b"", b"", f"there is no {modality.noun}"
    try:
        stored = Path(raw).read_bytes() if isinstance(raw, (str, os.PathLike)) else None
    except (OSError, ValueError) as error:
        return b"", b"", _reason(error)
    try:
        sample = read_sample(modality, raw, name)
    except BadFilesError as error:
        digest = hashlib.sha256(stored or b"").digest()
        return digest, digest, _reason(error.__cause__ or error)
    content = encoded(modality, raw) if stored is None else stored
    digest = hashlib.sha256(content).digest()
    if modality.digest is None:
        return digest, digest, ""
    with calling(modality, f"comparing {name}"):
        return digest, hashlib.sha256(modality.digest(sample)).digest(), ""


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return first_line(error)
