"""Prediction service: threads that preprocess inputs, and one that runs the model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import zoo
from zoo_serve.batching import Batcher, Computed
from zoo_serve.http_errors import RequestError
from zoo_serve.parsing import Input

_PREPARERS = 4
"""Maximum threads that decode files; images at the pixel limit each may need 1.7 GB (16-bit RGBA)."""


@dataclass(frozen=True)
class ServiceResult:
    """Predictions for one request, with timings.

    Attributes:
        predictions: One per input, in the order given, as JSON.
        forward: Duration of the forward passes involved, in seconds.
        total: Seconds since the request was read.
    """

    predictions: list[dict[str, Any]]
    forward: float
    total: float


class Service:
    """Answer requests for one run until closed.

    Args:
        predictor: The run's predictor.
        batch_size: Maximum inputs per forward pass.
        readable: What inputs must be, for errors.
    """

    def __init__(
        self, predictor: zoo.Predictor, *, batch_size: int = 32, readable: str = "inputs"
    ) -> None:
        self._readable = readable
        predictor.warm_up()
        self._predictor = predictor
        threads = max(1, min(_PREPARERS, round(zoo.usable_cores())))
        self._preparers = ThreadPoolExecutor(threads, thread_name_prefix="zoo-serve-prepare")
        self._batcher: Batcher[zoo.PreparedInput] = Batcher(predictor.outputs, max_batch=batch_size)

    def limits(self, **asked: float | None) -> zoo.PredictionLimits:
        """What is asked of predictions; see :meth:`zoo.Predictor.limits`.

        Raises:
            UsageError: It does not apply to the run.
        """
        return self._predictor.limits(**asked)

    async def answer(
        self,
        inputs: Sequence[Input],
        *,
        limits: zoo.PredictionLimits | None = None,
        top_k: int | None = None,
    ) -> ServiceResult:
        """Predict the inputs of one request.

        Args:
            inputs: At least one.
            limits: From :meth:`limits`.
            top_k: Number of most likely classes to return; all by default.

        Raises:
            RequestError: Some inputs are not readable (422).
        """
        start = time.perf_counter()
        results = await asyncio.gather(*map(self._compute, inputs), return_exceptions=True)
        bad = [each for each in results if isinstance(each, zoo.BadFilesError)]
        if bad:
            raise RequestError(
                422,
                "; ".join(error.message for error in bad),
                given=", ".join(path for error in bad for path in error.paths),
                expected=self._readable,
            )
        computed = [_or_raise(each) for each in results]
        predictions = [
            self._predictor.answer(prepared, each.outputs, limits=limits).to_json()
            for prepared, each in computed
        ]
        for prediction in predictions:
            if "probabilities" in prediction:
                prediction["probabilities"] = dict(
                    list(prediction["probabilities"].items())[:top_k]
                )
        passes = {each.number: each.seconds for _, each in computed}
        return ServiceResult(predictions, sum(passes.values()), time.perf_counter() - start)

    async def _compute(self, given: Input) -> tuple[zoo.PreparedInput, Computed]:
        loop = asyncio.get_running_loop()
        prepared = await loop.run_in_executor(self._preparers, self._predictor.prepare, *given)
        return prepared, await asyncio.wrap_future(self._batcher.submit(prepared))

    def close(self) -> None:
        """Finish pending work and stop all threads."""
        self._preparers.shutdown()
        self._batcher.close()


def _or_raise(
    result: tuple[zoo.PreparedInput, Computed] | BaseException,
) -> tuple[zoo.PreparedInput, Computed]:
    if isinstance(result, BaseException):
        raise result
    return result
