"""The feature cache: frozen layers never run twice on the same input.

Features, and outputs of frozen first layers, are memory-mapped arrays in ``<cache>/features``, keyed
by the backbone's tensors, the preprocessing, the precision and the data, so that later runs find
them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.contract.network.backbone import Backbone
from zoo.contract.spec import OWN_LOADER
from zoo.engine.feature_files import describe, is_whole, mark_used, remove_left
from zoo.engine.loader_factory import PLAIN_BATCH
from zoo.engine.progress import Reporter
from zoo.engine.training_setup import TrainingSetup
from zoo.modalities import modality_of
from zoo.system.files import claim, replacing
from zoo.system.leftovers import held

_WAY = f"channels-last, folded, {PLAIN_BATCH} at a time"
"""How features are computed; part of the key, since it changes their last digits. On an accelerator
the batch is measured, and not part of the key, so that a resumed run finds the same features."""


def backbone_key(
    backbone: Backbone, precision: str, *, frozen: bool = False, compiled: bool = False
) -> str:
    """A hash of the backbone's tensors, its preprocessing, and how it computes.

    Args:
        backbone: Its head is left out.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        frozen: Leave out the modules with trained parameters.
        compiled: Whether the code is compiled.
    """
    how = [precision, torch.__version__, _WAY, *(["compiled"] if compiled else [])]
    facts = [backbone.spec.name, backbone.spec.input.to_json(), *how]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    trained = _trained_modules(backbone) if frozen else frozenset()
    for name, tensor in backbone.net.state_dict().items():
        if name.rpartition(".")[0] in trained:
            continue
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    if backbone.spec.loader == OWN_LOADER:
        digest.update(_outputs(backbone))
    return digest.hexdigest()


def _outputs(backbone: Backbone) -> bytes:
    """Features of noise: what a user's network computes may change while its tensors do not."""
    place, training = next(backbone.net.parameters()).device, backbone.training
    batch = modality_of(backbone.spec).random_batch(backbone.spec, 2)
    backbone.eval()
    with torch.no_grad():
        features = backbone.features({key: value.to(place) for key, value in batch.items()})
    backbone.train(training)
    return features.cpu().contiguous().numpy().tobytes()


def facts_of(setup: TrainingSetup, split: str, samples: int) -> dict[str, str | int]:
    """The description of an array, for ``zoo cache``."""
    return {
        "backbone": setup.forward.backbone.spec.name,
        "precision": setup.forward.precision,
        "data": setup.dataloaders.source,
        "split": split,
        "samples": samples,
    }


def compute(
    folder: Path,
    *,
    key: Iterable[str],
    shape: tuple[int, ...],
    dtype: type[np.generic],
    fill: Callable[[NDArray[Any]], None],
    facts: Mapping[str, str | int],
    reporter: Reporter,
) -> NDArray[Any]:
    """The outputs of a frozen network for a whole split, from the cache or computed.

    Args:
        folder: Folder of the cache.
        key: Everything that the values depend on.
        shape: Of the array.
        dtype: Of the array.
        fill: Computes the values.
        facts: The description, for ``zoo cache``.
        reporter: Receives a note if the cache is not writable.
    """
    path = _path(folder, key)
    remove_left(folder)
    whole = is_whole(path)
    if whole is False:
        reporter.note(f"the features in {path} are damaged; computing them again")
    if whole and (found := _read(path, shape, dtype)) is not None:
        mark_used(path)
        return found
    try:
        with replacing(path) as temporary, held(temporary):
            array = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape)
            claim(temporary)
            fill(array)
            array.flush()
            del array
        describe(path, {**facts, "features": math.prod(shape[1:])})
        kept = _read(path, shape, dtype)
    except OSError as error:
        reason = error.strerror or error
        reporter.note(f"failed to cache features in {folder} ({reason}); keeping them in memory")
        kept = None
    if kept is not None:
        return kept
    in_memory = np.empty(shape, dtype=dtype)
    fill(in_memory)
    return in_memory


def kept(
    folder: Path, *, key: Iterable[str], shape: tuple[int, ...], dtype: type[np.generic]
) -> NDArray[Any] | None:
    """The outputs that :func:`compute` has cached; ``None`` if they are not there."""
    path = _path(folder, key)
    return _read(path, shape, dtype) if is_whole(path) else None


def _path(folder: Path, key: Iterable[str]) -> Path:
    name = hashlib.sha256("\n".join(key).encode()).hexdigest()[:32]
    return folder / f"{name}.npy"


def _read(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any] | None:
    try:
        array = np.load(path, mmap_mode="c")  # torch warns about read-only arrays
    except (OSError, ValueError, EOFError):
        return None
    return array if array.shape == shape and array.dtype == dtype else None


def _trained_modules(backbone: Backbone) -> frozenset[str]:
    return frozenset(
        path
        for path, module in backbone.net.named_modules()
        if any(parameter.requires_grad for parameter in module.parameters(recurse=False))
    )
