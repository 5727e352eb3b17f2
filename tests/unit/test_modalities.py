"""Modalities that plugins register: found by name, one owner each, and errors that name the plugin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import zoo.modalities
from tests.unit.fake_plugins import Folder
from zoo.contract import modalities
from zoo.contract.modalities import BUILT_IN, ModalitySpec, input_class, registered
from zoo.contract.spec import BackboneSpec, ImageInput
from zoo.data.inputs import open_inputs
from zoo.data.sequences import Listed
from zoo.errors import (
    BadFilesError,
    ContractError,
    DataError,
    PluginError,
    RunError,
    ZooError,
)
from zoo.modalities import all_modalities, modality_named
from zoo.modalities.files.collating import collated
from zoo.modalities.files.modality import FileModality
from zoo.modalities.files.reading import prepare, read_sample
from zoo.registry.discovery import PluginSource
from zoo.registry.index import Index
from zoo.registry.policy import Policy
from zoo.registry.registry import Registry
from zoo.registry.requirements import requirements
from zoo.registry.run_record import require_modality

SONAR = """
from dataclasses import dataclass

import zoo


@dataclass(frozen=True, kw_only=True)
class SonarInput(zoo.InputSpec):
    modality = "sonar"
    pings: int = 16
    window: tuple[float, ...] = (0.5,)


class Other(zoo.ImageInput):
    pass


@zoo.hookimpl
def zoo_modalities():
    yield zoo.ModalitySpec(
        name="sonar", input=f"{__name__}:SonarInput", implementation=f"{__name__}:SONAR"
    )


@zoo.hookimpl
def zoo_backbones():
    own = SonarInput(pings=8, window=(0.25, 0.5))
    yield zoo.BackboneSpec(
        name="net", modality="sonar", feature_dim=8, params=9, input=own, loader="x:y",
        weights=(zoo.Weights(tag="a", uri="/none", input=SonarInput(pings=4)),),
    )
"""


@pytest.fixture(autouse=True)
def table() -> Iterator[None]:
    """The table as it was before each test."""
    before = dict(modalities._known)
    yield
    modalities._known.clear()
    modalities._known.update(before)
    zoo.modalities._imported.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")
    return Folder(tmp_path / "site")


def _registry(tmp_path: Path, *sources: Any, disabled: frozenset[str] = frozenset()) -> Registry:
    return Registry(sources, Policy(disabled=disabled), Index(tmp_path / "index"))


def test_a_spec_of_a_plugins_modality_survives_json(folder: Folder, tmp_path: Path) -> None:
    source = folder.plugin("acme", SONAR)
    for _ in range(2):  # from the plugin, then from the index
        spec = _registry(tmp_path, source).spec("acme/net")
        assert BackboneSpec.from_json(spec.to_json()) == spec
        assert spec.input == input_class("sonar")(pings=8, window=(0.25, 0.5))  # type: ignore[call-arg]
        assert spec.weights[0].input == input_class("sonar")(pings=4)  # type: ignore[call-arg]
        assert input_class("sonar").in_short(spec.to_json()["input"]) == "8"


def test_of_two_plugins_with_one_modality_the_first_has_it(folder: Folder, tmp_path: Path) -> None:
    sources = folder.plugin("acme", SONAR), folder.plugin("beta", SONAR)
    image = folder.plugin("gamma", SONAR.replace('"sonar"', '"image"'))
    statuses = {each.name: each for each in _registry(tmp_path, *sources, image).plugins()}
    assert [each.status for each in statuses.values()] == ["ok", "conflict", "conflict"]
    assert "'acme'" in statuses["beta"].reason
    assert "zoo itself" in statuses["gamma"].reason
    assert registered()["sonar"].plugin == "acme"


def test_a_disabled_plugin_has_no_modality(folder: Folder, tmp_path: Path) -> None:
    source = folder.plugin("acme", SONAR)
    data = _registry(tmp_path, source).spec("acme/net").to_json()
    _registry(tmp_path, source, disabled=frozenset({"acme"}))
    assert "sonar" not in registered()
    with pytest.raises(ContractError, match="'sonar'"):
        BackboneSpec.from_json(data)
    with pytest.raises(ContractError, match="'sonar'"):
        modality_named("sonar")


def test_a_run_of_an_absent_modality_names_it(tmp_path: Path) -> None:
    record: dict[str, Any] = {"backbone": "acme/net", "spec": {"modality": "sonar"}}
    with pytest.raises(RunError, match="'sonar'") as caught:
        require_modality(tmp_path, record)
    assert "acme/net" in caught.value.hint
    modalities.register(
        ModalitySpec(name="sonar", input="x:y", implementation="x:y", plugin="acme")
    )
    source = PluginSource("acme", "acme_zoo", "zoo-acme", "1.2")
    spec = BackboneSpec(
        name="beta/net", modality="image", feature_dim=8, params=1, input=ImageInput(), loader="x:y"
    )
    object.__setattr__(spec, "modality", "sonar")
    record["plugins"] = requirements({"acme": source}, spec, [])
    modalities.withdraw("acme")
    with pytest.raises(RunError) as caught:
        require_modality(tmp_path, record)
    assert "pip install zoo-acme==1.2" in caught.value.hint


@pytest.mark.parametrize(
    ("target", "fact"),
    [("nowhere:SonarInput", "nowhere"), ("{module}:Other", "subclass of zoo.InputSpec")],
)
def test_an_input_class_that_is_none_is_refused(folder: Folder, target: str, fact: str) -> None:
    module = folder.plugin("acme", SONAR).value
    modalities.register(
        ModalitySpec(
            name="sonar", input=target.format(module=module), implementation="x:y", plugin="acme"
        )
    )
    with pytest.raises(ContractError, match=fact) as caught:
        input_class("sonar")
    assert "'acme'" in caught.value.message


@pytest.mark.parametrize(
    ("code", "fact"),
    [("1 / 0", "ZeroDivisionError"), ("class SONAR:\n    name = 'radar'", "'radar'")],
)
def test_an_implementation_that_fails_is_left_out(folder: Folder, code: str, fact: str) -> None:
    module = folder.plugin("acme", code).value
    modalities.register(
        ModalitySpec(name="sonar", input="x:y", implementation=f"{module}:SONAR", plugin="acme")
    )
    with pytest.raises(PluginError, match=fact) as caught:
        modality_named("sonar")
    assert "'acme'" in caught.value.message
    with pytest.warns(UserWarning, match="'acme'"):
        assert {each.name for each in all_modalities()} >= {each.name for each in BUILT_IN}


@pytest.mark.parametrize("changes", [{"name": "So nar"}, {"input": "x"}, {"implementation": "x"}])
def test_a_row_that_cannot_be_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ZooError) as caught:
        ModalitySpec(**{"name": "sonar", "input": "x:y", "implementation": "x:y", **changes})
    assert caught.value.hint


# -- modalities of files ------------------------------------------------------------------------


def _read(raw: object) -> str:
    text = raw.decode() if isinstance(raw, bytes) else Path(str(raw)).read_text()
    if text == "silence":
        raise ValueError("there is no echo")
    return {"echo": text}[text]  # a fault of the plugin for anything else


def _echoes(**changes: Any) -> FileModality:
    fields: dict[str, Any] = {
        "name": "sonar",
        "noun": "echo",
        "nouns": "echoes",
        "endings": (".echo",),
        "main_input": "pings",
        "shape": lambda given: (4,),
        "in_words": lambda given: "4 pings",
        "read": _read,
        "prepare": lambda sample, given, generator: torch.zeros(3),
        "demo_classes": ("near", "far"),
        "make_demo": lambda seed: iter([(b"echo", "near")]),
        "encode": lambda raw: raw,
    }
    return FileModality(**{**fields, **changes})


@pytest.mark.parametrize("changes", [{"main_input": "a b"}, {"endings": ("wav",)}])
def test_a_modality_of_files_that_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match="'sonar'") as caught:
        _echoes(**changes)
    assert caught.value.hint


def test_a_plugin_that_raises_is_named_and_a_bad_file_too() -> None:
    modalities.register(
        ModalitySpec(name="sonar", input="x:y", implementation="x:y", plugin="acme")
    )
    sonar, given = _echoes(), object()
    with pytest.raises(BadFilesError, match=r"a\.echo.*no echo"):
        read_sample(sonar, b"silence", "a.echo")
    with pytest.raises(PluginError, match=r"'acme'.*a\.echo.*KeyError"):
        read_sample(sonar, b"noise", "a.echo")
    with pytest.raises(PluginError, match=r"'acme'.*\(3,\).*\(4,\)"):
        prepare(sonar, "echo", "a.echo", given)  # type: ignore[arg-type]
    rows = [torch.zeros(4), torch.zeros(2)]
    for tensors, words in (
        ({}, "pings must be a tensor"),
        ({"pings": torch.zeros(2, 3)}, r"\(2, 3\)"),
        ({"pings": torch.zeros(2, 4), "mask": torch.zeros(1, 4)}, "mask must have 2 rows"),
    ):
        padding = _echoes(collate=lambda *_, own=tensors: own)
        assert prepare(padding, "echo", "a.echo", given).shape == (3,)  # type: ignore[arg-type]
        with pytest.raises(PluginError, match=rf"'acme'.*collate.*{words}"):
            collated(padding, rows, given)  # type: ignore[arg-type]


def test_every_function_of_a_plugin_that_raises_or_exits_is_named() -> None:
    def exits(*_: Any) -> Any:
        raise SystemExit(3)

    spec: Any = SimpleNamespace(input=object(), name="acme/net")
    splits: Any = SimpleNamespace(train=SimpleNamespace(inputs=(), traits=None))
    for name, call in {
        "shape": lambda each: each.random_batch(spec, 2),
        "in_words": lambda each: each.shape_in_words(spec),
        "takes": lambda each: each.in_memory(5),
        "read": lambda each: read_sample(each, b"echo", "a.echo"),
        "encode": lambda each: each.example_file("echo"),
        "fit": lambda each: each.fitted(spec, {"input": None}, splits, pretrained=False),
        "facts": lambda each: each.input_facts(spec, splits, {}),
        "measure": lambda each: each.examine(Listed((b"echo",), ("a.echo",))),
    }.items():
        with pytest.raises(PluginError, match=r"'sonar'.*SystemExit: 3"):
            call(_echoes(**{name: exits}))
    with pytest.raises(PluginError, match=r"'sonar'.*fit.*InputSpec, got int"):
        _echoes(fit=lambda *_: 5).fitted(spec, {"input": None}, splits, pretrained=False)


def test_what_is_not_a_file_of_the_modality_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "none").mkdir()
    sonar = _echoes()
    for name, fact in (("a.txt", "extension"), ("none", "no echoes"), ("absent", "no file")):
        with pytest.raises(DataError, match=fact):
            open_inputs([str(tmp_path / name)], sonar)
    with pytest.raises(DataError, match="tuple"):
        open_inputs([("a", "b")], sonar)
