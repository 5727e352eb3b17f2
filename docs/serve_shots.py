"""Images of the page of ``zoo serve`` for the documentation: ``docs/images/serve-*.png``.

``python -m docs.serve_shots`` trains two small runs on the demo data first; ``--images RUN`` and
``--texts RUN`` take runs that are there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pyarrow.parquet as pq

import zoo
from tests.serve.servers import answered, browser, served
from zoo.engine.progress import Quiet

IMAGES = Path(__file__).with_name("images")
WIDE, PHONE = {"width": 1120, "height": 860}, {"width": 390, "height": 844}


def shots(
    browser: Any, folder: Path, *, images: Path | None = None, texts: Path | None = None
) -> list[Path]:
    """Write what the page shows of a run on images and one on texts.

    Args:
        browser: Of Playwright.
        folder: Where the PNG files go.
        images: A run; one of the demo data is trained by default.
        texts: The same.

    Returns:
        The files.
    """
    with tempfile.TemporaryDirectory() as temporary:
        runs = Path(temporary)
        images = images or _trained("cnn", runs / "digits-1")
        texts = texts or _trained("lstm", runs / "messages-1")
        return [*_of_images(browser, folder, images), *_of_texts(browser, folder, texts)]


def _trained(backbone: str, output: Path) -> Path:
    return zoo.finetune(backbone, output=output, reporter=Quiet()).folder


def _of_images(browser: Any, folder: Path, run: Path) -> list[Path]:
    kinds = {"light": WIDE, "dark": WIDE, "phone": PHONE}
    written = []
    with served(run, "--rate", 0) as server:
        for name, size in kinds.items():
            page = _page(browser, server.url, size, dark=name == "dark")
            examples = _examples(run)
            page.set_input_files("#files", examples)
            answered(page, len(examples))
            written.append(_shot(page, folder / f"serve-{name}.png"))
    return written


def _of_texts(browser: Any, folder: Path, run: Path) -> list[Path]:
    with served(run, "--rate", 0) as server:
        page = _page(browser, server.url, WIDE, dark=False)
        page.fill("#first", _column(run)[0])
        page.click("text=Predict")
        answered(page, 1)
        return [_shot(page, folder / "serve-text.png")]


def _page(browser: Any, url: str, size: dict[str, int], *, dark: bool) -> Any:
    page = browser.new_page(viewport=size, color_scheme="dark" if dark else "light")
    page.goto(url)
    page.wait_for_selector("html[data-ready]")
    return page


def _shot(page: Any, file: Path) -> Path:
    page.wait_for_load_state("networkidle")
    page.screenshot(path=file)
    page.close()
    return file


def _examples(run: Path) -> Sequence[Path]:
    """Two validation images of different classes that are still there, or the run's example."""
    table = pq.read_table(run / "predictions.parquet", columns=["input", "label", "predicted"])
    right = {
        row["label"]: Path(row["input"])
        for row in table.to_pylist()
        if row["label"] == row["predicted"] and Path(row["input"]).is_file()
    }
    return list(right.values())[:2] or [run / "example.png"]


def _column(run: Path) -> list[str]:
    texts: list[str] = pq.read_table(run / "predictions.parquet")["input"].to_pylist()
    return texts


@click.command()
@click.option("--images", type=click.Path(path_type=Path), help="A run on images.")
@click.option("--texts", type=click.Path(path_type=Path), help="A run on texts.")
def main(images: Path | None, texts: Path | None) -> None:
    """Write docs/images/serve-*.png."""
    IMAGES.mkdir(exist_ok=True)
    with browser() as chromium:
        for file in shots(chromium, IMAGES, images=images, texts=texts):
            click.echo(file)


if __name__ == "__main__":
    main()
