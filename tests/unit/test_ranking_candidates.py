"""Which backbones are ranked, in which order, and why others are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.made_runs import made_run
from tests.unit.fake_plugins import Folder
from zoo import BackboneSpec, ImageInput, Weights
from zoo.errors import NameLookupError
from zoo.ranking.candidates import (
    UNPUBLISHED,
    UNREACHABLE,
    Candidate,
    Hosts,
    LeftOut,
    find_candidates,
    in_order,
)
from zoo.registry.index import Index
from zoo.registry.policy import Policy
from zoo.registry.registry import Registry
from zoo.registry.resolution import Resolved

CATALOGUE = """
import zoo
from zoo import BackboneSpec, ImageInput, TextInput, Weights


def image(name, params, uri=None, modality="image"):
    weights = (Weights(tag="v1", uri=uri, default=True),) if uri else ()
    given = ImageInput() if modality == "image" else TextInput()
    return BackboneSpec(name=name, modality=modality, feature_dim=8, params=params, input=given,
                        loader="nowhere:load", license="MIT", weights=weights)


@zoo.hookimpl
def zoo_backbones():
    return [
        image("here", 300, HERE), image("far", 200, "https://far.test/far.pth"),
        image("hub", 250, "hf:org/hub"), image("bare", 100), image("huge", 10**9, HERE),
        image("words", 100, HERE, "text"),
    ]
"""


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    site, file = tmp_path / "site", tmp_path / "here.safetensors"
    site.mkdir()
    file.touch()
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    source = Folder(site).plugin("acme", f"HERE = {str(file)!r}\n{CATALOGUE}")
    spec = BackboneSpec(
        name="acme/here",
        modality="image",
        feature_dim=8,
        params=300,
        input=ImageInput(),
        loader=f"{source.value}:load",
    )
    runs = {"mine": made_run(tmp_path / "mine", spec), "gone": tmp_path / "gone"}
    names = ("far", "bare", "here", "huge", "words", "hub")
    aliases = {name: f"acme/{name}" for name in names}
    return Registry([source], Policy(aliases=aliases, runs=runs), Index(tmp_path / "index"))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No host answers; the addresses that were asked."""
    asked: list[str] = []

    def refuse(uri: str = "hub") -> bool:
        asked.append(uri)
        return False

    monkeypatch.setattr("zoo.ranking.candidates.reachable", refuse)
    monkeypatch.setattr("zoo.ranking.candidates.hub_reachable", refuse)
    return asked


def _names(candidates: list[Candidate]) -> list[str]:
    return [one.name for one in candidates]


def test_what_can_be_had_is_ranked_and_the_rest_is_named_with_its_reason(
    registry: Registry, offline: list[str]
) -> None:
    found, left_out = find_candidates(registry, "image", max_params=1000)
    assert _names(found) == ["mine", "here"]
    reasons = {one.name: one.reason for one in left_out}
    assert reasons.keys() == {"gone", "far", "bare", "huge", "hub"}
    assert "cannot be read" in reasons["gone"]
    assert reasons["far"] == reasons["hub"] == UNREACHABLE
    assert reasons["bare"] == UNPUBLISHED
    assert reasons["huge"] == "more than 1,000 parameters"
    assert offline == ["https://far.test/far.pth", "hub"]


def test_whatever_has_weights_on_this_machine_is_ranked(
    registry: Registry, offline: list[str], tmp_path: Path
) -> None:
    here = tmp_path / "here.safetensors"
    code = (
        f"HERE = {str(here)!r}\n{CATALOGUE}"
        + """
@zoo.hookimpl
def zoo_featured():
    return []
"""
    )
    code = code.replace("weights = (", 'extra = Weights(tag="v2", uri=HERE)\n    weights = (extra,')
    source = Folder(tmp_path / "site").plugin("acme", code)
    plain = Registry([source], Policy(), Index(tmp_path / "index"))
    assert plain.short_names == {}
    found, left_out = find_candidates(plain, "image", max_params=1000)
    assert {one.name: one.resolved.tag for one in found} == {
        "acme/far.v2": "v2",
        "acme/here": None,
        "acme/here.v2": "v2",
        "acme/hub.v2": "v2",
    }
    assert all(one.cached for one in found)
    assert {one.name for one in left_out} == {"acme/huge", "acme/huge.v2"}
    here.unlink()
    assert find_candidates(plain, "image") == ([], [])


def test_random_parameters_are_ranked_where_they_are_asked_for_and_come_last(
    registry: Registry, offline: list[str]
) -> None:
    found, _ = find_candidates(registry, "image", random=True, max_params=1000)
    assert _names(found) == ["mine", "here", "bare", "far", "hub"]
    assert [one.weights is None for one in found] == [False, False, True, True, True]


def test_what_can_be_fetched_comes_after_what_is_here(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.ranking.candidates.reachable", lambda _: True)
    monkeypatch.setattr("zoo.ranking.candidates.hub_reachable", lambda: False)
    found, _ = find_candidates(registry, "image")
    assert _names(found) == ["mine", "here", "huge", "far"]


def test_names_and_patterns_are_all_that_is_considered(
    registry: Registry, offline: list[str]
) -> None:
    found, left_out = find_candidates(registry, "image", ["acme/h*", "words", "mine"])
    assert _names(found) == ["mine", "here", "huge"]
    assert LeftOut("words", "takes texts") in left_out
    with pytest.raises(NameLookupError, match="'hre'"):
        find_candidates(registry, "image", ["hre"])


def test_a_host_is_asked_once(offline: list[str]) -> None:
    hosts = Hosts()
    for name in "abc":
        assert not hosts.reachable(f"https://far.test/{name}.pth")
        assert not hosts.reachable(f"hf:org/{name}")
        assert not hosts.reachable(f"/nowhere/{name}.pth")
    assert offline == ["https://far.test/a.pth", "hub"]


def test_small_and_good_ones_come_first() -> None:
    def made(name: str, params: int, accuracy: float) -> Candidate:
        weights = Weights(tag="v1", uri="/w", metrics={"imagenet1k/top1": accuracy})
        spec = BackboneSpec(
            name=name,
            modality="image",
            feature_dim=8,
            params=params,
            input=ImageInput(),
            loader="nowhere:load",
        )
        return Candidate(name, Resolved(spec), weights, cached=True)

    given = [made("old", 60, 57.0), made("best", 90, 85.0), made("tiny", 2, 60.0)]
    given += [made("middle", 20, 75.0), made("poor", 25, 55.0)]
    assert _names(in_order(given)) == ["tiny", "middle", "best", "poor", "old"]
