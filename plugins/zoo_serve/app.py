"""The HTTP API and the web page, as an ASGI application."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

import anyio
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as HTTPError

import zoo
from zoo_serve import schemas
from zoo_serve.http_errors import RequestError, shortened
from zoo_serve.limits import Limits
from zoo_serve.middleware import Middleware
from zoo_serve.predict import add_predict
from zoo_serve.service import Service

_PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


def create_app(
    run: zoo.Run,
    *,
    device: str = "auto",
    limits: Limits | None = None,
    names: Collection[str] = (),
    mistakes: zoo.Mistakes | None = None,
    batch_size: int = 32,
    predictor: zoo.Predictor | None = None,
    prefix: str = "",
) -> Middleware:
    """Create an ASGI application that serves a run; its threads stop with its lifespan.

    Args:
        run: From :func:`zoo.open_run`.
        device: ``auto``, ``cpu``, ``cuda``, …
        limits: Limits on size, rate and number of requests.
        names: Accepted host names, besides IP addresses and ``localhost``.
        mistakes: Misclassified samples to show on the page; none by default.
        batch_size: Maximum inputs per forward pass.
        predictor: The run's predictor, if it is loaded already.
        prefix: Path under which the application is served.

    Raises:
        RunError: The run cannot be loaded.
    """
    limits = limits or Limits()
    service = Service(
        predictor or run.predictor(device=device),
        batch_size=batch_size,
        readable=run.modality.readable,
    )
    app = _application(run, service, prefix)
    guarded = Middleware(
        app,
        limits=limits,
        names=names,
        body_type="multipart/form-data" if run.modality.in_files else "application/json",
    )
    _add_page(app)
    _add_facts(app, run, limits, waiting=lambda: guarded.waiting)
    _add_mistakes(app, mistakes, prefix)
    add_predict(app, run, service, limits)
    return guarded


def _application(run: zoo.Run, service: Service, prefix: str) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await anyio.to_thread.run_sync(service.close)

    return bare_application(
        title=f"zoo serve {run.name}",
        description=f"{run.backbone_name}, fine-tuned: {len(run.classes)} outputs, {run.task.name}.",
        lifespan=lifespan,
        paths="/, /predict, /model, /mistakes, /health or /openapi.json",
        prefix=prefix,
    )


def bare_application(
    *, title: str, description: str, lifespan: Any, paths: str, prefix: str = ""
) -> FastAPI:
    """Create an application without routes that returns errors as JSON.

    Args:
        title: Title of the API.
        description: Description of the API.
        lifespan: FastAPI's lifespan context.
        paths: Valid paths, for the error message of an unknown one.
        prefix: Path under which the application is served.
    """
    app = FastAPI(
        title=title,
        description=description,
        version=zoo.__version__,
        servers=[{"url": prefix}] if prefix else None,
        docs_url=None,  # its page loads scripts from a CDN
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.paths = paths
    app.add_exception_handler(RequestError, _request_error)
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
    async def health() -> schemas.Health:
        """Report that the server is up, and the number of requests in progress."""
        return schemas.Health(waiting=waiting())

    @app.get("/model")
    async def describe() -> schemas.Model:
        """Describe the model: backbone, classes, input, metrics, license."""
        return model


def _model(run: zoo.Run, limits: Limits) -> schemas.Model:
    weights = run.record.get("weights") or {}
    return schemas.Model(
        run=run.name,
        backbone=run.backbone_name,
        task=run.task.name,
        modality=run.modality.name,
        files=run.modality.in_files,
        nouns=run.modality.nouns,
        accept=run.modality.accept,
        takes=run.modality.shape_in_words(run.spec),
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


def _add_mistakes(app: FastAPI, mistakes: zoo.Mistakes | None, prefix: str) -> None:
    kept = mistakes or zoo.Mistakes()
    listed = [
        schemas.ListedMistake(
            number=number,
            input=list(each.inputs),
            truth=list(each.truth),
            predicted=list(each.predicted),
            probability=each.probability,
            image=f"{prefix}/mistakes/{number}/image" if each.image else None,
        )
        for number, each in enumerate(kept.examples)
    ]

    one_at_a_time = anyio.CapacityLimiter(1)  # decoding may need 1.7 GB

    @app.get("/mistakes")
    async def show() -> schemas.MistakesPage:
        """List the misclassified validation samples, the most confident first."""
        return schemas.MistakesPage(
            count=kept.count, of=kept.total, shown=mistakes is not None, mistakes=listed
        )

    @app.get("/mistakes/{number}/image", response_class=Response)
    async def image(number: int) -> Response:
        """Return the thumbnail of a misclassified validation sample."""
        content = await anyio.to_thread.run_sync(kept.thumbnail, number, limiter=one_at_a_time)
        if content is None:
            raise HTTPException(404)
        return Response(content, media_type="image/jpeg")


async def _request_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestError)
    return error.response()


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """Convert FastAPI's validation errors of query and path to the format of the other errors."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return RequestError(
        422,
        f"{' '.join(map(str, first['loc']))} is not valid",
        given=shortened(first.get("input")),
        expected=str(first["msg"])[:1].lower() + str(first["msg"])[1:],
    ).response()


async def _failed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPError)
    what = {
        404: (
            "not found",
            request.app.state.paths,
        ),
        405: ("method not allowed", (error.headers or {}).get("Allow", "another")),
    }
    message, expected = what.get(error.status_code, (str(error.detail), "a complete request"))
    given = f"{request.method} {request.url.path}"[:120]
    return RequestError(
        error.status_code, message, given=given, expected=expected, headers=error.headers
    ).response()


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    return RequestError(
        500,
        f"unexpected {type(error).__name__}; see the server's log",
        given=f"{request.method} {request.url.path}"[:120],
        expected="a prediction: this is an error of the server",
    ).response()
