"""Features of whole splits, from a backbone into an array that may be larger than memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.loader import Loader
from zoo.data.samples import Samples
from zoo.engine.feature_files import facts_beside
from zoo.engine.forward import Forward
from zoo.engine.loader_factory import LoaderFactory
from zoo.engine.progress import Reporter
from zoo.system.memory import give_back

CUT = "cut"
"""Among the facts beside features: how many of the samples are texts that were cut."""


def cut_beside(features: NDArray[np.float32]) -> int:
    """How many texts were cut when these features were computed, by the facts beside them."""
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
    """Put the features of ``samples`` into ``array``, ``(N, feature_dim)``, in their order.

    Args:
        array: In memory, or mapped into it.
        samples: N of them.
        loaders: Prepares them.
        forward: Runs the backbone.
        reporter: Sees the steps.
        check: Called between two batches; what it raises is passed on.

    Returns:
        How many of the samples are texts that were cut.
    """
    loader = loaders.plain(samples)
    fill_from(array, loader, forward, reporter, check=check)
    return int(loader.reader.cut.sum())


def fill_from(
    array: NDArray[np.float32],
    loader: Loader,
    forward: Forward,
    reporter: Reporter,
    *,
    exact: bool = False,
    compiled: bool = False,
    check: Callable[[], Any] = lambda: None,
) -> None:
    """As :func:`fill_features`, from a loader, whose workers end with it.

    Args:
        array: As there.
        loader: Of N samples, which its batches number.
        forward: As there.
        reporter: As there.
        exact: Compute in float32 whatever the precision.
        compiled: By compiled code, if the run compiles at all.
        check: As there.
    """
    steps = reporter.steps("features", len(loader))
    # Its workers end even if somebody keeps an exception: what comes next reads the features.
    inference = forward.inference(len(array), compiled=compiled)
    with loader, inference as features, steps as advance:
        for batch in forward.batches(loader):
            check()
            array[batch["index"].numpy()] = features(batch, exact=exact).numpy()
            advance()
    give_back()
