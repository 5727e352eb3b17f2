"""Read files with a plugin's functions; exceptions become errors that name the plugin."""

from __future__ import annotations

import hashlib
import importlib.metadata
import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.contract.inputs import InputSpec
from zoo.contract.modalities import registered
from zoo.data.examined import Examined
from zoo.data.sequences import Inputs, Raw
from zoo.errors import BadFilesError, PluginError, ZooError, first_line
from zoo.modalities.perceptual_hash import SIDE, hashes_of, squashed
from zoo.registry.discovery import has_files, package_fingerprint
from zoo.system.files import open_regular
from zoo.system.processor import usable_cores

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


MEASURES = np.dtype([("measure", np.float64)])
"""The traits of an input."""


def examiner(modality: FileFunctions) -> str:
    """What :func:`examine` depends on: the plugin's files, and the versions of its libraries.

    Empty if the files of the plugin are not known, as of a function that was typed in.
    """
    package = getattr(modality.read, "__module__", "").partition(".")[0]
    if not has_files(package):
        return ""
    versions = [f"{name} {_version(name)}" for name in modality.libraries]
    return ", ".join([modality.name, package_fingerprint(package), *versions])


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


_BLANK = np.zeros((SIDE, SIDE), dtype=np.float32)


class _Found(NamedTuple):
    """What was found in one input.

    Attributes:
        digest: The digest of the input as stored.
        content: That of its content.
        outline: ``(32, 32)``, the plugin's outline.
        measure: The plugin's number about it; NaN if there is none.
        reason: Why it cannot be read.
    """

    digest: bytes = b""
    content: bytes = b""
    outline: NDArray[np.float32] = _BLANK
    measure: float = math.nan
    reason: str = ""


def examine(modality: FileFunctions, inputs: Inputs) -> Examined:
    """Read every input once, in threads; decoders release the GIL."""

    def look(index: int) -> _Found:
        return _examine(modality, inputs[index], inputs.name(index))

    with ThreadPoolExecutor(max_workers=math.ceil(usable_cores())) as pool:
        found = list(pool.map(look, range(len(inputs))))
    traits = None
    if modality.measure is not None:
        traits = np.array([(each.measure,) for each in found], dtype=MEASURES)
    outlines = np.array([each.outline for each in found], dtype=np.float32)
    return Examined(
        [each.digest for each in found],
        np.array([int.from_bytes(each.content[:8], "little") for each in found], dtype=np.uint64),
        hashes_of(outlines.reshape(-1, SIDE, SIDE)) if modality.outline is not None else None,
        traits=traits,
        reasons={index: each.reason for index, each in enumerate(found) if each.reason},
    )


def _examine(modality: FileFunctions, raw: Raw, name: str) -> _Found:
    if raw is None:
        return _Found(reason=f"there is no {modality.noun}")
    is_path = isinstance(raw, (str, os.PathLike))
    try:
        given = _content(raw) if is_path else raw
    except (OSError, ValueError) as error:
        return _Found(reason=_reason(error))
    try:
        sample = read_sample(modality, given, name)
    except BadFilesError as error:
        digest = hashlib.sha256(given if isinstance(given, bytes) else b"").digest()
        return _Found(digest, digest, reason=_reason(error.__cause__ or error))
    digest = same = hashlib.sha256(given if is_path else encoded(modality, raw)).digest()
    if modality.digest is not None:
        with calling(modality, f"comparing {name}"):
            same = hashlib.sha256(modality.digest(sample)).digest()
    outline, measure = _BLANK, math.nan
    if modality.outline is not None:
        with calling(modality, f"the outline of {name}"):
            outline = squashed(modality.outline(sample))
    if modality.measure is not None:
        with calling(modality, f"measuring {name}"):
            measure = float(modality.measure(sample))
    return _Found(digest, same, outline, measure)


def _content(path: str | os.PathLike[str]) -> bytes:
    with open_regular(path) as file:
        return file.read()


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return first_line(error)
