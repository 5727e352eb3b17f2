"""The page in a real browser: nothing leaves it, nothing overflows, and it can be read by all."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import zoo
from zoo.engine.progress import Quiet

pytestmark = pytest.mark.slow

_CONTRAST = """
() => {
  const parse = colour => {
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const over = (top, below) => {
    const a = top[3] / 255;
    return [0, 1, 2].map(i => top[i] * a + below[i] * (1 - a)).concat(255);
  };
  const behind = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 255]);
  };
  const faint = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || e.closest('.hidden, .skip, title, desc, style')) continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(parse(e.closest('svg') ? style.fill : style.color)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.push([e.tagName, e.className, e.textContent.trim().slice(0, 20), ratio]);
  }
  return faint;
}
"""
"""Texts whose colour is too near that behind them (WCAG 2.2, 1.4.3)."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("runs") / "digits"
    # No workers: forked beside the browser's driver, they would keep its pipes open.
    zoo.finetune("cnn", classes=4, epochs=2, workers=0, output=folder, reporter=Quiet())
    return (folder / "report.html").as_uri()


def test_the_page_asks_nobody_complains_of_nothing_and_fits_a_phone(
    chromium: Any, address: str
) -> None:
    page = chromium.new_page(viewport={"width": 390, "height": 844}, color_scheme="light")
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    assert asked == [address]
    assert said == []
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for image in page.query_selector_all("img"):
        assert image.evaluate("image => image.naturalWidth") > 0
        assert len(image.get_attribute("alt") or "") > 20
    page.close()


def test_colours_follow_the_reader_and_stay_readable(chromium: Any, address: str) -> None:
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    backgrounds = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.goto(address)
        backgrounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert page.evaluate(_CONTRAST) == [], scheme
    assert backgrounds == ["rgb(246, 245, 241)", "rgb(18, 19, 23)"]
    page.close()


def test_a_screen_reader_finds_its_way(chromium: Any, address: str) -> None:
    page = chromium.new_page()
    page.goto(address)
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.evaluate("document.querySelectorAll('th:not([scope])').length") == 0
    assert page.evaluate("document.querySelectorAll('table:not(:has(caption))').length") == 0
    for chart in page.query_selector_all("svg[role=img]"):
        for part in (chart.get_attribute("aria-labelledby") or "").split():
            assert page.evaluate("id => document.getElementById(id).textContent.length", part) > 5
    for link in page.query_selector_all("nav a, .skip"):
        assert page.query_selector(link.get_attribute("href")) is not None
    page.close()


def test_axe_finds_nothing(chromium: Any, address: str) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe is not installed"
    )
    page = chromium.new_page()
    page.goto(address)
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.close()


def test_every_link_of_the_documents_to_an_image_leads_to_a_small_one() -> None:
    images = list((Path(__file__).parents[2] / "docs" / "images").glob("*.png"))
    assert images
    assert max(path.stat().st_size for path in images) < 200_000
