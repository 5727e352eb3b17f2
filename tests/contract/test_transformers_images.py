"""Transformers' image encoders: resolved from their files, equal to the library's own outputs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import zoo
from tests.contract import checks
from zoo import BackboneSpec, ImageInput, Weights, build
from zoo.errors import NameLookupError
from zoo.modalities.image.transforms import make_transform
from zoo.testing import CHECKS, parametrize_backbones
from zoo_transformers import image_catalogue
from zoo_transformers.image_native import processor_config
from zoo_transformers.image_resolve import image_row
from zoo_transformers.resolve import resolve

_VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}
_TOWER = {"vision_config": _VIT, "text_config": {**_VIT, "vocab_size": 9}}
TINY: Mapping[str, Mapping[str, Any]] = {
    "vit": _VIT,
    "vit_mae": _VIT,
    "deit": _VIT,
    "beit": _VIT,
    "dinov2": _VIT,
    "swin": {
        "embed_dim": 16,
        "depths": [1, 1],
        "num_heads": [2, 2],
        "window_size": 4,
        "image_size": 32,
        "patch_size": 4,
    },
    "convnext": {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]},
    "resnet": {"embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]},
    "clip": _TOWER,
    "siglip": _TOWER,
}
SQUASH = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
CROP = {
    "image_processor_type": "CLIPImageProcessor",
    "size": {"shortest_edge": 36},
    "crop_size": {"height": 32, "width": 32},
    "image_mean": [0.48, 0.45, 0.4],
    "image_std": [0.26, 0.26, 0.27],
}
SHARE = {
    "image_processor_type": "ConvNextImageProcessor",
    "size": {"shortest_edge": 32},
    "crop_pct": 0.875,
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def saved(kind: str, folder: Path, processor: Mapping[str, Any] = SQUASH) -> Any:
    """A tiny network of the library with other values than its first, in ``folder``."""
    from transformers import AutoConfig, AutoModel, AutoModelForImageClassification

    config = AutoConfig.for_model(kind, num_labels=5, **TINY[kind])
    config.architectures = []
    whole = "vision_config" in TINY[kind] or kind == "vit_mae"
    net = (AutoModel if whole else AutoModelForImageClassification).from_config(config).eval()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(std=0.3)
    net.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return net


def library_output(net: Any, pixels: Tensor) -> tuple[str, Tensor]:
    """What is compared, and the library's own value of it."""
    if hasattr(net, "vision_model"):
        return "features", net.vision_model(pixel_values=pixels).pooler_output
    return "forward", net(pixel_values=pixels).logits


EVERYDAY = ("vit", "swin", "resnet", "clip")


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=() if kind in EVERYDAY else pytest.mark.slow)
        for kind in TINY
        if kind != "vit_mae"
    ],
)
def test_published_networks_give_the_librarys_own_output(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = saved(kind, tmp_path)
    backbone = zoo.load(f"path:{tmp_path}").eval()
    pixels = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        member, wanted = library_output(net, pixels)
        given = getattr(backbone, member)({"pixel_values": pixels})
    torch.testing.assert_close(given, wanted, rtol=1e-5, atol=1e-6)
    assert wanted.abs().max() > 0.1
    assert backbone.weights_notes == ()
    names = [stage.name for stage in backbone.stages()]
    assert [name for name in names if name.startswith("layer.")][:2] == ["layer.0", "layer.1"]


def test_an_encoder_that_masks_patches_in_pretraining_sees_all_of_them(tmp_path: Path) -> None:
    net = saved("vit_mae", tmp_path)
    backbone = zoo.load(f"path:{tmp_path}").eval()
    assert type(backbone.net).__name__ == "ViTForImageClassification"
    own = dict(backbone.net.state_dict())
    assert torch.equal(own["vit.layernorm.weight"], net.state_dict()["layernorm.weight"])


def test_positions_are_interpolated_for_other_sizes(tmp_path: Path) -> None:
    net = saved("vit", tmp_path)
    spec = resolve(f"path:{tmp_path}")
    assert spec is not None
    image = spec.image_input
    assert (image.min_size, image.multiple_of, image.fixed_size) == (32, 8, False)
    backbone = build(spec.with_input(size=48), spec.default_weights).eval()
    pixels = torch.rand(1, 3, 48, 56)
    with torch.no_grad():
        wanted = net(pixel_values=pixels, interpolate_pos_encoding=True).logits
        torch.testing.assert_close(backbone(pixels), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("processor", [SQUASH, CROP, SHARE], ids=["squash", "crop", "share"])
def test_images_are_prepared_as_by_the_librarys_processor(
    processor: Mapping[str, Any], tmp_path: Path
) -> None:
    from transformers import AutoImageProcessor

    saved("resnet", tmp_path, processor)
    spec = resolve(f"path:{tmp_path}")
    assert spec is not None
    noise = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((90, 60), Image.Resampling.BICUBIC)
    given = make_transform(spec.image_input, train=False)(image)
    own = tmp_path / "own"
    own.mkdir()
    (own / "preprocessor_config.json").write_text(json.dumps(processor_config(spec.image_input)))
    for folder in (tmp_path, own):
        library = AutoImageProcessor.from_pretrained(str(folder))  # type: ignore[no-untyped-call]
        wanted = library(image, return_tensors="pt")["pixel_values"][0]
        assert wanted.shape == given.shape
        assert (given - wanted).abs().max() < 0.02  # one step of 255, in standard deviations
        assert (given - wanted).abs().mean() < 1e-3


def test_a_scale_of_its_own_goes_into_mean_and_std(tmp_path: Path) -> None:
    scaled = {**SQUASH, "image_mean": [0.0, 0.0, 0.0], "image_std": [1.0, 1.0, 1.0]}
    saved("resnet", tmp_path, {**scaled, "rescale_factor": 2 / 255})
    spec = resolve(f"path:{tmp_path}")
    assert spec is not None
    assert spec.image_input.std == pytest.approx((0.5, 0.5, 0.5))


def test_a_hub_model_in_the_cache_resolves_without_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = tmp_path / "models--acme--tiny-clip"
    snapshot = repo / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc")
    net = saved("clip", snapshot, CROP)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    spec = resolve("hf/acme/tiny-clip")
    assert spec is not None
    assert (spec.modality, spec.feature_dim, spec.params) == (
        "image",
        32,
        sum(p.numel() for p in net.vision_model.parameters()),
    )
    assert spec.default_weights == Weights(tag="hub", uri="hf:acme/tiny-clip", default=True)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("preprocessor_config.json", {**SQUASH, "resample": 99}, "image processor"),
        ("preprocessor_config.json", {**SQUASH, "image_processor_type": "No"}, "image processor"),
        ("config.json", {"model_type": "clip", "vision_config": 3}, "vision_config"),
        ("config.json", {"model_type": "nothing"}, "nothing"),
        ("config.json", {**_VIT, "model_type": "vit", "num_channels": 1}, "does not run"),
        ("config.json", {"model_type": "vit", "num_hidden_layers": -1}, "num_hidden_layers"),
        ("config.json", {}, "model_type"),
    ],
)
def test_files_that_make_no_image_encoder_are_refused(
    file: str, content: Mapping[str, Any], words: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**_VIT, "model_type": "vit"}))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(SQUASH))
    (tmp_path / file).write_text(json.dumps(content))
    with pytest.raises(NameLookupError, match=words) as caught:
        resolve(f"path:{tmp_path}")
    assert caught.value.hint


# -- the contract and the catalogue --------------------------------------------------------------


def tiny(kind: str, width: int = 32, multiple_of: int = 8) -> BackboneSpec:
    own = TINY[kind.removesuffix("_vision_model")]
    config = {"model_type": kind, **own.get("vision_config", own)}
    weights = Weights(tag="hub", uri="hf:acme/none", default=True)
    image = ImageInput(size=32, min_size=32, multiple_of=multiple_of)
    row = image_row(f"hf/tiny-{kind}", config, image, weights)
    return replace(row, feature_dim=width)


TINY_SPECS = [
    tiny("vit"),
    tiny("clip_vision_model"),
    tiny("beit"),
    tiny("convnext", multiple_of=4),
    tiny("dinov2", width=64),
    tiny("resnet", multiple_of=1),
    tiny("siglip_vision_model"),
    tiny("swin", multiple_of=4),
]


@parametrize_backbones(TINY_SPECS[:2], checks=checks.SHAPES)
def test_image_encoders_have_their_shapes(check: Callable[[], None]) -> None:
    check()


@pytest.mark.slow
@parametrize_backbones(TINY_SPECS[:1], checks=[name for name in CHECKS if name != checks.SIZE])
def test_some_image_encoders_keep_the_contract(check: Callable[[], None]) -> None:
    check()


@pytest.mark.long
@parametrize_backbones(TINY_SPECS, checks=[name for name in CHECKS if name != checks.SIZE])
def test_image_encoders_keep_the_contract(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(m, marks=() if m.repo == "microsoft/resnet-50" else pytest.mark.long)
        for m in image_catalogue.MODELS
    ],
    ids=lambda model: model.repo,
)
def test_the_catalogue_states_what_is_measured(model: image_catalogue.PublishedModel) -> None:
    rows = {spec.name: spec for spec in image_catalogue.image_encoders()}
    assert set(rows) == {each.repo for each in image_catalogue.MODELS}
    assert image_catalogue.measured_row(model) == rows[model.repo]


def test_networks_have_as_many_parameters_as_published() -> None:
    rows = {spec.name: spec.params for spec in image_catalogue.image_encoders()}
    assert rows["google/vit-base-patch16-224"] == 86_567_656
    assert rows["microsoft/resnet-50"] == 25_557_032
    assert rows["microsoft/swin-tiny-patch4-window7-224"] == 28_288_354
