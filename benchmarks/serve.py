"""How quick is ``zoo serve``?

A small CNN is trained on images of clothes, or on the demo data where those are not, and served.
500 requests of one image come from 8 clients at once, and images are dropped on the page in
Chromium, if there is one: how long until the answer stands there, beyond what the network takes.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import click

import zoo
from benchmarks.report import circumstances, put, table
from tests.serve.servers import CHROMIUM, Server, answered, browser, drop, press, served
from zoo.engine.progress import Quiet

DROPS = 20


@click.command()
@click.option("--run", type=click.Path(path_type=Path), help="A run on images; default: trained.")
@click.option(
    "--images",
    default="../shared/data/clothing/test",
    type=click.Path(path_type=Path),
    help="Folder of JPEG files to ask about.",
)
@click.option("--requests", default=500)
@click.option("--clients", default=8)
def main(run: Path | None, images: Path, requests: int, clients: int) -> None:
    """Measure latency, throughput and memory of a server, and what the page adds."""
    with tempfile.TemporaryDirectory() as temporary:
        run = run or _trained(Path(temporary) / "run", images.parent)
        contents = [file.read_bytes() for file in sorted(images.rglob("*.jpg"))[:100]]
        contents = contents or [(run / "example.png").read_bytes()]
        with served(run, "--rate", 0) as server:
            load = press(server, contents, clients=clients, requests=requests)
            beyond = _beyond_the_network(server, contents) if CHROMIUM else []
    rows = [
        ["answered", f"{load.statuses.count(200)} of {requests}"],
        ["p50, ms", f"{1000 * load.percentile(50):.0f}"],
        ["p95, ms", f"{1000 * load.percentile(95):.0f}"],
        ["requests a second", f"{requests / load.wall:.0f}"],
        ["memory after 100 requests, MB", f"{load.early / 2**20:.0f}"],
        ["growth from there to the end, MB", f"{(load.late - load.early) / 2**20:+.1f}"],
    ]
    if beyond:
        median, most = statistics.median(beyond), max(beyond)
        rows.append(
            ["page, drop to answer, beyond the network, ms", f"{median:.0f}, at most {most:.0f}"]
        )
    text = f"{table([f'{clients} clients', ''], rows)}\n\n{circumstances('serve')}"
    print(text)
    put("serve", text)


def _trained(output: Path, data: Path) -> Path:
    given = data if data.is_dir() else None
    return zoo.finetune("cnn", given, epochs=2, output=output, reporter=Quiet()).folder


def _beyond_the_network(server: Server, images: list[bytes]) -> list[float]:
    """Milliseconds from dropping each of some images to its answer, less those of the network."""
    beyond = []
    with browser() as chromium:
        page = chromium.new_page()
        page.goto(server.url)
        page.wait_for_selector("html[data-ready]")
        for number in range(DROPS):
            drop(page, [(f"{number}.jpg", images[number % len(images)])])
            card = answered(page, number + 1)[0]
            elapsed, forward = (card.get_attribute(f"data-{key}") for key in ("elapsed", "forward"))
            beyond.append(float(elapsed) - float(forward))
    return beyond


if __name__ == "__main__":
    main()
