"""Feature extraction of whole splits into an array, which may be memory-mapped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.data.loader import Loader
from zoo.data.samples import Samples
from zoo.engine.batch_size import measure_features, speeds_in_words
from zoo.engine.feature_files import facts_beside
from zoo.engine.forward import Forward
from zoo.engine.loader_factory import LoaderFactory
from zoo.engine.progress import Reporter
from zoo.engine.streams import Fetched
from zoo.system.memory import give_back

CUT = "cut"
"""Key, in the file beside cached features, of the number of truncated texts."""


def cut_beside(features: NDArray[np.float32]) -> int:
    """How many texts were truncated when these features were computed."""
    path = getattr(features, "filename", None)
    kept = facts_beside(Path(path)).get(CUT) if path else None
    return kept if isinstance(kept, int) else 0


def fill_features(
    array: NDArray[np.float32],
    samples: Samples,
    loaders: LoaderFactory,
    forward: Forward,
    reporter: Reporter,
    check: Callable[[], Any] = lambda: None,
) -> int:
    """Write the features of ``samples`` to ``array``, in their order.

    Args:
        array: ``(N, feature_dim)``, in memory or memory-mapped.
        samples: N of them.
        loaders: Makes the dataloader.
        forward: Runs the backbone.
        reporter: Receives progress.
        check: Called before each batch; may raise to stop.

    Returns:
        How many of the samples are truncated texts.
    """
    loader = loaders.plain(samples)
    fill_from(array, loader, forward, reporter, check=check)
    return int(loader.reader.cut.sum())


def extraction_batch(forward: Forward, samples: int, reporter: Reporter) -> int | None:
    """The batch size for features, measured on an accelerator; ``None`` on a CPU.

    Args:
        forward: Runs the backbone.
        samples: Their number.
        reporter: Is told the size and the speeds.
    """
    if not is_measured(forward.device):
        return None
    found = measure_features(forward, samples)
    reporter.note(f"features in batches of {found.size}, measured ({speeds_in_words(found)})")
    return found.size


def is_measured(device: torch.device) -> bool:
    """Whether the batch size for features is measured; on a CPU a small one is as fast."""
    return device.type != "cpu"


def fill_from(
    array: NDArray[np.float32],
    loader: Loader,
    forward: Forward,
    reporter: Reporter,
    *,
    exact: bool = False,
    compiled: str = "",
    size: int | None = None,
    check: Callable[[], Any] = lambda: None,
) -> None:
    """As :func:`fill_features`, from a dataloader, whose workers end with it.

    Args:
        array: As there.
        loader: Of N samples; its batches have their ``index``.
        forward: As there.
        reporter: As there.
        exact: Compute in float32, whatever the precision.
        compiled: As of :meth:`zoo.engine.forward.Forward.inference`.
        size: Samples per batch; ``None`` for those of the loader.
        check: As there.
    """
    if size:
        loader.order.batch_size = size
    steps = reporter.steps("features", len(loader))
    # The workers must end even if an exception is kept alive.
    inference = forward.inference(len(array), compiled=compiled)

    def write(index: Tensor, rows: Tensor) -> None:
        array[index.numpy()] = rows.numpy()

    fetched = Fetched(forward.device, write)
    with loader, inference as features, steps as advance:
        for batch in forward.batches(loader):
            check()
            fetched.add(batch["index"], features(batch, exact=exact))
            advance()
        fetched.finish()
    give_back()
