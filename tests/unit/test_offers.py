"""Heads, strategies and other things that plugins offer by name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.fake_plugins import Folder
from zoo.contract.spec import BackboneSpec, ImageInput
from zoo.errors import AmbiguousNameError, NameLookupError, PluginError, RunError
from zoo.registry.discovery import PluginSource
from zoo.registry.index import Index
from zoo.registry.offers import Offer, OfferKind
from zoo.registry.policy import Policy
from zoo.registry.registry import Registry
from zoo.registry.requirements import requirements_flaw

HEAD = OfferKind(noun="head", plural="heads", hook="zoo_heads")
STRATEGY = OfferKind(
    noun="strategy", plural="strategies", hook="zoo_strategies", training_only=True
)
OWN: dict[str, Any] = {"linear": int, "mlp": float}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.syspath_prepend(place)
    return Folder(place)


@pytest.fixture
def registry_of(tmp_path: Path) -> Callable[..., Registry]:
    def made(*sources: PluginSource, off: str = "") -> Registry:
        policy = Policy(disabled=frozenset(filter(None, [off])))
        return Registry(sources, policy, Index(tmp_path / "index"))

    return made


def offering(names: str) -> str:
    return f"@zoo.hookimpl\ndef zoo_heads(): return {names}\n"


def test_a_bare_name_is_enough_where_it_is_unique(
    folder: Folder, registry_of: Callable[..., Registry]
) -> None:
    registry = registry_of(
        folder.good("a", extra=offering("{'x': len, 'both': len, 'linear': len}")),
        folder.good("b", extra=offering("{'y': 'math:sqrt', 'both': len}")),
    )

    def found(name: str) -> Offer[Any]:
        return registry.offer(HEAD, name, OWN)

    assert [offer.name for offer in registry.offers(HEAD, OWN)] == [
        "linear", "mlp", "a/x", "a/both", "a/linear", "b/y", "b/both",
    ]  # fmt: skip
    assert (found("x").name, found("x").value, str(found("x"))) == ("a/x", len, "head 'a/x'")
    assert found("y").value(9) == 3.0, "imported where it is named by a string"
    assert (found("linear").value, found("a/linear").value) == (int, len)
    with pytest.raises(AmbiguousNameError, match=r"'both'.*a/both, b/both"):
        found("both")
    assert found("b/both").plugin == "b"


@pytest.mark.parametrize("name", ["zzz", "a/z", "c/xx"])
def test_an_unknown_name_has_the_closest_ones(
    folder: Folder, registry_of: Callable[..., Registry], name: str
) -> None:
    registry = registry_of(folder.good("a", extra=offering("{'xx': len, 'zz': len}")))
    with pytest.raises(NameLookupError, match=f"no head is called '{name}'.*Did you mean") as told:
        registry.offer(HEAD, name, OWN)
    assert "a/xx" in told.value.hint


@pytest.mark.parametrize(
    "answer", ["1 / 0", "['x']", "{3: len}", "{'a/x': len}", "__import__('sys').exit(3)"]
)
def test_a_plugin_whose_heads_fail_does_not_affect_others(
    folder: Folder, registry_of: Callable[..., Registry], answer: str
) -> None:
    sources = folder.good("a", extra=offering(answer)), folder.good("b", extra=offering("{'y': 1}"))
    with pytest.warns(UserWarning, match="plugin 'a' is ignored for zoo_heads: zoo_heads r"):
        assert registry_of(*sources).offer(HEAD, "y", OWN).plugin == "b"
    with pytest.raises(PluginError, match="the plugin 'a' is broken: zoo_heads") as told:
        registry_of(*sources).offer(HEAD, "a/x", OWN)
    assert told.value.hint


@pytest.mark.parametrize("given", ["'missing_module:x'", "'math:missing'"])
def test_what_cannot_be_imported_names_its_plugin(
    folder: Folder, registry_of: Callable[..., Registry], given: str
) -> None:
    registry = registry_of(folder.good("a", extra=offering(f"{{'x': {given}}}")))
    with pytest.raises(PluginError, match=r"plugin 'a' is broken: its head 'a/x' raised") as told:
        _ = registry.offer(HEAD, "x", OWN).value
    assert told.value.hint


def test_a_switched_off_plugin_is_not_imported(
    folder: Folder, registry_of: Callable[..., Registry]
) -> None:
    off, on = folder.good("off", extra=offering("{'x': len}")), folder.good("on")
    registry = registry_of(off, on, off="off")
    with pytest.raises(NameLookupError):
        registry.offer(HEAD, "x", OWN)
    with pytest.raises(PluginError, match="'off' is disabled"):
        registry.offer(HEAD, "off/x", OWN)
    spec = BackboneSpec(
        name="off/net", modality="image", feature_dim=1, params=1, input=ImageInput(),
        loader=f"{off.value}:load", license="",
    )  # fmt: skip
    with pytest.raises(PluginError, match="'off' is disabled"):
        registry.check_loader(spec, Path("run"))
    assert off.value not in sys.modules


def test_a_run_names_the_plugins_that_it_needs(
    folder: Folder, registry_of: Callable[..., Registry]
) -> None:
    source = folder.good("a", "net", extra=offering("{'x': len}"), distribution="zoo-a")
    registry = registry_of(source)
    used = [
        registry.offer(HEAD, "x", OWN),
        registry.offer(HEAD, "mlp", OWN),
        Offer(kind=STRATEGY, bare="s", plugin="a", given=len),
    ]
    needed = registry.requirements(registry.spec("a/net"), used)
    assert needed == {
        "a": {
            "distribution": "zoo-a",
            "version": "1.0",
            "opening": ["backbone 'a/net'", "head 'a/x'"],
            "training": ["strategy 'a/s'"],
        }
    }
    assert not requirements_flaw(needed)
    registry.require(needed, "the run r", training=True)
    with pytest.raises(
        RunError, match=r"run r needs.*'a' \(zoo-a 1.0\).*'a/x'.*not installed"
    ) as told:
        registry_of().require(needed, "the run r")
    assert "pip install zoo-a==1.0" in told.value.hint
    with pytest.raises(RunError, match="it is disabled") as told:
        registry_of(source, off="a").require(needed, "the run r")
    assert "zoo plugins" in told.value.hint
    only = {"a": needed["a"] | {"opening": []}}
    registry_of().require(only, "the run r")
    with pytest.raises(RunError, match="strategy 'a/s'"):
        registry_of().require(only, "the run r", training=True)


@pytest.mark.parametrize("needed", [[], {"a": "1.0"}, {"a": {"distribution": "zoo-a"}}])
def test_requirements_of_another_shape_are_found(needed: object) -> None:
    assert "'plugins' must" in requirements_flaw(needed)
