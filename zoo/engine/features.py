"""The feature cache: a frozen backbone never runs twice on the same input.

Features lie in ``<cache>/features`` as memory-mapped arrays, keyed by the backbone's tensors, the
preprocessing, the precision and the data, so that any run that would compute the same finds them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.backbone import Backbone
from zoo.data import Loader
from zoo.engine.forward import Forward
from zoo.engine.progress import Reporter
from zoo.feature_files import describe, mark_used
from zoo.files import replacing

Features = NDArray[np.float32]

_WAY = "channels-last, folded"
"""How features are computed; a change of it is a change of their last digits."""


def backbone_key(backbone: Backbone, precision: str) -> str:
    """Changes with any tensor of the backbone, its preprocessing, and how it computes."""
    how = [precision, torch.__version__, _WAY]
    facts = [backbone.spec.name, backbone.spec.input.to_json(), *how]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, tensor in backbone.net.state_dict().items():
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def compute(
    forward: Forward,
    loader: Loader,
    *,
    count: int,
    key: Iterable[str],
    folder: Path,
    facts: Mapping[str, str],
    reporter: Reporter,
) -> Features:
    """Features of a whole split, memory-mapped: ``(count, feature_dim)``, float32.

    Args:
        forward: Runs the backbone.
        loader: Every sample once; ``index`` says which.
        count: Number of samples.
        key: What the features depend on, in words.
        folder: Where features are kept.
        facts: What they are of, for people.
        reporter: Sees the steps where they have to be computed.
    """
    name = hashlib.sha256("\n".join(key).encode()).hexdigest()[:32]
    path = folder / f"{name}.npy"
    width = forward.backbone.spec.feature_dim
    if (found := _read(path, (count, width))) is not None:
        mark_used(path)
        return found
    try:
        with replacing(path) as temporary:
            array = np.lib.format.open_memmap(
                temporary, mode="w+", dtype=np.float32, shape=(count, width)
            )
            _fill(array, forward, loader, reporter)
            array.flush()
            del array
        describe(path, {**facts, "samples": count, "features": width})
        kept = _read(path, (count, width))
    except OSError as error:
        reason = error.strerror or error
        reporter.note(f"features cannot be kept in {folder} ({reason}); they stay in memory")
        kept = None
    if kept is not None:
        return kept
    features = np.empty((count, width), dtype=np.float32)
    _fill(features, forward, loader, reporter)
    return features


def _fill(features: Features, forward: Forward, loader: Loader, reporter: Reporter) -> None:
    with forward.inference(len(features)), reporter.steps("features", len(loader)) as advance:
        for batch in loader:
            features[batch["index"].numpy()] = forward.features(batch).numpy()
            advance()


def _read(path: Path, shape: tuple[int, int]) -> Features | None:
    try:
        array = np.load(path, mmap_mode="c")  # torch warns of arrays that are read-only
    except (OSError, ValueError, EOFError):
        return None
    return array if array.shape == shape else None
