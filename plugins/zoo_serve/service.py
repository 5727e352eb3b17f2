"""What answers predictions: threads that prepare inputs, and one that computes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import zoo
from zoo_serve.batching import Batcher, Computed
from zoo_serve.bodies import Input
from zoo_serve.refusals import Refusal

_PREPARERS = 4
"""The most threads that decode images: at zoo's limit on pixels each may take up to 1.7 GB (16-bit RGBA)."""


@dataclass(frozen=True)
class Answer:
    """What came of one request.

    Attributes:
        predictions: One an input, in the order given, as JSON.
        forward: Seconds of the forward passes that it took part in.
        total: Seconds from when the request had been read.
    """

    predictions: list[dict[str, Any]]
    forward: float
    total: float


class Service:
    """Answers requests of one run until it is closed.

    Args:
        predictor: Of the run.
        batch_size: Inputs that share a forward pass at most.
    """

    def __init__(self, predictor: zoo.Predictor, *, batch_size: int = 32) -> None:
        predictor.warm_up()
        self._predictor = predictor
        threads = max(1, min(_PREPARERS, round(zoo.usable_cores())))
        self._preparers = ThreadPoolExecutor(threads, thread_name_prefix="zoo-serve-prepare")
        self._batcher: Batcher[zoo.PreparedInput] = Batcher(predictor.outputs, most=batch_size)

    async def answer(
        self, inputs: Sequence[Input], *, threshold: float | None, top_k: int | None
    ) -> Answer:
        """Prepare and compute the inputs of one request.

        Args:
            inputs: At least one.
            threshold: For runs with several labels.
            top_k: How many of the likeliest classes to name; all by default.

        Raises:
            Refusal: Some of them are not images; 422.
        """
        start = time.perf_counter()
        found = await asyncio.gather(*map(self._compute, inputs), return_exceptions=True)
        bad = [each for each in found if isinstance(each, zoo.BadFilesError)]
        if bad:
            raise Refusal(
                422,
                "; ".join(error.message for error in bad),
                given=", ".join(path for error in bad for path in error.paths),
                expected="images, such as JPEG, PNG, WebP, GIF, TIFF or AVIF",
            )
        computed = [_or_raise(each) for each in found]
        predictions = [
            self._predictor.answer(prepared, each.outputs, threshold=threshold).to_json()
            for prepared, each in computed
        ]
        for prediction in predictions:
            if "probabilities" in prediction:
                prediction["probabilities"] = dict(
                    list(prediction["probabilities"].items())[:top_k]
                )
        passes = {each.number: each.seconds for _, each in computed}
        return Answer(predictions, sum(passes.values()), time.perf_counter() - start)

    async def _compute(self, given: Input) -> tuple[zoo.PreparedInput, Computed]:
        loop = asyncio.get_running_loop()
        prepared = await loop.run_in_executor(self._preparers, self._predictor.prepare, *given)
        return prepared, await asyncio.wrap_future(self._batcher.submit(prepared))

    def close(self) -> None:
        """Compute what is waiting, and end all threads."""
        self._preparers.shutdown()
        self._batcher.close()


def _or_raise(
    found: tuple[zoo.PreparedInput, Computed] | BaseException,
) -> tuple[zoo.PreparedInput, Computed]:
    if isinstance(found, BaseException):
        raise found
    return found
