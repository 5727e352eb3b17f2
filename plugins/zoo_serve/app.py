"""The HTTP API and the page, as an ASGI application."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from importlib import resources
from typing import Annotated, Any, TypeVar

import anyio
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException as HTTPError

import zoo
from zoo_serve import answers
from zoo_serve.bodies import Input, read_images, read_json
from zoo_serve.gate import PREDICT, Gate
from zoo_serve.limits import Limits
from zoo_serve.refusals import Refusal, shortened
from zoo_serve.service import Service

_PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}

_ABOUT = {
    400: "the request cannot be read, or asks for the server by a name that is not its own",
    403: "a page of another site sent it",
    408: "it took too long to arrive",
    413: "too large, or too many inputs",
    415: "a body of another type",
    422: "a body is not of its form, an image cannot be read, or something is missing",
    429: "too many requests of one client; Retry-After says when to come again",
    503: "too many requests of all clients; Retry-After says when to come again",
}

T = TypeVar("T")

_READERS = 2
"""The most threads that take bodies apart."""

_FILES: dict[str, Any] = {
    "type": "object",
    "required": ["images"],
    "properties": {"images": {"type": "array", "items": {"type": "string", "format": "binary"}}},
}

Threshold = Annotated[
    float | None,
    Query(ge=0, le=1, description="multi-label: probability that a class needs; 0.5 by default"),
]
TopK = Annotated[int | None, Query(ge=1, description="only so many of the likeliest classes")]


def create_app(
    run: zoo.Run,
    *,
    device: str = "auto",
    limits: Limits | None = None,
    names: Collection[str] = (),
    mistakes: zoo.Mistakes | None = None,
    batch_size: int = 32,
) -> Gate:
    """An ASGI application that serves a run; its threads end with its lifespan.

    Args:
        run: From :func:`zoo.open_run`.
        device: ``auto``, ``cpu``, ``cuda``, …
        limits: How much, how often, how many.
        names: Host names that it may be asked for by, besides addresses and ``localhost``.
        mistakes: What the page shows of them; nothing by default.
        batch_size: Inputs that share a forward pass at most.

    Raises:
        RunError: The run cannot be loaded.
    """
    limits = limits or Limits()
    service = Service(run.predictor(device=device), batch_size=batch_size)
    app = _application(run, service)
    gate = Gate(
        app,
        limits=limits,
        names=names,
        body_type="multipart/form-data" if run.modality.in_files else "application/json",
    )
    _add_page(app)
    _add_facts(app, run, limits, waiting=lambda: gate.waiting)
    _add_mistakes(app, mistakes)
    _add_predict(app, run, service, limits)
    return gate


def _application(run: zoo.Run, service: Service) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await anyio.to_thread.run_sync(service.close)

    app = FastAPI(
        title=f"zoo serve {run.folder.name}",
        description=f"{run.backbone_name}, fine-tuned: {len(run.classes)} outputs, {run.task.name}.",
        version=zoo.__version__,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPError, _failed)
    app.add_exception_handler(Exception, _unexpected)
    return app


def _add_page(app: FastAPI) -> None:
    folder = resources.files("zoo_serve") / "page"
    for path, (file, media_type) in _PAGE.items():
        content = (folder / file).read_bytes()
        app.add_api_route(path, _file(content, media_type), include_in_schema=False)


def _file(content: bytes, media_type: str) -> Callable[[], Awaitable[Response]]:
    async def file() -> Response:
        return Response(content, media_type=media_type, headers={"cache-control": "no-cache"})

    return file


def _add_facts(app: FastAPI, run: zoo.Run, limits: Limits, *, waiting: Callable[[], int]) -> None:
    model = _model(run, limits)

    @app.get("/health")
    async def health() -> answers.Health:
        """Say that the server is there, and how much waits."""
        return answers.Health(waiting=waiting())

    @app.get("/model")
    async def describe() -> answers.Model:
        """Say what is served: backbone, classes, input, metrics, license."""
        return model


def _model(run: zoo.Run, limits: Limits) -> answers.Model:
    weights = run.record.get("weights") or {}
    return answers.Model(
        run=run.folder.resolve().name,
        backbone=run.backbone_name,
        task=run.task.name,
        modality=run.modality.name,
        files=run.modality.in_files,
        pairs=run.pairs,
        classes=list(run.classes),
        has_classes=run.task.has_classes,
        outputs={"one": run.task.wording.output, "several": run.task.wording.outputs},
        input=run.spec.to_json()["input"],
        metrics={name: v if math.isfinite(v) else None for name, v in run.metrics.items()},
        weights={
            "tag": weights.get("tag"),
            "license": weights.get("license") or None,
            "code_license": run.spec.license or None,
        },
        limits={
            "request_bytes": limits.request_bytes,
            "inputs": limits.inputs,
            "text_length": limits.text_length,
        },
    )


def _add_mistakes(app: FastAPI, mistakes: zoo.Mistakes | None) -> None:
    kept = mistakes or zoo.Mistakes()
    listed = [
        answers.ListedMistake(
            number=number,
            input=list(each.inputs),
            truth=list(each.truth),
            said=list(each.predicted),
            probability=each.probability,
            image=f"/mistakes/{number}/image" if each.image else None,
        )
        for number, each in enumerate(kept.examples)
    ]

    alone = anyio.CapacityLimiter(1)  # each may take 1.7 GB while it is decoded

    @app.get("/mistakes")
    async def show() -> answers.MistakesPage:
        """List the validation examples that the run mistook, the worst first."""
        return answers.MistakesPage(
            count=kept.count, of=kept.total, shown=mistakes is not None, mistakes=listed
        )

    @app.get("/mistakes/{number}/image", response_class=Response)
    async def image(number: int) -> Response:
        """Show one of them, small."""
        content = await anyio.to_thread.run_sync(kept.thumbnail, number, limiter=alone)
        if content is None:
            raise HTTPException(404)
        return Response(content, media_type="image/jpeg")


def _add_predict(app: FastAPI, run: zoo.Run, service: Service, limits: Limits) -> None:

    async def answer(
        inputs: Sequence[Input], threshold: float | None, top_k: int | None
    ) -> dict[str, Any]:
        if threshold is not None and not run.task.several:
            raise Refusal(
                422,
                "a threshold is for runs with several labels",
                given=f"threshold={threshold:g}",
                expected=f"no threshold: this run is {run.task.name}",
            )
        if len(inputs) > limits.inputs:
            raise Refusal(
                413,
                "there are too many inputs in the request",
                given=f"{len(inputs)} inputs",
                expected=f"at most {limits.inputs} in one request",
            )
        found = await service.answer(inputs, threshold=threshold, top_k=top_k)
        seconds = {"forward": found.forward, "total": found.total}
        return {"predictions": found.predictions, "seconds": seconds}

    in_threads = anyio.CapacityLimiter(_READERS)

    async def read(work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=in_threads)

    async def predict_images(
        request: Request, threshold: Threshold = None, top_k: TopK = None
    ) -> Any:
        """Predict images: one or more files, each under the name ``images``."""
        body, kind = await request.body(), request.headers["content-type"]
        asked = await read(lambda: read_images(body, kind, limits))
        return await answer(asked, threshold, top_k)

    async def predict_texts(
        request: Request, threshold: Threshold = None, top_k: TopK = None
    ) -> Any:
        """Predict texts, or pairs of texts."""
        body = await request.body()
        asked = await read(lambda: _texts(body, form, limits))
        return await answer(asked, threshold, top_k)

    form: type[answers.Texts | answers.TextPairs] = (
        answers.TextPairs if run.pairs else answers.Texts
    )
    of_images = run.modality.in_files
    app.add_api_route(
        PREDICT,
        predict_images if of_images else predict_texts,
        methods=["POST"],
        name="predict",
        response_model=answers.Predictions,
        response_model_exclude_none=True,
        openapi_extra={"requestBody": _described(_FILES if of_images else form)},
        responses={
            status: {"model": answers.Error, "description": about}
            for status, about in _ABOUT.items()
        },
    )


def _described(form: type[BaseModel] | dict[str, Any]) -> dict[str, Any]:
    """A body in the words of OpenAPI."""
    if isinstance(form, dict):
        return {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    return {"required": True, "content": {"application/json": {"schema": form.model_json_schema()}}}


def _texts(
    body: bytes, form: type[answers.Texts | answers.TextPairs], limits: Limits
) -> list[Input]:
    """The texts, or pairs of them, that a body holds."""
    example = form.model_config["json_schema_extra"]["examples"][0]  # type: ignore[index]
    given: Sequence[Any] = read_json(body, form, limits, form=json.dumps(example)).texts
    _check_texts([t for each in given for t in ([each] if isinstance(each, str) else each)], limits)
    return [Input(each, f"text {number}") for number, each in enumerate(given, start=1)]


def _check_texts(texts: Sequence[str], limits: Limits) -> None:
    most, longest = limits.text_length, max(map(len, texts))
    if longest > most:
        raise Refusal(
            413,
            "a text is too long",
            given=f"{longest:,} characters",
            expected=f"at most {most:,} characters",
        )
    halved = next((text for text in texts if not _is_unicode(text)), None)
    if halved is not None:
        raise Refusal(
            422,
            "a text is no Unicode",
            given=ascii(halved[:60]),
            expected="texts without halves of surrogate pairs",
        )


def _is_unicode(text: str) -> bool:
    """Whether it has no lone surrogates, which JSON can write and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)
    return error.response()


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """What FastAPI found wrong with the query or the path, in the words of the others."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return Refusal(
        422,
        f"{' '.join(map(str, first['loc']))} is not valid",
        given=shortened(first.get("input")),
        expected=str(first["msg"])[:1].lower() + str(first["msg"])[1:],
    ).response()


async def _failed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPError)
    what = {
        404: (
            "there is nothing under that path",
            "/, /predict, /model, /mistakes, /health or /openapi.json",
        ),
        405: ("that path does not take that method", (error.headers or {}).get("Allow", "another")),
    }
    message, expected = what.get(error.status_code, (str(error.detail), "a whole request"))
    given = f"{request.method} {request.url.path}"[:120]
    return Refusal(
        error.status_code, message, given=given, expected=expected, headers=error.headers
    ).response()


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    return Refusal(
        500,
        f"unexpected {type(error).__name__}; the server's own output says more",
        given=f"{request.method} {request.url.path}"[:120],
        expected="an answer: this is a fault of the server",
    ).response()
