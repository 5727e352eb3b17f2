"""What docs/plugins.md shows is what happens: its examples, installed as one plugin."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import zoo
from tests.end_to_end.conftest import Zoo

GUIDE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
HOOKS = [example for example in EXAMPLES if "@zoo.hookimpl" in example]


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """All the guide's hooks in one module, installed under the guide's names."""
    site = tmp_path / "site"
    metadata = site / "acme_zoo-0.1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "entry_points.txt").write_text("[zoo.plugins]\nacme = acme_zoo\n")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-zoo\nVersion: 0.1\n")
    # The exemption is of a backbone that only the text knows.
    code = "\n".join(e for e in HOOKS).replace('"looping-*"', '"tiny"')
    # The catalogue of a library is another plugin's: the first one stays.
    first, *rest = code.split("@zoo.hookimpl\ndef zoo_backbones")
    code = first + "@zoo.hookimpl\ndef zoo_backbones" + "\ndef other_backbones".join(rest)
    (site / "acme_zoo.py").write_text(code)
    for example in EXAMPLES:
        if file := re.match(r"# (acme_\w+\.py)\n", example):
            (site / file[1]).write_text(example)
            monkeypatch.delitem(sys.modules, file[1].removesuffix(".py"), raising=False)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))  # for the processes that it is asked in
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delitem(sys.modules, "acme_zoo", raising=False)
    importlib.invalidate_caches()
    return "acme"


def test_every_hook_has_an_example() -> None:
    from zoo.contract import hookspecs

    hooks = {name for name in vars(hookspecs) if name.startswith("zoo_")}
    assert hooks == set(re.findall(r"def (zoo_\w+)", "\n".join(HOOKS)))
    assert hooks == set(re.findall(r"^## `(zoo_\w+)`", GUIDE, re.MULTILINE))


def test_the_examples_work(acme: str, photos: Path, tmp_path: Path, zoo_cli: Zoo) -> None:
    assert "acme/tiny" in zoo_cli("list", "acme/*").out
    own = ("--task", "acme/ordinal", "--metric", "cost")
    for number, (name, more) in enumerate((("acme/tiny", ()), ("acme/wide-48", own))):
        run = tmp_path / f"run-{number}"
        done = zoo_cli(
            *("finetune", name, "--data", photos, "--weights", "none", "--epochs", 1),
            *("--strategy", "slowly", "--head", "deep", "--output", run, "--json", *more),
        )
        assert done.code == 0, done.err
        assert "coarse" in done.err
        assert zoo_cli("evaluate", run, "--data", photos).code == 0
    exported = zoo_cli(
        "export", run, "--format", "script", "--output", tmp_path / "script", "--json"
    )
    assert exported.code == 0, exported.err
    assert (exported.json["format"], exported.json["files"][0]) == ("acme/script", "network.pt")
    assert (done.json["task"], done.json["metric"]) == ("acme/ordinal", "acme/cost")
    assert "cost (acme/cost) on the validation split, the lowest, selects" in done.err
    checked = zoo_cli("check", "acme", "--json")
    failed = {o["check"]: o["message"] for o in checked.json if o["status"] == "failed"}
    assert checked.code == 1
    assert list(failed) == ["can_be_exported"]  # it passes although it is exempted
    assert zoo_cli("sync", acme).code == 0
    assert "acme/line-16" in zoo_cli("list", "acme/*").out


def test_the_plugin_starts_from_the_values_of_a_file(acme: str, tmp_path: Path) -> None:
    known = {
        key: torch.full_like(tensor, number + 0.25)
        for number, (key, tensor) in enumerate(zoo.load(f"{acme}/tiny").native_state_dict().items())
    }
    save_file(known, tmp_path / "known.safetensors")
    loaded = zoo.load(
        f"{acme}/tiny", weights=str(tmp_path / "known.safetensors")
    ).native_state_dict()
    assert {key: float(tensor.mean()) for key, tensor in loaded.items()} == {
        "0.0.weight": 0.25, "0.0.bias": 1.25, "1.weight": 2.25, "1.bias": 3.25,
    }  # fmt: skip
