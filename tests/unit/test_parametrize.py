"""The contract's checks as tests of pytest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zoo.contract.exemptions import Exemption
from zoo.registry.registry import Registry
from zoo.testing import CHECKS, META_CHECKS, parametrize_backbones
from zoo.testing.catalogue import PLUGIN_CHECKS


def ids(mark: pytest.MarkDecorator) -> list[str]:
    return [str(case.id) for case in mark.mark.args[1]]  # type: ignore[attr-defined]


def test_a_pattern_gives_a_test_for_every_check_that_applies() -> None:
    given = ids(parametrize_backbones("basics/cnn"))  # type: ignore[arg-type]
    spec = Registry.discover().spec("basics/cnn")
    assert given == [f"basics/cnn-{c.name}" for c in CHECKS.values() if c.applies(spec)]


def test_specs_and_checks_can_be_chosen_and_a_large_network_has_no_values() -> None:
    spec = replace(Registry.discover().spec("basics/cnn"), params=11)
    few = ["works_in_inference_mode", "features_have_the_declared_width"]
    assert len(ids(parametrize_backbones([spec], checks=few))) == 2  # type: ignore[arg-type]
    small = ids(parametrize_backbones([spec], checks=few, max_params=10))  # type: ignore[arg-type]
    assert small == ["basics/cnn-features_have_the_declared_width"]
    assert few[1] in META_CHECKS


def test_an_exempted_check_is_expected_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    exemption = Exemption(check="can_be_exported", reason="it loops", backbones=("cnn",))
    monkeypatch.setattr(Registry, "exemptions", lambda *_: (exemption,))
    mark = parametrize_backbones("basics/cnn")
    marked = [case for case in mark.mark.args[1] if case.marks]  # type: ignore[attr-defined]
    assert [case.id for case in marked] == ["basics/cnn-can_be_exported"]
    assert marked[0].marks[0].kwargs == {"reason": "it loops", "strict": True}


def test_what_would_check_nothing_is_refused() -> None:
    with pytest.raises(pytest.UsageError, match="nobody"):
        parametrize_backbones("nobody/*")
    with pytest.raises(pytest.UsageError, match="can_be_exported"):
        parametrize_backbones("basics/cnn", checks=["can_be_exportet"])


def test_all_of_a_plugin_includes_the_checks_of_its_catalogue() -> None:
    mark = parametrize_backbones("basics/*", checks=["names_are_valid", "works_in_inference_mode"])
    assert ids(mark) == [  # type: ignore[arg-type]
        "basics-names_are_valid",
        *(f"{name}-works_in_inference_mode" for name in Registry.discover().names("basics/*")),
    ]
    mark.mark.args[1][0].values[0]()  # type: ignore[attr-defined]
    every = ids(parametrize_backbones("basics/*"))  # type: ignore[arg-type]
    assert {f"basics-{name}" for name in PLUGIN_CHECKS} <= set(every)
