"""The tutorial of docs/plugins.md, typed from an empty folder on: each command prints what is shown."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import sys
from pathlib import Path

import pytest
import torch

import zoo
from tests.docs.blocks import ROOT, blocks
from tests.docs.world import World

TUTORIAL = [b for b in blocks(ROOT / "docs" / "plugins.md") if b.section.startswith("Tutorial")]
PACKAGE = Path("zoo-acme") / "acme_zoo" / "__init__.py"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    (tmp_path / "nothing").mkdir()
    (tmp_path / "site").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    for name in ("HOME", "XDG_CONFIG_HOME", "ZOO_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return World(tmp_path / "here", tmp_path / "nothing", tmp_path / "site")


def lines(text: str) -> list[str]:
    """Patterns of the lines of an output; the dots of what is left out stand for anything."""
    shown = [line for line in text.splitlines() if line.strip(" …") and "best epoch" not in line]
    return [re.sub(r"(\\ )+", r"\\s+", re.escape(line)).replace("…", ".*") for line in shown]


@pytest.mark.slow
def test_every_command_of_the_tutorial_prints_what_is_shown(world: World) -> None:
    for block in TUTORIAL:
        for command in block.commands():
            world.screen = "" if command.startswith("zoo") else world.screen
            world.type(command)
        if block.language == "python" and "write_bytes" in block.text:
            world.execute(block.text, "docs/plugins.md")
            state_the_weights()
            world.screen = ""
            world.type("zoo show acme/tiny")
        if block.language == "text":
            for line in lines(block.text):
                assert re.search(f"^{line}$", world.screen, re.MULTILINE), (
                    f"{line}\n{world.screen!r}"
                )
    assert os.path.isfile("runs/tiny-1/model.safetensors")
    trained = zoo.open_run("runs/tiny-1").load().native_state_dict()
    assert all(
        torch.equal(trained[name], tensor)
        for name, tensor in zoo.load("acme/tiny").native_state_dict().items()
    )


def state_the_weights() -> None:
    """What the tutorial says in words: the weights, with their hash, in the plugin's file."""
    stated = next(b.text for b in TUTORIAL if b.text.startswith("WEIGHTS = "))
    digits = hashlib.sha256(PACKAGE.with_name("weights").joinpath("tiny.safetensors").read_bytes())
    stated = re.sub(r'sha256="\w+"', f'sha256="{digits.hexdigest()}"', stated)
    code = PACKAGE.read_text().replace("loader=load", "loader=load, weights=(WEIGHTS,)")
    PACKAGE.write_text(code.replace("import zoo\n", f"import zoo\n\n{stated}", 1))
    sys.modules.pop("acme_zoo", None)
    importlib.invalidate_caches()
