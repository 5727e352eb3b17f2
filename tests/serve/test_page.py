"""The page, by a real server, in a real browser."""

from __future__ import annotations

import signal
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serve.conftest import COLOURS, image, texts_run
from tests.serve.servers import CHROMIUM, Server, answered, browser, drop, served

pytest.importorskip("playwright", reason="playwright is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is on the PATH"),
]

Open = Callable[..., Any]

NUMERALS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

OVERHEAD = 0.3  # seconds that an answer may take beyond the network's


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def images(images_run: Path) -> Iterator[Server]:
    with served(images_run, "--max-mb", 1) as server:
        yield server
        code, err = server.stop(signal.SIGINT)
        assert (code, err.splitlines()[-1]) == (0, "stopped")


@pytest.fixture(scope="module")
def films(films_run: Path) -> Iterator[Server]:
    with served(films_run) as server:
        yield server
        assert server.stop(signal.SIGTERM)[0] == 0


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serves a run whose classes are called 0 to 9, of which each has a word of its own."""
    columns = {"text": list(NUMERALS) * 12, "label": [str(n) for n in range(10)] * 12}
    folder = tmp_path_factory.mktemp("digits")
    with served(texts_run(folder, "digits-1", columns, epochs=6, lr=0.05)) as server:
        yield server


@pytest.fixture
def opened(chromium: Any) -> Iterator[Open]:
    """Opens the page of a server; nothing may go wrong in it, and nothing come from elsewhere."""
    faults: list[str] = []
    contexts = []

    def open_page(server: Server, **options: Any) -> Any:
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(f"a dialog: {dialog.message}"))
        page.on("request", lambda request: _note_foreign(request.url, server, faults))
        page.goto(server.url)
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def _note_foreign(url: str, server: Server, faults: list[str]) -> None:
    if not url.startswith((server.url, "blob:")):
        faults.append(f"a request to {url}")


def headlines(cards: Sequence[Any]) -> list[str]:
    return [card.query_selector(".headline").inner_text() for card in cards]


def test_dropped_images_are_predicted_one_by_one(images: Server, opened: Open) -> None:
    page = opened(images)
    dropped = [(f"{name[:5]}.jpg", image(i)) for i, name in enumerate(COLOURS)]
    drop(page, [*dropped, ("notes.txt", b"not an image"), ("huge.png", b"x" * 2**20 + b"x")])
    cards = answered(page, 5)
    assert headlines(cards)[:3] == list(COLOURS)  # one of which would be HTML, and is text
    assert not page.query_selector("[onerror]")
    for card, (name, _) in zip(cards, dropped, strict=False):
        assert card.query_selector(".name").inner_text() == name
        assert card.query_selector("img.thumb").evaluate("image => image.naturalWidth") == 48
        bars = card.query_selector_all(".bars li")
        assert len(bars) == 3
        widths = [bar.query_selector(".fill").bounding_box()["width"] for bar in bars]
        assert widths[0] > 2 * widths[1] >= 2 * widths[2]
    assert "notes.txt" in headlines(cards)[3]
    assert "1,048,577 bytes" in headlines(cards)[4]
    assert "at most 1,048,576 bytes" in cards[4].inner_text()
    spoken = page.inner_text("#status")
    assert "red.jpg: red, " in spoken
    assert "notes.txt: " in spoken


def test_a_prediction_is_shown_soon_after_the_forward_pass(images: Server, opened: Open) -> None:
    page, beyond = opened(images), []
    for number in range(5):
        drop(page, [(f"{number}.jpg", image(number % 3, side=800))])
        card = answered(page, number + 1)[0]
        elapsed, forward = (float(card.get_attribute(f"data-{k}")) for k in ("elapsed", "forward"))
        beyond.append((elapsed - forward) / 1000)
    assert statistics.median(beyond) < OVERHEAD


def test_the_page_shows_the_model_and_its_mistakes(images: Server, opened: Open) -> None:
    page = opened(images)
    page.wait_for_selector("#mistakes > li:nth-child(3)")
    assert page.inner_text("h1") == "colours-1"
    assert "basics/cnn" in page.inner_text("#model")
    assert "3 of 12 validation samples" in page.inner_text("#mistakes-section")
    image_of_one = page.query_selector("#mistakes img")
    image_of_one.scroll_into_view_if_needed()
    page.wait_for_load_state("networkidle")
    assert image_of_one.evaluate("image => image.naturalWidth") == 48


def test_the_page_fits_a_phone_and_the_keyboard_in_both_colours(
    images: Server, opened: Open
) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        page = opened(images, viewport={"width": 390, "height": 844}, color_scheme=scheme)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "files"
        page.set_input_files("#files", [{"name": "a" * 120, "mimeType": "", "buffer": image(1)}])
        answered(page, 1)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        unnamed = "img:not([alt]), button:empty, textarea:not([id]), input:not([id])"
        assert not page.query_selector_all(unnamed)
        page.click("#clear")
        assert not page.is_visible("#predictions-section")
    assert grounds[0] != grounds[1]


def test_a_text_is_typed_and_predicted(films: Server, opened: Open) -> None:
    page = opened(films)
    page.get_by_label("Text", exact=True).fill("a warm and funny film")
    page.keyboard.press("Control+Enter")
    answered(page, 1)
    page.get_by_label("Text", exact=True).fill("<b>dull</b> and cold")
    page.get_by_role("button", name="Predict").click()
    cards = answered(page, 2)
    assert headlines(cards) == ["bad", "good"]
    assert cards[0].query_selector(".input-text").inner_text() == "<b>dull</b> and cold"
    assert "text: good" in page.inner_text("#status")


def test_an_unreachable_server_is_reported(films: Server, opened: Open) -> None:
    page = opened(films)
    page.context.set_offline(True)
    page.fill("#first", "a film")
    page.click("text=Predict")
    assert headlines(answered(page, 1)) == ["The server does not respond."]


@pytest.mark.long
def test_the_most_likely_of_classes_named_0_to_9_is_shown_first(
    digits: Server, opened: Open
) -> None:
    page = opened(digits)
    page.fill("#first", "seven")
    page.click("text=Predict")
    card = answered(page, 1)[0]
    asked = httpx.post(f"{digits.url}/predict", json={"texts": ["seven"]}).json()
    probabilities = asked["predictions"][0]["probabilities"]
    ranked = sorted(probabilities, key=lambda name: -probabilities[name])
    assert headlines([card]) == ["7"]
    assert ranked[0] == "7" != sorted(ranked)[0]
    names = [each.text_content() for each in card.query_selector_all(".bars .class")]
    assert names == ranked
    seen = [each for each in card.query_selector_all(".bars li") if each.is_visible()]
    assert [each.query_selector(".class").inner_text() for each in seen] == ranked[:5]
    assert [each.get_attribute("class") for each in seen] == ["chosen", None, None, None, None]
