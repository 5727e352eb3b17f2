"""The route ``POST /predict``: files in a form, or texts as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import anyio
from fastapi import FastAPI, Query, Request

import zoo
from zoo_serve import schemas
from zoo_serve.http_errors import RequestError
from zoo_serve.limits import Limits
from zoo_serve.middleware import PREDICT
from zoo_serve.parsing import Input, read_files, read_json
from zoo_serve.service import Service

_READERS = 2
"""Maximum threads that parse request bodies."""

_STATUS_DESCRIPTIONS = {
    400: "malformed request, or unknown host name",
    403: "cross-site request",
    408: "the request took too long to arrive",
    413: "request or text too large, or too many inputs",
    415: "unsupported content type",
    422: "unreadable input, or a missing or invalid field",
    429: "too many requests from this client; see Retry-After",
    503: "the server is busy; see Retry-After",
}

Threshold = Annotated[
    float | None,
    Query(
        ge=0,
        le=1,
        description="multi-label: minimum probability of a predicted class (default 0.5)",
    ),
]
Coverage = Annotated[
    float | None,
    Query(
        gt=0,
        lt=1,
        description="add the set of classes, or for regression the intervals, that hold the truth with "
        "this probability",
    ),
]
Reject = Annotated[
    float | None,
    Query(
        gt=0,
        lt=1,
        description="tell which inputs are unlike the training data, and this share of usual ones",
    ),
]
TopK = Annotated[int | None, Query(ge=1, description="return only the K most likely classes")]


@dataclass(frozen=True)
class _Body:
    """The body of a prediction request.

    Attributes:
        content: Its OpenAPI description, by content type.
        about: Description of the route.
        read: Reads the inputs from a body and its content type; may raise ``RequestError``.
    """

    content: dict[str, Any]
    about: str
    read: Callable[[bytes, str], list[Input]]


def add_predict(app: FastAPI, run: zoo.Run, service: Service, limits: Limits) -> None:
    """Add the route to ``app``; bodies are parsed in threads."""
    expected = _files(run, limits) if run.modality.in_files else _texts(run, limits)
    in_threads = anyio.CapacityLimiter(_READERS)

    async def predict(
        request: Request,
        threshold: Threshold = None,
        coverage: Coverage = None,
        reject: Reject = None,
        top_k: TopK = None,
    ) -> Any:
        body, kind = await request.body(), request.headers["content-type"]
        inputs = await anyio.to_thread.run_sync(expected.read, body, kind, limiter=in_threads)
        _check_threshold(threshold, run)
        _check_count(inputs, limits)
        asked = await anyio.to_thread.run_sync(
            _limits, run, service, threshold, coverage, reject, limiter=in_threads
        )
        found = await service.answer(inputs, limits=asked, top_k=top_k)
        seconds = {"forward": found.forward, "total": found.total}
        return {"predictions": found.predictions, "seconds": seconds}

    app.add_api_route(
        PREDICT,
        predict,
        methods=["POST"],
        description=expected.about,
        response_model=schemas.Predictions,
        response_model_exclude_none=True,
        openapi_extra={"requestBody": {"required": True, "content": expected.content}},
        responses={
            status: {"model": schemas.Error, "description": about}
            for status, about in _STATUS_DESCRIPTIONS.items()
        },
    )


def _check_threshold(threshold: float | None, run: zoo.Run) -> None:
    if threshold is not None and not run.task.several:
        raise RequestError(
            422,
            "'threshold' is only valid for multi-label runs",
            given=f"threshold={threshold:g}",
            expected=f"no threshold: the task of this run is {run.task.name}",
        )


def _limits(
    run: zoo.Run,
    service: Service,
    threshold: float | None,
    coverage: float | None,
    reject: float | None,
) -> zoo.PredictionLimits:
    """What is asked of the predictions; reads the features of training samples if need be."""
    try:
        return service.limits(threshold=threshold, coverage=coverage, reject=reject)
    except zoo.UsageError as error:
        asked = {"threshold": threshold, "coverage": coverage, "reject": reject}
        given = ", ".join(f"{name}={value:g}" for name, value in asked.items() if value is not None)
        message = error.message.replace(str(run.folder), run.name).replace("--", "")
        raise RequestError(422, message, given=given, expected=error.hint) from error


def _check_count(inputs: Sequence[Input], limits: Limits) -> None:
    if len(inputs) > limits.inputs:
        raise RequestError(
            413,
            "too many inputs in the request",
            given=f"{len(inputs)} inputs",
            expected=f"at most {limits.inputs} in one request",
        )


def _files(run: zoo.Run, limits: Limits) -> _Body:
    """A form with one or more files, in the field that the modality names."""
    field = run.modality.nouns
    files = {"type": "array", "items": {"type": "string", "format": "binary"}}
    schema = {"type": "object", "required": [field], "properties": {field: files}}
    return _Body(
        content={"multipart/form-data": {"schema": schema}},
        about=f"Predict one or more {run.modality.noun} files, in the form field ``{field}``.",
        read=lambda body, kind: read_files(body, kind, limits, field),
    )


def _texts(run: zoo.Run, limits: Limits) -> _Body:
    """A JSON object with texts, or with text pairs."""
    schema = schemas.TextPairs if run.pairs else schemas.Texts
    return _Body(
        content={"application/json": {"schema": schema.model_json_schema()}},
        about="Predict texts or text pairs.",
        read=lambda body, _: _read_texts(body, schema, limits),
    )


def _read_texts(
    body: bytes, schema: type[schemas.Texts | schemas.TextPairs], limits: Limits
) -> list[Input]:
    """Return the texts or text pairs in a body."""
    example = schema.model_config["json_schema_extra"]["examples"][0]  # type: ignore[index]
    given: Sequence[Any] = read_json(body, schema, limits, example=json.dumps(example)).texts
    _check_texts([t for each in given for t in ([each] if isinstance(each, str) else each)], limits)
    return [Input(each, f"text {number}") for number, each in enumerate(given, start=1)]


def _check_texts(texts: Sequence[str], limits: Limits) -> None:
    limit, longest = limits.text_length, max(map(len, texts))
    if longest > limit:
        raise RequestError(
            413,
            "a text is too long",
            given=f"{longest:,} characters",
            expected=f"at most {limit:,} characters",
        )
    invalid = next((text for text in texts if not _is_unicode(text)), None)
    if invalid is not None:
        raise RequestError(
            422,
            "a text is not valid Unicode",
            given=ascii(invalid[:60]),
            expected="texts without unpaired surrogates",
        )


def _is_unicode(text: str) -> bool:
    """Whether a text has no lone surrogates, which JSON can express and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
