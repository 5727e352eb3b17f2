"""Makes the images of ``docs/images`` again: ``python docs/make_screenshots.py [NAME…]``.

Needs Playwright (``pip install playwright``) and a Chromium on the PATH. A page is a row of
:data:`PAGES`; what it shows is made here, from the demo data.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

import zoo

IMAGES = Path(__file__).parent / "images"
_COLOURS = 128  # of the palette, which makes a page a third of the size


@dataclass(frozen=True)
class Page:
    """An image to make.

    Attributes:
        open: Gives the address, which holds while the block runs.
        width: Of the window, in pixels.
        height: Of the window; the page is cut there.
        scheme: ``light`` or ``dark``.
        at: The element that the window begins with.
    """

    open: Callable[[], Any]
    width: int
    height: int
    scheme: str
    at: str = "body"


@cache
def demo_run(backbone: str) -> Path:
    """A run on the demo data, short enough to make mistakes."""
    folder = Path(tempfile.mkdtemp()) / f"{backbone}-1"
    zoo.finetune(backbone, epochs=4, weights="none", output=folder)
    return folder


@contextmanager
def report(backbone: str) -> Iterator[str]:
    """The address of the report of a demo run."""
    yield (demo_run(backbone) / "report.html").as_uri()


PAGES: Mapping[str, Page] = {
    "report-light": Page(lambda: report("cnn"), 1100, 1250, "light"),
    "report-dark": Page(lambda: report("cnn"), 1100, 1250, "dark", "#classes"),
    "report-mistakes": Page(lambda: report("cnn"), 1100, 900, "light", "#mistakes"),
    "report-phone": Page(lambda: report("cnn"), 390, 1250, "dark"),
    "report-texts": Page(lambda: report("lstm"), 1100, 900, "light", "#mistakes"),
}


def shoot(browser: Any, name: str, page: Page) -> Path:
    """Make one image, with as few colours as it needs."""
    window = browser.new_page(
        viewport={"width": page.width, "height": page.height}, color_scheme=page.scheme
    )
    with page.open() as address:
        window.goto(address)
        window.evaluate(
            "at => document.querySelector(at).scrollIntoView({behavior: 'instant'})", page.at
        )
        path = IMAGES / f"{name}.png"
        window.screenshot(path=path)
    window.close()
    with Image.open(path) as taken:
        small = taken.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    return path


def main(names: list[str]) -> None:
    """Make the images called ``names``, or all."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("Chromium is not on the PATH.")
    if unknown := set(names) - set(PAGES):
        sys.exit(f"There is no page {', '.join(unknown)}. There are: {', '.join(PAGES)}.")
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--no-first-run"]
        )
        for name in names or PAGES:
            path = shoot(browser, name, PAGES[name])
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
