"""What the README shows is what happens."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import zoo
from tests.end_to_end.conftest import Zoo

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SET_UP = "pip install -c constraints.txt -e . && zoo finetune resnet18 --classes 5"
TESTS = "pip install -c constraints.txt -e '.[test]' && pytest"


def block(heading: str, language: str, page: str = README) -> str:
    """The first code block of a language under a heading."""
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.search(rf"^```{language}\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    assert found, f"no {language} block under {heading!r}"
    return found[1]


def test_the_readme_is_a_front_page() -> None:
    assert len(README.splitlines()) <= 120


def test_the_two_commands_stand_on_the_first_screen() -> None:
    lines = README.splitlines()
    assert lines.index(TESTS) == lines.index(SET_UP) + 1 < 12


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The README's plugin, installed as a distribution of its own."""
    site = tmp_path / "site"
    metadata = site / "acme_zoo-0.1.dist-info"
    metadata.mkdir(parents=True)
    entry = tomllib.loads(block("A plugin in ten lines", "toml"))["project"]["entry-points"]
    lines = [f"{name} = {value}" for name, value in entry["zoo.plugins"].items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[zoo.plugins]", *lines, ""]))
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-zoo\nVersion: 0.1\n")
    (site / "acme_zoo.py").write_text(block("A plugin in ten lines", "python"))
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delitem(sys.modules, "acme_zoo", raising=False)
    importlib.invalidate_caches()
    return "acme/tiny"


def test_the_plugin_has_ten_lines() -> None:
    code = block("A plugin in ten lines", "python").splitlines()
    assert len([line for line in code if line.strip()]) <= 10


def test_the_plugin_keeps_the_contract(acme: str, zoo_cli: Zoo) -> None:
    checked = zoo_cli("check", acme)
    assert checked.code == 0, checked.out
    assert " 0 failed" in checked.out


def test_every_command_works_on_the_plugin(
    acme: str, photos: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    assert "acme/tiny" in zoo_cli("list", "tiny").out
    shown = zoo_cli("show", acme).out
    assert all(fact in shown for fact in ("0         896  yes", "params       1,226", "32 -> 10"))
    assert "acme" in zoo_cli("plugins").out
    run = tmp_path / "run"
    done = zoo_cli(
        "finetune", "--no-report", acme, "--data", photos, "--epochs", 4, "--output", run, "--json"
    )
    assert done.code == 0, done.err
    assert done.json["backbone"] == acme
    assert zoo_cli("predict", run, photos / "red", "--json").code == 0


@pytest.mark.slow
def test_the_steps_with_vgg16_work() -> None:
    """The surgery of layers.md, on random parameters since the published ones are a download."""
    page = (ROOT / "docs" / "layers.md").read_text(encoding="utf-8")
    code = block("VGG-16 with everything frozen but the last layer", "python", page)
    code = code.replace('zoo.load("vgg16")', 'zoo.load("vgg16", weights="none")')
    names: dict[str, object] = {"torch": torch}
    exec(compile(code, "layers.md", "exec"), names)
    model = names["model"]
    assert isinstance(model, torch.nn.Module)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {
        "net.classifier.3.weight", "net.classifier.3.bias", "head.weight", "head.bias",
    }  # fmt: skip
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 2)


def known_values(acme: str, path: Path) -> Path:
    known = {
        key: torch.full_like(tensor, number + 0.25)
        for number, (key, tensor) in enumerate(zoo.load(acme).native_state_dict().items())
    }
    save_file(known, path)
    return path


@pytest.mark.slow
def test_a_probe_and_a_published_run_keep_the_values_of_the_file(
    acme: str, photos: Path, tmp_path: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    file = known_values(acme, tmp_path / "known.safetensors")
    run = tmp_path / "run"
    options = ("--strategy", "probe", "--no-report", "--output", run)
    done = zoo_cli("finetune", acme, "--data", photos, "--weights", file, *options)
    assert done.code == 0, done.err
    assert zoo_cli("add", run, "--name", "known").code == 0
    for name, weights in (("known", "auto"), (acme, str(run))):
        state = zoo.load(name, weights=weights).native_state_dict()
        assert (float(state["0.weight"].mean()), float(state["0.bias"].mean())) == (0.25, 1.25)
        assert state["4.weight"].shape == (3, 32)


def test_the_plugin_starts_from_the_values_of_a_file(acme: str, tmp_path: Path) -> None:
    known_values(acme, tmp_path / "known.safetensors")
    loaded = zoo.load(acme, weights=str(tmp_path / "known.safetensors")).native_state_dict()
    assert {key: float(tensor.mean()) for key, tensor in loaded.items()} == {
        "0.weight": 0.25, "0.bias": 1.25, "4.weight": 2.25, "4.bias": 3.25,
    }  # fmt: skip
