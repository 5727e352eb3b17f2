"""Connections on which no request comes: they end, or make room for those on which one does."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from zoo_serve import connections

HALF = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"ok"})


def _with_server(ask: Callable[[int], Awaitable[Any]], *, seconds: float) -> Any:
    async def answers() -> Any:
        make = connections.protocol_factory(seconds)
        config, state = Config(_app, log_config=None), ServerState()
        config.load()
        server = await asyncio.get_running_loop().create_server(
            lambda: make(config=config, server_state=state, app_state={}), "127.0.0.1", 0
        )
        async with server:
            return await asyncio.wait_for(ask(server.sockets[0].getsockname()[1]), timeout=20)

    return asyncio.run(answers())


@pytest.mark.parametrize("before", [b"", b"GET / H", HALF, HALF + b"\r\n" + HALF])
def test_a_head_that_does_not_arrive_ends_its_connection(before: bytes) -> None:
    async def ask(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(before)
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()

    assert _with_server(ask, seconds=0.2).count(b"200 OK") == before.count(b"\r\n\r\n")


def test_heads_that_are_half_sent_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "max_connections", lambda: 8)

    async def ask(port: int) -> list[bytes]:
        halves = []
        for _ in range(40):
            halves.append(await asyncio.open_connection("127.0.0.1", port))
            halves[-1][1].write(HALF)
        answers = []
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HALF + b"Connection: close\r\n\r\n")
            answers.append(await reader.read())
            writer.close()
        for _, writer in halves:
            writer.close()
        return answers

    answers = _with_server(ask, seconds=60)
    assert [each.split(b"\r\n")[0] for each in answers] == [b"HTTP/1.1 200 OK"] * 3


def test_there_is_room_for_less_where_fewer_files_may_be_open() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        rooms = []
        for most in (limits[1], 400, 64):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, limits[1]), limits[1]))
            rooms.append(connections.max_connections())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert rooms[0] == 1024
    assert 8 <= rooms[1] <= 400 - connections.BACKLOG
    assert rooms[2] == 8
