"""Many clients at once, and the end in the middle of their work."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import httpx
import pytest

from tests.serve.conftest import COLOURS, image
from tests.serve.servers import Server, press, served

GROWTH = 16 * 2**20
"""Bytes of memory by which the server may grow over 400 requests: what its threads' allocators
keep of their largest images, and no more when there are more requests."""


@pytest.mark.long
def test_500_requests_of_8_clients_are_all_answered_and_memory_stays(
    images_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [image(number % 3, seed=number, side=600) for number in range(12)]
    with served(images_run, "--rate", 0) as server:
        load = press(server, images, clients=8, requests=500)
        grown = load.late - load.early
        with capsys.disabled():
            print(
                f"\n500 requests, 8 clients: p50 {1000 * load.percentile(50):.0f} ms, "
                f"p95 {1000 * load.percentile(95):.0f} ms, {500 / load.wall:.0f} a second; memory "
                f"{load.early / 2**20:.0f} MB after 100, {grown / 2**20:+.1f} MB at the end"
            )
        assert load.statuses == [200] * 500
        assert load.labels == [COLOURS[number % 12 % 3] for number in range(500)]
        assert grown < GROWTH
        _stop_in_the_middle_of_a_request(server)


def _stop_in_the_middle_of_a_request(server: Server) -> None:
    """A request of which half has arrived is still answered, nobody else is let in, and all ends."""
    request = httpx.Request("POST", f"{server.url}/predict", files={"images": image(1)})
    head = f"POST /predict HTTP/1.1\r\nHost: {request.headers['host']}\r\n"
    for name in ("content-type", "content-length"):
        head += f"{name}: {request.headers[name]}\r\n"
    body = request.read()
    address = ("127.0.0.1", server.facts["port"])
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(f"{head}\r\n".encode() + body[:100])
        while not httpx.get(f"{server.url}/health").json()["waiting"]:
            pass
        server.process.send_signal(signal.SIGTERM)
        while _lets_in(server):
            pass
        connection.sendall(body[100:])
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"label":"green"' in answer
    _, err = server.process.communicate(timeout=60)
    assert (server.process.returncode, err.splitlines()[-1]) == (0, "stopped")


def _lets_in(server: Server) -> bool:
    try:
        return httpx.get(f"{server.url}/health").is_success
    except httpx.TransportError:
        return False
