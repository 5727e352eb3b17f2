"""The HTTP API: predictions and errors."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

import zoo
from tests.end_to_end.conftest import Zoo, zoo_cli
from tests.serve.conftest import COLOURS, image, texts_run
from zoo.modalities.image import thumbnails
from zoo.modalities.text.inputs import Text
from zoo_serve import Limits, create_app

__all__ = ["zoo_cli"]

Ask = Callable[[httpx.AsyncClient], Awaitable[Any]]


def served(run: Path, ask: Ask, **options: Any) -> Any:
    """What ``ask`` gets from a server of ``run`` in this process; the same for the same options."""
    app = _created(run, **options)

    async def answers() -> Any:
        transport = httpx.ASGITransport(app, client=("10.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await ask(client)

    return asyncio.run(answers())


@cache
def _created(run: Path, **options: Any) -> Any:
    return create_app(zoo.open_run(run), device="cpu", **options)


def post(run: Path, /, *, query: str = "", **body: Any) -> httpx.Response:
    return served(run, lambda client: client.post(f"/predict{query}", **body))


def files(*contents: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", (f"{number}.jpg", each)) for number, each in enumerate(contents)]


def complaint(response: httpx.Response) -> dict[str, str]:
    """The fields of an error response."""
    body = response.json()
    assert set(body) == {"error", "given", "expected"}
    assert all(isinstance(each, str) and each for each in body.values()), body
    return body


JSON = {"content-type": "application/json"}
_FORM = "multipart/form-data; boundary=x"


# -- predictions -----------------------------------------------------------------------------------


def test_images_are_answered_as_by_zoo_predict(images_run: Path, tmp_path: Path) -> None:
    contents = [image(0, side=90), image(1, kind="PNG"), image(2, kind="WEBP")]
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.jpg").write_bytes(content)
    expected = zoo.open_run(images_run).predict([tmp_path])
    body = post(images_run, files=files(*contents)).json()
    assert [each["label"] for each in body["predictions"]] == list(COLOURS)
    for number, (given, said) in enumerate(zip(body["predictions"], expected, strict=True)):
        assert given["input"] == f"{number}.jpg"
        assert given["probabilities"] == pytest.approx(said.probabilities, abs=1e-5)
    assert 0 < body["seconds"]["forward"] < body["seconds"]["total"]


def test_top_k_limits_the_classes(images_run: Path) -> None:
    (row,) = post(images_run, query="?top_k=1", files=files(image(1))).json()["predictions"]
    assert list(row["probabilities"]) == [row["label"]] == ["green"]


def test_sets_and_refusal_are_answered_as_by_zoo_predict(films_run: Path) -> None:
    texts = ["a fine film", "dull", "7f 3a {} ;;"]
    plain = post(films_run, json={"texts": texts}).json()["predictions"]
    asked = {"coverage": 0.9, "reject": 0.2}
    given = post(films_run, query="?coverage=0.9&reject=0.2", json={"texts": texts}).json()
    said = zoo.open_run(films_run).predict([Text(text) for text in texts], **asked)
    for row, before, each in zip(given["predictions"], plain, said, strict=True):
        assert row.keys() - before.keys() == {"prediction_set", "rejected", "ood"}
        assert row["prediction_set"] == list(each.prediction_set)
        assert (row["rejected"], row["ood"]) == (each.rejected, each.ood)
    assert post(films_run, json={"texts": texts}).json()["predictions"] == plain


def test_texts_in_one_batch_are_answered_as_alone(films_run: Path) -> None:
    texts = ["a fine film", "dull", "", "cold " * 300, "a warm and funny film " * 9]
    body = post(films_run, json={"texts": texts}).json()
    assert [each["input"] for each in body["predictions"]] == texts
    for text, given in zip(texts, body["predictions"], strict=True):
        (said,) = zoo.open_run(films_run).predict([Text(text)])
        assert given["probabilities"] == pytest.approx(said.probabilities, abs=1e-5)


@pytest.mark.slow
def test_the_other_tasks_answer_in_their_own_terms(tmp_path: Path) -> None:
    words, pair = ["red", "blue", "red blue"] * 12, ("first", "second")
    tags = texts_run(
        tmp_path, "tags", {"text": words, "labels": ["r", "b", "r;b"] * 12}, task="multi-label"
    )
    threshold = {"json": {"texts": words[:1]}}
    every = post(tags, query="?threshold=0", **threshold).json()["predictions"][0]
    assert sorted(every["labels"]) == ["b", "r"]
    assert post(tags, query="?threshold=1", **threshold).json()["predictions"][0]["labels"] == []
    assert post(tags, query="?threshold=2", **threshold).status_code == 422
    costs = texts_run(
        tmp_path,
        "costs",
        {"text": words, "price": [str(i) for i in range(36)]},
        task="regression",
        label_column="price",
    )
    (row,) = post(costs, json={"texts": ["red"]}).json()["predictions"]
    assert row == {"input": "red", "values": {"price": pytest.approx(17.5, abs=20)}}
    columns = {"first": words, "second": words[::-1], "label": ["same", "other"] * 18}
    pairs = texts_run(tmp_path, "pairs", columns, text_column=pair)
    given = [["red", "blue"], ["blue", "red blue red"]]
    rows = post(pairs, json={"texts": given}).json()["predictions"]
    expected = zoo.open_run(pairs).predict([tuple(each) for each in given])
    for row, said in zip(rows, expected, strict=True):
        assert row["input"] == list(said.input)
        assert row["probabilities"] == pytest.approx(said.probabilities, abs=1e-5)
    assert post(pairs, json={"texts": ["one alone"]}).status_code == 422


def test_model_mistakes_and_openapi_are_served(images_run: Path) -> None:
    run = zoo.open_run(images_run)

    async def ask(client: httpx.AsyncClient) -> list[Any]:
        paths = ("/health", "/model", "/mistakes", "/openapi.json", "/mistakes/0/image")
        return [await client.get(path) for path in paths]

    health, model, mistakes, openapi, shown = served(images_run, ask, mistakes=run.worst_mistakes())
    assert model.json()["outputs"] == {"one": "class", "several": "classes"}
    assert model.json()["has_classes"] is True
    assert health.json() == {"status": "ok", "waiting": 0}
    facts = model.json()
    assert (facts["backbone"], facts["run"]) == ("basics/cnn", "colours-1")
    assert sorted(facts["classes"]) == sorted(COLOURS)
    assert facts["input"]["size"] == 16
    assert (facts["modality"], facts["files"]) == ("image", True)
    assert facts["metrics"] == pytest.approx(run.metrics)
    assert facts["weights"] == {"tag": None, "license": None, "code_license": "Apache-2.0"}
    assert mistakes.json()["count"] == 3
    assert str(images_run.parent) not in mistakes.text
    assert shown.headers["content-type"] == "image/jpeg"
    operation = openapi.json()["paths"]["/predict"]["post"]
    assert list(operation["requestBody"]["content"]) == ["multipart/form-data"]
    assert {"200", "413", "415", "422", "429", "503"} <= set(operation["responses"])


def test_mistakes_are_hidden_by_default(images_run: Path) -> None:
    async def ask(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [await client.get("/mistakes"), await client.get("/mistakes/0/image")]

    listed, shown = served(images_run, ask)
    assert listed.json() == {"count": 0, "of": 0, "shown": False, "mistakes": []}
    assert shown.status_code == 404


def test_thumbnails_are_decoded_one_at_a_time_and_rate_limited(
    images_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mistakes, reading, most = zoo.open_run(images_run).worst_mistakes(), 0, 0
    read = thumbnails.read_image

    def slowly(*arguments: Any, **options: Any) -> Any:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        time.sleep(0.05)
        reading -= 1
        return read(*arguments, **options)

    monkeypatch.setattr(thumbnails, "read_image", slowly)

    async def ask(client: httpx.AsyncClient) -> list[int]:
        paths = [f"/mistakes/{number % 3}/image" for number in range(12)]
        found = await asyncio.gather(*map(client.get, paths))
        return [each.status_code for each in found]

    statuses = served(images_run, ask, mistakes=mistakes, limits=Limits(rate=0.01, burst=9))
    assert most == 1
    assert sorted(statuses) == [200] * 9 + [429] * 3


def test_every_response_has_the_security_headers(images_run: Path) -> None:
    async def ask(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [await client.get(path) for path in ("/", "/page.js", "/model", "/nowhere")]

    for response in served(images_run, ask):
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"


# -- errors ------------------------------------------------------------------------------------


def test_an_unreadable_image_is_named(images_run: Path) -> None:
    refused = post(images_run, files=files(image(0), b"no image", b""))
    assert refused.status_code == 422
    refused_body = complaint(refused)
    assert refused_body["given"] == "1.jpg, 2.jpg"
    assert "1.jpg" in refused_body["error"]
    assert "JPEG" in refused_body["expected"]


@pytest.mark.parametrize(
    ("body", "query", "status", "words"),
    [
        ({"json": {"texts": ["a"]}}, "", 415, "multipart/form-data"),
        ({}, "", 415, "multipart/form-data"),
        ({"files": [("photos", ("a.jpg", b"x"))]}, "", 422, "images"),
        ({"files": files(b"x")}, "?top_k=0", 422, "top_k"),
        ({"files": files(b"x")}, "?threshold=0.5", 422, "multi-label"),
        ({"files": files(b"x")}, "?coverage=1.2", 422, "less than 1"),
        ({"files": files(b"x")}, "?coverage=0.999", 422, "needs calibration.json, which colours-1"),
        ({"files": files(*[b"x"] * 33)}, "", 413, "at most 32 "),
        ({"files": files(*[b"x"] * 40)}, "", 413, "at most 32 "),
        ({"data": {"images": "a text"}, "files": {"other": b"x"}}, "", 422, "'images'"),
        (
            {"content": b"--x--", "headers": {"content-type": f"{_FORM}; charset=punycode"}},
            "",
            415,
            "UTF-8",
        ),
        (
            {"content": b"--x\r\nbroken", "headers": {"content-type": "multipart/form-data"}},
            "",
            400,
            "multipart/form-data",
        ),
    ],
)
def test_an_invalid_image_request_is_rejected(
    images_run: Path, body: Any, query: str, status: int, words: str
) -> None:
    refused = post(images_run, query=query, **body)
    assert refused.status_code == status
    assert words in " ".join(complaint(refused).values())


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"files": files(b"x")}, 415, "application/json"),
        ({"json": {"texts": []}}, 422, "at least 1"),
        ({"json": {"texts": "a"}}, 422, "texts"),
        ({"json": {"texts": [["a", "b"]]}}, 422, "string"),
        ({"json": {"text": ["a"]}}, 422, "texts"),
        ({"json": {"texts": ["a" * 100_001]}}, 413, "100,001 characters"),
        ({"content": rb'{"texts": ["a \ud800"]}', "headers": JSON}, 422, r"'a \ud800'"),
        ({"content": rb'{"\ud800": ["a"]}', "headers": JSON}, 422, "unicode"),
        ({"content": b"{", "headers": JSON}, 422, "is not valid JSON"),
        ({"content": b"", "headers": JSON}, 422, "is not valid JSON"),
        ({"content": b'{"texts": ["a" "b"]}', "headers": JSON}, 422, "line 1, column 16: Expect"),
        ({"content": b'{"texts": ["a]}', "headers": JSON}, 422, "is not valid JSON"),
        ({"content": b"\xff\xfe", "headers": JSON}, 422, "is not valid JSON"),
        ({"content": b"[" * 90_000, "headers": JSON}, 422, "is not valid JSON"),
        ({"content": b"[" * 200_000, "headers": JSON}, 422, "outside strings"),
        ({"json": {"texts": [0] * 100_000}}, 422, "outside strings"),
        ({"json": {"texts": ["a"] * 33}}, 413, "at most 32 "),
        ({"json": {"texts": ["a"] * 1_000_000}}, 413, "more than 72 strings"),
        ({"json": {"texts": ["a", 0]}}, 422, "texts.1 is not valid"),
        ({"json": ["a"]}, 422, '{"texts": ["a fine film"'),
    ],
)
def test_an_invalid_text_request_is_rejected(
    films_run: Path, body: Any, status: int, words: str
) -> None:
    refused = post(films_run, **body)
    assert refused.status_code == status
    assert words.lower() in " ".join(complaint(refused).values()).lower()


@pytest.mark.parametrize("declared", [True, False])
def test_a_request_that_is_too_large_is_rejected(images_run: Path, declared: bool) -> None:
    async def ask(client: httpx.AsyncClient) -> httpx.Response:
        request = client.build_request("POST", "/predict", files=files(b"x" * 30_000))
        if not declared:
            del request.headers["content-length"]
        return await client.send(request)

    refused = served(images_run, ask, limits=Limits(request_bytes=20_000))
    assert refused.status_code == 413
    assert "at most 20,000 bytes" in complaint(refused)["expected"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/mistakes/0/image", 404), ("GET", "/predict", 405)],
)
def test_other_paths_and_methods_are_rejected(
    images_run: Path, method: str, path: str, status: int
) -> None:
    refused = served(images_run, lambda client: client.request(method, path))
    assert refused.status_code == status
    assert complaint(refused)["given"] == f"{method} {path}"


def test_a_client_above_its_rate_gets_retry_after(images_run: Path) -> None:
    async def ask(client: httpx.AsyncClient) -> list[httpx.Response]:
        first, second = [await client.post("/predict", files=files(image(0))) for _ in range(2)]
        return [first, second, await client.get("/health")]

    first, second, health = served(images_run, ask, limits=Limits(rate=0.01, burst=1))
    assert (first.status_code, second.status_code, health.status_code) == (200, 429, 200)
    assert 90 <= int(second.headers["retry-after"]) <= 100
    assert "0.01 per second" in complaint(second)["expected"]


def slow_body(go: asyncio.Event, begun: asyncio.Event) -> Callable[[], AsyncIterator[bytes]]:
    """A request's body that stops in the middle until it may go on."""

    async def body() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n\r\n'
        begun.set()
        await go.wait()
        yield image(0) + b"\r\n--x--\r\n"

    return body


FORM = {"content-type": "multipart/form-data; boundary=x"}


def test_requests_beyond_the_queue_are_rejected_and_the_others_answered(
    images_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, begun, prepare = threading.Event(), threading.Event(), zoo.Predictor.prepare

    def held(self: zoo.Predictor, *given: Any) -> Any:
        begun.set()
        assert go.wait(timeout=20)
        return prepare(self, *given)

    async def ask(client: httpx.AsyncClient) -> list[httpx.Response]:
        first = asyncio.create_task(client.post("/predict", files=files(image(0))))
        while not begun.is_set():
            await asyncio.sleep(0.01)
        second = await client.post("/predict", files=files(image(0)))
        waiting = await client.get("/health")
        go.set()
        return [await first, second, waiting, await client.post("/predict", files=files(b"x"))]

    _created(images_run, limits=Limits(waiting=1))
    monkeypatch.setattr(zoo.Predictor, "prepare", held)
    first, second, waiting, third = served(images_run, ask, limits=Limits(waiting=1))
    assert (first.status_code, second.status_code, third.status_code) == (200, 503, 422)
    assert second.headers["retry-after"] == "1"
    assert "at most 1 at a time" in complaint(second)["expected"]
    assert waiting.json()["waiting"] == 1


def test_of_too_many_slow_bodies_the_oldest_are_dropped(images_run: Path) -> None:
    begun = 3

    async def ask(client: httpx.AsyncClient) -> list[Any]:
        started = [asyncio.Event() for _ in range(begun)]
        slow = []
        for each in started:
            body = slow_body(asyncio.Event(), each)
            slow.append(asyncio.create_task(client.post("/predict", content=body(), headers=FORM)))
            await each.wait()
        first = await asyncio.wait_for(slow[0], timeout=10)
        prompt = await client.post("/predict", files=files(image(0)))
        late = sum(not each.done() for each in slow)
        for each in slow:
            each.cancel()
        return [first, prompt, late]

    first, prompt, late = served(images_run, ask, limits=Limits(arriving=2))
    assert (first.status_code, prompt.status_code) == (408, 200)
    assert "took too long" in complaint(first)["error"]
    assert late <= begun - 1


def test_a_request_that_does_not_arrive_times_out(images_run: Path) -> None:
    async def ask(client: httpx.AsyncClient) -> httpx.Response:
        body = slow_body(asyncio.Event(), asyncio.Event())
        return await client.post("/predict", content=body(), headers=FORM)

    refused = served(images_run, ask, limits=Limits(body_seconds=0.05))
    assert refused.status_code == 408
    assert "0.05 seconds" in complaint(refused)["expected"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "127.0.0.1:8000"}, 200),
        ({"host": "localhost:8000"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "Models.Example.ORG"}, 200),
        ({"host": "models.example.org.evil.example"}, 400),
        ({"host": "evil.example:8000"}, 400),
        ({"host": "127.0.0.1.evil.example"}, 400),
        ({"host": "["}, 400),
        ({"host": ""}, 400),
        ({"origin": "http://127.0.0.1"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://["}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
    ],
)
def test_cross_site_requests_and_dns_rebinding_are_rejected(
    films_run: Path, headers: dict[str, str], status: int
) -> None:
    response = served(
        films_run,
        lambda client: client.get("/model", headers=headers),
        names=("models.example.org",),
    )
    assert response.status_code == status
    if status != 200:
        complaint(response)


def test_an_internal_error_is_reported_without_details(
    films_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("zoo.runs.predictor.Predictor.answer", fail)

    async def ask(client: httpx.AsyncClient) -> httpx.Response:
        client._transport.raise_app_exceptions = False  # type: ignore[attr-defined]
        return await client.post("/predict", json={"texts": ["a"]})

    failed = served(films_run, ask)
    assert failed.status_code == 500
    assert "unexpected RuntimeError" in complaint(failed)["error"]
    assert "secret" not in failed.text


# -- the command -------------------------------------------------------------------------------


def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, zoo_cli: Zoo, tmp_path: Path
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "uvicorn" else found(name)
    )
    told = zoo_cli("serve", tmp_path)
    assert (told.code, told.out) == (1, "")
    assert told.err.splitlines() == [
        "Error: zoo serve needs uvicorn, which is not installed",
        "       pip install 'zoo-finetune[serve]'",
    ]


def test_a_folder_that_is_not_a_run_is_an_error(zoo_cli: Zoo, tmp_path: Path) -> None:
    told = zoo_cli("serve", tmp_path)
    assert (told.code, told.out) == (1, "")
    assert "is not a run folder" in told.err


def test_it_is_printed_who_can_reach_the_server(
    monkeypatch: pytest.MonkeyPatch, zoo_cli: Zoo, films_run: Path
) -> None:
    monkeypatch.setattr("zoo_serve.serve", lambda app, listening: None)
    alone = zoo_cli("serve", films_run, "--port", 0)
    assert f"serving {films_run} at http://127.0.0.1:" in alone.out
    assert "this machine only" in alone.err
    open_to_all = zoo_cli("serve", films_run, "--port", 0, "--host", "0.0.0.0", "--json")
    assert "http://0.0.0.0:" in open_to_all.err
    assert "no password" in open_to_all.err
    facts = json.loads(open_to_all.out)
    assert facts.keys() == {"url", "host", "port", "run", "only_this_machine", "mistakes"}
    assert (facts["only_this_machine"], facts["mistakes"]) == (False, False)
