"""Batching, rate limits, sockets and mistakes."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.types import Message

import zoo
from tests.end_to_end.conftest import Zoo, zoo_cli
from tests.serve.conftest import image
from zoo.errors import RunError, UsageError
from zoo_serve import is_loopback, open_socket
from zoo_serve.batching import Batcher
from zoo_serve.limits import Limits, RateLimiter, network_of
from zoo_serve.uploads import Uploads

__all__ = ["zoo_cli"]


@dataclass
class Held:
    """A computation that waits to be let go, and remembers its batches."""

    go: threading.Event = field(default_factory=threading.Event)
    began: threading.Event = field(default_factory=threading.Event)
    batches: list[list[int]] = field(default_factory=list)

    def __call__(self, items: Sequence[int]) -> np.ndarray:
        self.batches.append(list(items))
        self.began.set()
        self.go.wait(timeout=10)
        if -1 in items:
            raise ValueError("not this one")
        return np.array([[2.0 * item] for item in items])


def test_what_arrives_meanwhile_shares_one_pass_up_to_the_batch_size() -> None:
    compute = Held()
    batcher = Batcher(compute, max_batch=4, wait=0)
    first = batcher.submit(0)
    assert compute.began.wait(timeout=10)
    rest = [batcher.submit(item) for item in range(1, 8)]
    compute.go.set()
    results = [future.result(timeout=10) for future in (first, *rest)]
    assert compute.batches == [[0], [1, 2, 3, 4], [5, 6, 7]]
    assert [float(each.outputs[0]) for each in results] == [2.0 * i for i in range(8)]
    assert [each.batch for each in results] == [1, 4, 4, 4, 4, 3, 3, 3]
    batcher.close()


def test_an_error_fails_its_batch_and_the_next_is_computed() -> None:
    compute = Held()
    compute.go.set()
    batcher = Batcher(compute, max_batch=1)
    with pytest.raises(ValueError, match="not this one"):
        batcher.submit(-1).result(timeout=10)
    assert batcher.submit(3).result(timeout=10).outputs[0] == 6
    batcher.close()


def test_closing_computes_what_waits_and_takes_no_more() -> None:
    compute = Held()
    batcher = Batcher(compute, max_batch=2, wait=0)
    futures = [batcher.submit(item) for item in range(5)]
    closing = threading.Thread(target=batcher.close)
    closing.start()
    compute.go.set()
    closing.join(timeout=10)
    assert not closing.is_alive()
    assert not wait(futures, timeout=0).not_done
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(9)


def test_a_client_gets_its_burst_and_then_its_rate() -> None:
    now = 0.0
    limiter = RateLimiter(2, 3, clock=lambda: now)
    assert [limiter.take("10.0.0.1") for _ in range(4)] == [0, 0, 0, 0.5]
    assert limiter.take("10.0.0.2") == 0
    now = 0.5
    assert limiter.take("10.0.0.1") == 0
    assert limiter.take("10.0.0.1") == 0.5
    now = 1000
    assert [limiter.take("10.0.0.1") for _ in range(4)] == [0, 0, 0, 0.5]
    assert not any(RateLimiter(0, 1).take("10.0.0.1") for _ in range(9))


def test_rate_limits_forget_and_do_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo_serve.limits._CLIENTS", 5)
    limiter = RateLimiter(1, 1)
    for number in range(50):
        limiter.take(f"10.0.0.{number}")
    assert len(limiter._left) == 5


def test_with_too_many_bytes_the_oldest_body_of_the_busiest_client_is_dropped() -> None:
    uploads = Uploads(Limits(request_bytes=100, arriving_bytes=200))

    async def body(size: int, go: asyncio.Event) -> AsyncIterator[Message]:
        yield {"type": "http.request", "body": b"x" * size, "more_body": True}
        await go.wait()
        yield {"type": "http.request", "body": b"y", "more_body": False}

    async def arrive() -> list[bytes | BaseException]:
        go, reads = asyncio.Event(), []
        for client, size in (("a", 60), ("b", 90), ("b", 40), ("c", 20)):
            reads.append(asyncio.create_task(uploads.read(body(size, go).__anext__, client)))
            await asyncio.sleep(0.01)
        go.set()
        return await asyncio.gather(*reads, return_exceptions=True)

    found = asyncio.run(arrive())
    assert [len(each) if isinstance(each, bytes) else each.status_code for each in found] == [
        *(61, 408, 41, 21)
    ]


def test_a_network_of_ipv6_is_one_client() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff") == "2001:db8::/64"
    assert network_of("2001:db8:0:1::1") != network_of("2001:db8::1")
    assert network_of("10.0.0.1") == "10.0.0.1"


def test_only_loopback_is_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.2", "localhost.example.org")))


def test_a_port_in_use_and_a_foreign_host_are_errors() -> None:
    with open_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"{port}.*127.0.0.1") as failure:
            open_socket("127.0.0.1", port)
    assert "--port 0" in failure.value.hint
    with pytest.raises(UsageError, match=r"192\.0\.2\.1.*0") as failure:
        open_socket("192.0.2.1", 0)
    assert "--host" in failure.value.hint


# -- mistakes ----------------------------------------------------------------------------------


def test_the_surest_mistakes_come_first_with_their_images(images_run: Path) -> None:
    found = zoo.open_run(images_run).worst_mistakes()
    assert (found.count, found.total) == (3, 12)
    sure = [each.probability for each in found.examples]
    assert sure == sorted(sure, reverse=True)
    for number, each in enumerate(found.examples):
        assert each.inputs == ("0.jpg",)
        assert each.truth != each.predicted
        assert found.thumbnail(number)[:3] == b"\xff\xd8\xff"
    assert found.thumbnail(3) is None
    assert found.thumbnail(-1) is None


def _forged(run: Path, folder: Path, source: Path, inputs: list[str]) -> zoo.Run:
    """A copy of a run whose files say that it mistook ``inputs``, of data in ``source``."""
    shutil.copytree(run, folder)
    record = json.loads((folder / "run.json").read_text())
    record["data"]["source"] = str(source)
    (folder / "run.json").write_text(json.dumps(record))
    count = len(inputs)
    columns = {"input": inputs, "label": ["red"] * count, "predicted": ["green"] * count}
    pq.write_table(
        pa.table({**columns, "probability": [0.9] * count}), folder / "predictions.parquet"
    )
    return zoo.open_run(folder)


def test_no_image_outside_the_data_folder_is_shown(images_run: Path, tmp_path: Path) -> None:
    data, secret = tmp_path / "data", tmp_path / "secret.jpg"
    data.mkdir()
    secret.write_bytes(image(0))
    (data / "own.jpg").write_bytes(image(0))
    (data / "notes.txt").write_bytes(image(0))
    (data / "link.jpg").symlink_to(secret)
    outside = [secret, data / ".." / "secret.jpg", data / "link.jpg", data / "gone.jpg"]
    inputs = [*map(str, outside), str(data / "notes.txt"), "a\0b.jpg", str(data / "own.jpg")]
    found = _forged(images_run, tmp_path / "run", data, inputs).worst_mistakes()
    shown = [found.thumbnail(number) is not None for number in range(len(inputs))]
    assert shown == [False] * 6 + [True]


@pytest.mark.parametrize("source", ["/", "~"])
def test_a_run_that_claims_the_whole_disk_as_its_data_shows_no_image(
    images_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    private = tmp_path / "private.jpg"
    private.write_bytes(image(0))
    folder = Path(source.replace("~", str(tmp_path)))
    found = _forged(images_run, tmp_path / "run", folder, [str(private)]).worst_mistakes()
    assert found.count == 1
    assert found.thumbnail(0) is None


def test_a_damaged_predictions_file_is_an_error(
    images_run: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    run = _forged(images_run, tmp_path / "run", tmp_path, ["a.jpg"])
    path = run.folder / "predictions.parquet"
    for content in (b"no table", None):
        if content:
            path.write_bytes(content)
        else:
            pq.write_table(pa.table({"other": [1]}), path)
        with pytest.raises(RunError, match=r"predictions\.parquet"):
            run.worst_mistakes()
        told = zoo_cli("serve", run.folder)
        assert (told.code, "--no-mistakes" in told.err) == (1, True)
    path.unlink()
    assert run.worst_mistakes().total == 0
