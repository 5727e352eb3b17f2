"""Several runs behind one address, each under its name; adapter runs of one base share it."""

from __future__ import annotations

import html
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.types import Receive, Scope, Send

import zoo
from zoo_serve.app import bare_application, create_app
from zoo_serve.limits import Limits
from zoo_serve.middleware import Middleware
from zoo_serve.schemas import Health, ServedRun, ServedRuns


class SeveralRuns:
    """ASGI application: ``/<name>/…`` is the server of that run, everything else lists the runs."""

    def __init__(self, index: Middleware, apps: Mapping[str, Middleware]) -> None:
        self._index, self._apps = index, apps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            name, slash, rest = scope["path"].lstrip("/").partition("/")
            if name in self._apps and slash:
                inner = {**scope, "path": f"/{rest}", "raw_path": quote(f"/{rest}").encode()}
                await self._apps[name](inner, receive, send)
                return
        await self._index(scope, receive, send)


def create_app_of_runs(
    runs: Sequence[zoo.Run],
    *,
    device: str = "auto",
    limits: Limits | None = None,
    names: Collection[str] = (),
    mistakes: Sequence[zoo.Mistakes | None] = (),
    batch_size: int = 32,
) -> SeveralRuns:
    """Create an ASGI application that serves several runs; its threads stop with its lifespan.

    Each run has the routes of :func:`~zoo_serve.app.create_app` under ``/<its name>/``.

    Args:
        runs: From :func:`zoo.open_run`; adapter runs of one base share it in memory.
        device: ``auto``, ``cpu``, ``cuda``, …
        limits: Limits of each run.
        names: Accepted host names, besides IP addresses and ``localhost``.
        mistakes: Misclassified samples of each run; none by default.
        batch_size: Maximum inputs per forward pass.

    Raises:
        UsageError: Two runs have the same name.
        RunError: A run cannot be loaded.
    """
    predictors = zoo.load_predictors(runs, device=device)
    apps = {
        name: create_app(
            run,
            predictor=predictor,
            prefix=_prefix(name),
            limits=limits,
            names=names,
            mistakes=shown,
            batch_size=batch_size,
        )
        for (name, predictor), run, shown in zip(
            predictors.items(), runs, mistakes or [None] * len(runs), strict=True
        )
    }
    index = _index(dict(zip(predictors, runs, strict=True)), apps)
    guarded = Middleware(
        index, limits=limits or Limits(), names=names, body_type="application/json"
    )
    return SeveralRuns(guarded, apps)


def _prefix(name: str) -> str:
    return f"/{quote(name, safe='')}"


def _index(runs: Mapping[str, zoo.Run], apps: Mapping[str, Middleware]) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for app in apps.values():
                inner = app.app
                await stack.enter_async_context(inner.router.lifespan_context(inner))
            yield

    listed = [
        ServedRun(
            name=name, path=f"{_prefix(name)}/", backbone=run.backbone_name, task=run.task.name
        )
        for name, run in runs.items()
    ]
    app = bare_application(
        title="zoo serve",
        description=f"{len(runs)} runs, each under /<name>/.",
        lifespan=lifespan,
        paths="/, /runs, /health, or /<name>/ with the name of a run",
    )
    page = _page(listed)

    @app.get("/", include_in_schema=False)
    async def show() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/runs")
    async def list_runs() -> ServedRuns:
        """List the served runs."""
        return ServedRuns(runs=listed)

    @app.get("/health")
    async def health() -> Health:
        """Report that the server is up, and the number of requests in progress."""
        return Health(waiting=sum(app.waiting for app in apps.values()))

    for name in runs:
        if name not in ("runs", "health"):
            app.add_api_route(
                _prefix(name), _redirect(f"{_prefix(name)}/"), include_in_schema=False
            )
    return app


def _redirect(path: str) -> Any:
    async def redirect() -> RedirectResponse:
        return RedirectResponse(path)

    return redirect


def _page(listed: Sequence[ServedRun]) -> str:
    items = "\n".join(
        f'<li><a href="{html.escape(each.path)}">{html.escape(each.name)}</a>: '
        f"{html.escape(each.backbone)}, {html.escape(each.task)}</li>"
        for each in listed
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>zoo serve</title></head>\n'
        f"<body>\n<main>\n<h1>Served runs</h1>\n<ul>\n{items}\n</ul>\n</main>\n</body>\n</html>\n"
    )
