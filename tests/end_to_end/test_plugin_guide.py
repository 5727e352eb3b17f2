"""What docs/plugins.md shows is what happens: its examples, installed as one plugin."""

from __future__ import annotations

import dataclasses
import importlib
import re
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import zoo
from tests.end_to_end.conftest import Zoo
from zoo.testing import examine_plugin

GUIDE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
HOOKS = [example for example in EXAMPLES if "@zoo.hookimpl" in example]
MODULES = {match[1]: e for e in EXAMPLES if (match := re.match(r"# (acme_\w+)\.py\n", e))}
"""Examples that are modules of their own; those with hooks are plugins of the same name."""


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """All the guide's hooks in one module, installed under the guide's names."""
    site = tmp_path / "site"
    metadata = site / "acme_zoo-0.1.dist-info"
    metadata.mkdir(parents=True)
    plugins = [name for name, example in MODULES.items() if example in HOOKS]
    lines = ["[zoo.plugins]", "acme = acme_zoo", *(f"{name} = {name}" for name in plugins), ""]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-zoo\nVersion: 0.1\n")
    # The exemption is of a backbone that only the text knows.
    code = "\n".join(e for e in HOOKS if e not in MODULES.values())
    (site / "acme_zoo.py").write_text(code.replace('"looping-*"', '"tiny"'))
    for name, example in MODULES.items():
        (site / f"{name}.py").write_text(example)
        monkeypatch.delitem(sys.modules, name, raising=False)
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
    headings = "\n".join(re.findall(r"^## .*", GUIDE, re.MULTILINE))
    assert hooks == set(re.findall(r"`(zoo_\w+)`", headings))


@pytest.mark.slow
def test_the_examples_work(acme: str, photos: Path, tmp_path: Path, zoo_cli: Zoo) -> None:
    assert "acme/tiny" in zoo_cli("list", "acme/*").out
    own = ("--task", "acme/ordinal", "--metric", "cost")
    for number, (name, more) in enumerate((("acme/tiny", ()), ("acme/wide-48", own))):
        run = tmp_path / f"run-{number}"
        done = zoo_cli(
            *("finetune", name, "--data", photos, "--weights", "none", "--epochs", 1),
            *("--strategy", "slowly", "--head", "deep", "--output", run, "--json", *more),
            "--no-report",
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
    assert zoo_cli("sync", "acme_lines").code == 0
    assert "acme_lines/line-16" in zoo_cli("list", "acme_lines/*").out


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


@pytest.mark.long
def test_the_complete_example_states_every_field_and_keeps_the_contract(
    acme: str, zoo_cli: Zoo, tmp_path: Path
) -> None:
    complete = MODULES["acme_complete"]
    for kind in (zoo.ImageInput, zoo.TextInput, zoo.Weights, zoo.BackboneSpec):
        stated = re.search(rf"zoo\.{kind.__name__}\(\n(.*?)^ *\)$", complete, re.S | re.M)
        assert stated is not None
        names = set(re.findall(r"^ +(\w+)=", stated[1], re.M))
        assert names == {field.name for field in dataclasses.fields(kind)}, kind
    for name in ("acme_complete/wide", "acme_complete/words"):
        checked = zoo_cli("check", name, "--quiet")
        assert checked.code == 0, checked.out
    state = {
        f"module.{name}": torch.full_like(tensor, 0.5)
        for name, tensor in zoo.load("acme_complete/wide", weights="none").net.state_dict().items()
        if "auxiliary" not in name
    }
    save_file(state, tmp_path / "wide.safetensors")
    spec = zoo.Registry.discover().spec("acme_complete/wide")
    published = dataclasses.replace(
        spec.weights[0], uri=str(tmp_path / "wide.safetensors"), sha256=""
    )
    backbone = zoo.build(spec, published)
    assert "auxiliary.weight" in backbone.weights_notes[0]
    assert float(backbone.native_state_dict()["stem.0.weight"].mean()) == 0.5


def test_the_tutorials_file_is_what_new_plugin_writes(tmp_path: Path) -> None:
    from zoo.testing.new_plugin import write_plugin

    written = (write_plugin("acme", "image", tmp_path) / "acme_zoo" / "__init__.py").read_text()
    assert written.partition("\n\n")[2] == HOOKS[0]


def test_the_modality_of_the_guide_trains_and_predicts(
    acme: str, tmp_path: Path, zoo_cli: Zoo
) -> None:
    options: zoo.FinetuneOptions = {"epochs": 8, "report": False, "input": {"length": 32}}
    run = zoo.finetune("acme_series/tiny", output=tmp_path / "run", **options)
    assert run.spec.input.to_json() == {"length": 32}
    assert run.metrics["accuracy"] == 1.0
    file = tmp_path / "new.series"
    file.write_text(" ".join(str(number / 32) for number in range(-32, 32)))
    assert run.predict([file])[0].label == "rising"
    checked = {o.check: o for o in examine_plugin("acme_series", zoo.Registry.discover())}
    assert {o.message for o in checked.values() if o.status != "passed"} == set()
    file.write_text("a long way up")
    with pytest.raises(zoo.BadFilesError, match=r"new\.series.*float"):
        run.predict([file])
    assert "64" in zoo_cli("list", "acme_series/").out
    assert "--input length  numbers of a series" in zoo_cli("show", "acme_series/tiny").out
