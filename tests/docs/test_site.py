"""The documentation builds as a site: strictly, whole, with no dead link and nothing from elsewhere."""

from __future__ import annotations

import logging
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

import zoo
from zoo.cli import COMMANDS

ROOT = Path(__file__).parents[2]
ASKED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("link", "href")}
"""What a browser fetches by itself; a link to another site is only followed."""


pytestmark = pytest.mark.slow


class Page(HTMLParser):
    """What a page is called, shows, links to and asks for."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.asked: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif (tag, name) in ASKED and value:
                self.asked.append(value)
            elif (tag, name) == ("a", "href") and value:
                self.links.append(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """Every page of the site, built as ``mkdocs build --strict`` builds it."""
    folder = tmp_path_factory.mktemp("site")
    level = logging.getLogger("mkdocs").level
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_MKDOCS_2_WARNING", "1")
        patch.chdir(ROOT)
        config = load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(folder))
        config.plugins.on_startup(command="build", dirty=False)
        build(config)  # raises where there is a warning
        config.plugins.on_shutdown()
    logging.getLogger("mkdocs").setLevel(level)
    return {path: Page(path) for path in sorted(folder.rglob("*.html"))}


def test_every_command_public_name_and_document_has_its_place(site: dict[Path, Page]) -> None:
    pages = {str(path.relative_to(_root(site))): page for path, page in site.items()}
    assert {f"commands/{name}.html" for name in (*COMMANDS, "serve")} <= set(pages)
    assert {f"zoo.{name}" for name in zoo.__all__} <= pages["api.html"].ids
    linked = {urlsplit(link).path for link in pages["index.html"].links}
    for path in (ROOT / "docs").rglob("*.md"):
        assert str(path.relative_to(ROOT / "docs").with_suffix(".html")) in linked, path
    examples = pages["commands/finetune.html"].path.read_text(encoding="utf-8")
    assert "freeze-until" in examples
    assert "Common options" in examples


def test_every_link_inside_leads_somewhere(site: dict[Path, Page]) -> None:
    checked = 0
    for path, page in site.items():
        if path.name == "404.html":  # its links begin at the root of a server
            continue
        for link in [*page.links, *page.asked]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), f"{path.name}: {link}"
            if parts.fragment and target in site and parts.fragment != "__skip":
                assert unquote(parts.fragment) in site[target].ids, f"{path.name}: {link}"
            checked += 1
    assert checked > 1000


def test_nothing_is_asked_of_another_host(site: dict[Path, Page]) -> None:
    for path, page in site.items():
        for asked in page.asked:
            assert not urlsplit(asked).netloc, f"{path.name}: {asked}"
    for sheet in _root(site).rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert "url(http" not in text, sheet
        assert "@import" not in text, sheet


def _root(site: dict[Path, Page]) -> Path:
    return min(site, key=lambda path: len(path.parts)).parent
