"""Which backbones ``zoo recommend`` considers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import zoo
from zoo.ranking.candidates import find_candidates
from zoo.registry.resolution import Resolved


def test_weights_in_an_installed_package_are_considered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "acme_weights_to_rank").mkdir()
    (tmp_path / "acme_weights_to_rank" / "tiny.safetensors").write_bytes(b"")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    specs = {name: _spec(name) for name in ("tiny", "large")}
    registry: Any = SimpleNamespace(
        policy=SimpleNamespace(runs={}),
        short_names={},
        runs=lambda _: (),
        rows=lambda: [(f"acme/{name}", spec.to_json()) for name, spec in specs.items()],
        resolve=lambda name: Resolved(specs[name.partition("/")[2]]),
    )
    found, left_out = find_candidates(cast(zoo.Registry, registry), "image")
    assert [(one.name, one.cached) for one in found] == [("acme/tiny", True)]
    assert left_out == []


def _spec(name: str) -> zoo.BackboneSpec:
    address = f"package:acme_weights_to_rank/{name}.safetensors"
    return zoo.BackboneSpec(
        name=name,
        feature_dim=8,
        params=100,
        input=zoo.ImageInput(size=32),
        weights=(zoo.Weights(tag="v1", uri=address, default=True),),
        loader="acme:load",
    )
