"""Speed of ``zoo serve``.

Trains a small CNN on images of clothes (or on the demo data if they are not available) and serves it.
Sends 500 requests of one image each from 8 concurrent clients. If Chromium is installed, also drops images
on the web page and measures the time until the prediction is shown, minus inference time.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import click

import zoo
from benchmarks.report import provenance, table, update_section
from tests.serve.servers import CHROMIUM, Server, answered, browser, drop, press, served
from zoo.engine.progress import Quiet

DROPS = 20


@click.command()
@click.option(
    "--run", type=click.Path(path_type=Path), help="Image run to serve; default: train one."
)
@click.option(
    "--images",
    default="../shared/data/clothing/test",
    type=click.Path(path_type=Path),
    help="Folder of JPEG files to send.",
)
@click.option("--requests", default=500)
@click.option("--clients", default=8)
def main(run: Path | None, images: Path, requests: int, clients: int) -> None:
    """Measure latency, throughput and memory of the server, and the overhead of the web page."""
    with tempfile.TemporaryDirectory() as temporary:
        run = run or _trained(Path(temporary) / "run", images.parent)
        contents = [file.read_bytes() for file in sorted(images.rglob("*.jpg"))[:100]]
        contents = contents or [(run / "example.png").read_bytes()]
        with served(run, "--rate", 0) as server:
            load = press(server, contents, clients=clients, requests=requests)
            overheads = _page_overheads(server, contents) if CHROMIUM else []
    rows = [
        ["successful requests", f"{load.statuses.count(200)} of {requests}"],
        ["p50, ms", f"{1000 * load.percentile(50):.0f}"],
        ["p95, ms", f"{1000 * load.percentile(95):.0f}"],
        ["requests/s", f"{requests / load.wall:.0f}"],
        ["memory after 100 requests, MB", f"{load.early / 2**20:.0f}"],
        ["memory growth after that, MB", f"{(load.late - load.early) / 2**20:+.1f}"],
    ]
    if overheads:
        median, maximum = statistics.median(overheads), max(overheads)
        rows.append(
            ["page, drop to prediction minus inference, ms", f"{median:.0f}, at most {maximum:.0f}"]
        )
    text = f"{table([f'{clients} clients', ''], rows)}\n\n{provenance('serve')}"
    print(text)
    update_section("serve", text)


def _trained(output: Path, data: Path) -> Path:
    images = data if data.is_dir() else None
    return zoo.finetune("cnn", images, epochs=2, output=output, reporter=Quiet()).folder


def _page_overheads(server: Server, images: list[bytes]) -> list[float]:
    """Milliseconds from dropping an image to its prediction, minus inference time, per image."""
    overheads = []
    with browser() as chromium:
        page = chromium.new_page()
        page.goto(server.url)
        page.wait_for_selector("html[data-ready]")
        for number in range(DROPS):
            drop(page, [(f"{number}.jpg", images[number % len(images)])])
            card = answered(page, number + 1)[0]
            elapsed, forward = (card.get_attribute(f"data-{key}") for key in ("elapsed", "forward"))
            overheads.append(float(elapsed) - float(forward))
    return overheads


if __name__ == "__main__":
    main()
