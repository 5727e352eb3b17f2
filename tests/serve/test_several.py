"""Several runs behind one address; adapter runs share their base."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

import zoo
from tests.serve.conftest import image
from zoo.engine.progress import Quiet
from zoo_serve import create_app_of_runs


@pytest.fixture(scope="module")
def adapter_runs(images_run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two adapters on the CNN that tells colours."""
    root = tmp_path_factory.mktemp("adapters")
    return [
        zoo.finetune(
            "cnn",
            images_run.parent / "photos",
            weights=str(images_run),
            strategy=strategy,
            image_size=16,
            epochs=1,
            workers=0,
            output=root / name,
            reporter=Quiet(),
            report=False,
        ).folder
        for name, strategy in (("low rank", "lora"), ("biases", "bias"))
    ]


@pytest.mark.slow
def test_runs_are_served_under_their_names_as_each_alone(
    images_run: Path, adapter_runs: list[Path]
) -> None:
    folders = [*adapter_runs, images_run]
    runs = [zoo.open_run(folder) for folder in folders]
    app = create_app_of_runs(runs, device="cpu", mistakes=[run.worst_mistakes() for run in runs])
    content = image(0)

    async def ask() -> dict[str, Any]:
        transport = httpx.ASGITransport(app, client=("10.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:

            async def predicted(name: str) -> Any:
                files = {"images": ("0.jpg", content)}
                return (await client.post(f"/{name}/predict", files=files)).json()

            together = asyncio.gather(*(predicted(folder.name) for folder in folders * 3))
            return {
                "answers": await together,
                "runs": (await client.get("/runs")).json()["runs"],
                "page": (await client.get("/")).text,
                "run page": (await client.get("/biases/")).text,
                "redirect": (await client.get("/biases")).headers["location"],
                "model": (await client.get("/low%20rank/model")).json(),
                "mistakes": (await client.get("/low%20rank/mistakes")).json()["mistakes"],
                "openapi": (await client.get("/biases/openapi.json")).json()["servers"],
                "health": (await client.get("/health")).json(),
                "unknown": await client.get("/nowhere/predict"),
                "foreign": await client.get("/biases/model", headers={"host": "evil.example"}),
            }

    found = asyncio.run(ask())
    for folder, answer in zip(folders * 3, found["answers"], strict=True):
        path = folder.parent / "0.jpg"
        path.write_bytes(content)
        (alone,) = zoo.open_run(folder).predict([path], device="cpu", workers=0)
        wanted = alone.to_json()["probabilities"]
        assert answer["predictions"][0]["probabilities"] == pytest.approx(wanted, abs=1e-6)
    assert [each["path"] for each in found["runs"]] == [
        "/low%20rank/", "/biases/", f"/{images_run.name}/",
    ]  # fmt: skip
    assert 'href="/low%20rank/"' in found["page"]
    assert 'src="page.js"' in found["run page"]
    assert found["redirect"] == "/biases/"
    assert found["model"]["run"] == "low rank"
    assert all(each["image"].startswith("/low%20rank/mistakes/") for each in found["mistakes"])
    assert found["openapi"] == [{"url": "/biases"}]
    assert found["health"]["waiting"] == 0
    assert (found["unknown"].status_code, found["foreign"].status_code) == (404, 400)
    assert "/runs" in found["unknown"].json()["expected"]
