"""Features of whole splits, from a backbone into an array that may be larger than memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data import Samples
from zoo.engine.feed import Feed
from zoo.engine.forward import Forward
from zoo.engine.progress import Reporter


def fill_features(
    array: NDArray[np.float32],
    samples: Samples,
    feed: Feed,
    forward: Forward,
    reporter: Reporter,
    check: Callable[[], Any] = lambda: None,
) -> None:
    """Put the features of ``samples`` into ``array``, ``(N, feature_dim)``, in their order.

    Args:
        array: In memory, or mapped into it.
        samples: N of them.
        feed: Prepares them.
        forward: Runs the backbone.
        reporter: Sees the steps.
        check: Called between two batches; what it raises is passed on.
    """
    with (
        feed.plain(samples) as loader,
        forward.inference(len(array), compiled=forward.compiles),
        reporter.steps("features", len(loader)) as advance,
    ):
        for batch in loader:
            check()
            array[batch["index"].numpy()] = forward.features(batch).numpy()
            advance()
