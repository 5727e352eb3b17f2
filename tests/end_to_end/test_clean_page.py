"""The page of ``zoo clean`` in a real browser, opened as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.end_to_end.test_clean import WRONG, images, reviews
from tests.opened import open_data
from zoo.modalities import IMAGE, TEXT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> zoo.Cleaned:
    folder = tmp_path_factory.mktemp("texts")
    data = reviews(folder / "reviews.csv")
    return zoo.clean(data, backbone="lstm", weights="none", output=folder / "out", workers=0)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> zoo.Cleaned:
    folder = tmp_path_factory.mktemp("photos")
    return zoo.clean(
        images(folder / "photos"),
        backbone="cnn",
        weights="none",
        image_size=32,
        output=folder / "out",
        workers=0,
    )


def opened(chromium: Any, found: zoo.Cleaned, width: int) -> tuple[Any, list[str]]:
    """The page, and whatever it asks for or complains of."""
    context = chromium.new_context(
        viewport={"width": width, "height": 844}, color_scheme="light", accept_downloads=True
    )
    page, heard = context.new_page(), list[str]()
    own = ("data:", "blob:", found.page.as_uri())
    page.on("request", lambda asked: None if asked.url.startswith(own) else heard.append(asked.url))
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("dialog", lambda dialog: heard.append(dialog.message))
    page.goto(found.page.as_uri())
    return page, heard


def pressed(page: Any) -> list[tuple[int, str]]:
    return [
        tuple(each)
        for each in page.evaluate(
            "[...document.querySelectorAll('[aria-pressed=true]')]"
            ".map(b => [+b.closest('article').dataset.number, b.dataset.decision])"
        )
    ]


def exported(page: Any, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.click("#export")
    assert waiting.value.suggested_filename == "corrections.csv"
    waiting.value.save_as(folder / "corrections.csv")
    return folder / "corrections.csv"


def test_decisions_by_keys_and_clicks_survive_a_reload_and_train(
    chromium: Any, texts: zoo.Cleaned, tmp_path: Path
) -> None:
    page, heard = opened(chromium, texts, 1280)
    assert page.is_disabled("#export")
    for key in ("ArrowRight", "r", "r", "d", "k"):
        page.keyboard.press(key)
    assert pressed(page) == [(0, "relabel"), (1, "relabel"), (2, "drop"), (3, "keep")]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("u")  # the fourth again
    page.click("article[data-number='5'] [data-decision=drop]")
    page.click("article[data-number='6'] [data-decision=drop]")
    page.click("article[data-number='6'] [data-decision=drop]")  # undone
    page.reload()
    decided = [(0, "relabel"), (1, "relabel"), (2, "drop"), (5, "drop")]
    assert pressed(page) == decided
    assert page.inner_text("#status") == "4 of 60 decided"
    page.select_option("#filter", "undecided")
    assert page.locator("article:visible").count() == 56
    file = exported(page, tmp_path)
    splits = open_data(texts.output.parent / "reviews.csv", kind=TEXT, corrections=str(file))
    assert splits.corrections is not None
    assert (splits.corrections.relabelled, splits.corrections.dropped) == (2, 2)
    assert heard == []
    page.context.close()


def test_a_label_that_is_chosen_is_exported_and_hostile_names_come_back(
    chromium: Any, photos: zoo.Cleaned, tmp_path: Path
) -> None:
    page, heard = opened(chromium, photos, 1280)
    for image in page.query_selector_all("img"):
        image.scroll_into_view_if_needed()
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    sure = len(photos.judged) - 1  # nothing is suggested: a label must be chosen
    article = page.locator(f"article[data-number='{sure}']")
    article.locator("[data-decision=relabel]").click()
    assert pressed(page) == []
    assert "Choose the new label" in page.inner_text("#status")
    article.locator("select").select_option(index=1)
    assert pressed(page) == [(sure, "relabel")]
    splits = open_data(
        photos.output.parent / "photos", kind=IMAGE, corrections=str(exported(page, tmp_path))
    )
    assert splits.corrections is not None
    assert splits.corrections.relabelled == 1
    assert heard == []
    assert "<b>" in (tmp_path / "corrections.csv").read_text()
    page.context.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_a_phone_and_axe_finds_nothing(
    chromium: Any, texts: zoo.Cleaned, photos: zoo.Cleaned, width: int
) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe is not installed"
    )
    for found in (texts, photos):
        page, heard = opened(chromium, found, width)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.keyboard.press("k")
            page.keyboard.press("d")
            assert heard == []
            report = axe.Axe().run(page)
            assert report.violations_count == 0, report.generate_report()
        page.context.close()


def test_every_wrong_label_can_be_reached_with_the_keyboard(
    chromium: Any, texts: zoo.Cleaned
) -> None:
    page, _ = opened(chromium, texts, 1280)
    seen = set()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
        seen.add(page.evaluate("document.activeElement.querySelector('h2').textContent.trim()"))
    assert len(seen) == 4
    assert {words.split("row ")[1] for words in seen} == {*WRONG, "52"}
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("+document.activeElement.dataset.number") == 3
    page.context.close()
