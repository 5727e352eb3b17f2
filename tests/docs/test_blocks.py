"""Every code block of the README and of docs/ is what works: commands are typed, Python is run."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, ROOT, SHELL, Block, blocks

ALL = [block for page in PAGES for block in blocks(page)]
EXCUSED = 2
"""How many blocks say by their title that they are not run. Give a reason for another one here.

Two of audio.md: training on a thousand sounds takes half a minute, and tests/contract has it."""

INDEPENDENT = ("README.md", "docs/data.md", "docs/layers.md")
"""Pages whose sections do not build on each other; the others are read from top to bottom."""


def stories() -> Iterator[tuple[str, list[Block]]]:
    """Blocks that are tried in one folder, one after the other."""
    for page, found in itertools.groupby(ALL, lambda block: block.page):
        if page not in INDEPENDENT:
            yield page, list(found)
            continue
        for section, part in itertools.groupby(found, lambda block: block.section):
            yield f"{page}: {section}", list(part)


WITH_REPORTS = {"README.md: ", "docs/report.md"}
"""They show what fine-tunes say of their reports; of others they would only take the time."""

STORIES = {name: found for name, found in stories() if any(map(Block.is_run, found))}


def test_the_blocks_that_are_not_run_are_counted() -> None:
    assert [f"{b.page}:{b.line}: {b.excuse}" for b in ALL if b.excuse][EXCUSED:] == []


def test_every_block_is_of_a_kind_that_is_known() -> None:
    for block in ALL:
        try:
            _read(block)
        except (AssertionError, SyntaxError, ValueError) as error:
            error.add_note(f"{block.page}:{block.line}")
            raise


def _read(block: Block) -> None:
    if block.language == "toml":
        tomllib.loads(block.text)
    elif block.language == "json":
        json.loads(block.text)
    elif block.language == "python":
        compile(block.text, block.page, "exec")
    else:
        assert block.language in (*SHELL, "text"), block.language
        block.commands()  # either all lines are commands or none is


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.docs import world

    return world.material(tmp_path_factory.mktemp("material") / "here")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings and plugins of the test's own, and demo data cut short; the plugins' folder."""
    import sklearn.datasets
    from sklearn.utils import Bunch

    from zoo.modalities.image import demo as digits
    from zoo.modalities.text import demo as messages

    site = tmp_path / "site"
    (site / "standins-1.dist-info").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "docs" / "standins.py", site)
    (site / "standins-1.dist-info" / "entry_points.txt").write_text(
        "[zoo.plugins]\nstandins = standins\n"
    )
    (site / "standins-1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: standins\nVersion: 1\n"
    )
    monkeypatch.syspath_prepend(str(site))
    for name in ("HOME", "XDG_CONFIG_HOME", "ZOO_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = os.environ.get("PYTHONPATH", "")  # for the processes that plugins are asked in
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), before]))
    for name in [name for name in sys.modules if name.startswith(("standins", "zoo_acme"))]:
        monkeypatch.delitem(sys.modules, name)
    whole = sklearn.datasets.load_digits()
    few = Bunch(target=whole.target[::15], images=whole.images[::15])
    monkeypatch.setattr(sklearn.datasets, "load_digits", lambda: few)
    monkeypatch.setattr(digits, "DIGITS", replace(digits.DIGITS, epochs=1))
    monkeypatch.setattr(messages, "MESSAGES_A_CLASS", 10)
    return site


@pytest.mark.slow(1)
@pytest.mark.parametrize("story", STORIES)
def test_what_is_shown_works(
    story: str, material: Path, settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.docs.world import World

    monkeypatch.chdir(tmp_path)
    world = World(tmp_path / "here", material, settings, reports=story in WITH_REPORTS)
    for block in filter(Block.is_run, STORIES[story]):
        if block.file:
            Path(block.file).write_text(block.text)
        if block.language == "python":
            world.execute(block.text, f"{block.page}:{block.line}")
        for command in block.commands():
            world.type(command)
    assert os.listdir(world.folder)
