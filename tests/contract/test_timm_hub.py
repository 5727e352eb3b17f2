"""``timm/hf-hub:<org>/<name>``: repositories that timm wrote, in the Hub's cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from zoo.errors import NameLookupError, WeightsUnavailable
from zoo.ranking.candidates import find_candidates
from zoo_timm.hub import resolve
from zoo_timm.library import timm

NAME = "timm/hf-hub:acme/mine"


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of ``acme/mine`` in an otherwise empty cache of the Hub, which is out of reach."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("zoo.weights.find.hub_reachable", lambda: False)
    repo = tmp_path / "models--acme--mine"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("abc")
    folder = repo / "snapshots" / "abc"
    folder.mkdir(parents=True)
    return folder


def pushed(folder: Path, arch: str, classes: int, arguments: dict[str, Any] | None = None) -> Any:
    """What timm's ``push_to_hf_hub`` uploads, in ``folder``."""
    torch.manual_seed(0)
    net: Any = timm.create_model(arch, num_classes=classes, **arguments or {}).eval()
    timm.models.save_for_hf(net, str(folder), model_args=arguments, safe_serialization=True)
    return net


def test_a_model_in_the_cache_is_built_and_read(snapshot: Path) -> None:
    net = pushed(snapshot, "test_resnet", 5)
    backbone = zoo.load(NAME).eval()
    spec = backbone.spec
    assert (spec.name, spec.plugin, spec.params) == (
        NAME,
        "timm",
        sum(p.numel() for p in net.parameters()),
    )
    image, config = spec.image_input, net.pretrained_cfg
    assert (image.size, image.mean, image.std) == (
        config["input_size"][-1],
        config["mean"],
        config["std"],
    )
    pixels = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(backbone(pixels), net(pixels))
    assert backbone.outputs() == 5


def test_arguments_of_the_architecture_are_kept_and_dangerous_ones_dropped(snapshot: Path) -> None:
    net = pushed(snapshot, "test_vit", 0, {"embed_dim": 96, "num_heads": 3})
    config = json.loads((snapshot / "config.json").read_text())
    config["model_args"] |= {"checkpoint_path": "/etc/passwd", "pretrained": True, "a=1,b": 2}
    (snapshot / "config.json").write_text(json.dumps(config))
    spec = resolve(NAME)
    assert spec is not None
    assert spec.config == {
        "architecture": "test_vit",
        "arguments": {"embed_dim": 96, "num_heads": 3, "global_pool": "token"},
    }
    assert (spec.feature_dim, spec.params) == (96, sum(p.numel() for p in net.parameters()))
    backbone = zoo.load(NAME).eval()
    pixels = torch.rand(1, 3, spec.image_input.size, spec.image_input.size)
    with torch.no_grad():
        torch.testing.assert_close(backbone.features(pixels), net(pixels))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON"),
        ("[]", "no 'architecture'"),
        ('{"model_type": "bert"}', "no 'architecture'"),
        ('{"architecture": "no_such_net"}', "'no_such_net'.*does not have"),
        ('{"architecture": "test_resnet", "num_classes": "many"}', "not valid for timm"),
    ],
)
def test_configs_that_are_not_timms_are_refused(content: str, words: str, snapshot: Path) -> None:
    (snapshot / "config.json").write_text(content)
    with pytest.raises(NameLookupError, match=words) as caught:
        resolve(NAME)
    assert caught.value.hint


def test_other_names_are_not_timms_and_an_absent_config_needs_the_hub(snapshot: Path) -> None:
    assert resolve("timm/resnet18") is None
    assert resolve("timm/hf-hub:nobody") is None
    with pytest.raises(WeightsUnavailable, match=r"config\.json of acme/mine"):
        resolve(NAME)


def test_a_model_in_the_cache_is_recommended_and_named_by_its_address(snapshot: Path) -> None:
    pushed(snapshot, "test_resnet", 5)
    language_model = snapshot.parents[2] / "models--acme--words" / "snapshots" / "abc"
    language_model.mkdir(parents=True)
    (language_model / "config.json").write_text('{"model_type": "t5", "is_encoder_decoder": true}')
    (language_model / "model.safetensors").write_bytes(b"")
    registry = zoo.Registry.discover()
    assert registry.resolve("hf:acme/mine").spec.name == NAME
    found, _ = find_candidates(registry, "image")
    assert [(one.name, one.cached) for one in found if "acme" in one.name] == [(NAME, True)]
    texts, left_out = find_candidates(registry, "text")
    assert "acme" not in str([*texts, *left_out])
