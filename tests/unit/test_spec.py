"""Specs: frozen data that becomes JSON without loss."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from zoo import BackboneSpec, ImageInput, TextInput, Weights
from zoo.contract import inputs as inputs_module
from zoo.errors import ContractError
from zoo.registry.registry import Registry


def _image(**changes: Any) -> BackboneSpec:
    given: dict[str, Any] = {
        "name": "resnet18",
        "modality": "image",
        "feature_dim": 512,
        "params": 11_689_512,
        "input": ImageInput(size=224, crop=0.875, interpolation="bicubic", fixed_size=True),
        "weights": (
            Weights(
                tag="V1",
                uri="https://x/y.pth",
                sha256="f37072fd",
                license="BSD-3-Clause",
                metrics={"imagenet1k/top1": 69.758},
                default=True,
                input=ImageInput(size=288, crop=1.0),
            ),
            Weights(tag="V2", uri="hf:org/name", classes=0),
        ),
        "loader": "module:load",
        "license": "BSD-3-Clause",
        "paper": "https://arxiv.org/abs/1512.03385",
        "tags": ("cnn", "small"),
        "config": {"depth": [2, 2], "act": None},
    }
    return BackboneSpec(**{**given, **changes})


def _text() -> BackboneSpec:
    return BackboneSpec(
        name="bert",
        modality="text",
        feature_dim=768,
        params=1,
        input=TextInput(max_length=128, pooling="mean", own_tokenizer=False),
        loader="module:load",
    )


SPECS = [_image(), _text()]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_spec_becomes_json_and_back_without_loss(spec: BackboneSpec) -> None:
    data = json.loads(json.dumps(spec.to_json(), allow_nan=False))
    again = BackboneSpec.from_json(data)
    assert again == spec
    assert again.to_json() == spec.to_json() == data
    assert hash(again) == hash(spec)
    assert list(data) == [field.name for field in fields(BackboneSpec)]


def test_every_spec_of_every_plugin_becomes_json_and_back() -> None:
    registry = Registry.discover()
    rows = list(registry.rows())
    assert rows
    for name, row in rows:
        spec = BackboneSpec.from_json(row)
        assert spec.to_json() == row, name


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_spec_is_pickled_and_copied(spec: BackboneSpec) -> None:
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert copy.deepcopy(spec) == spec
    assert copy.copy(spec) == spec


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        _image().feature_dim = 3  # type: ignore[misc]


def test_an_unknown_field_is_ignored_with_one_warning() -> None:
    inputs_module._warn_unknown.cache_clear()
    data = {**_image().to_json(), "colour": "blue"}
    with pytest.warns(UserWarning, match="'colour'") as caught:
        specs = [BackboneSpec.from_json(data) for _ in range(2)]
    assert specs == [_image(), _image()]
    assert len(caught) == 1


def test_an_unknown_field_of_a_part_is_ignored_too() -> None:
    inputs_module._warn_unknown.cache_clear()
    data = _image().to_json()
    data["weights"][0]["signed_by"] = "me"
    data["input"]["gamma"] = 2.2
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert BackboneSpec.from_json(data) == _image()
    assert sorted(str(w.message).split(" that")[0] for w in caught) == [
        "ImageInput has a field 'gamma'",
        "Weights has a field 'signed_by'",
    ]


@pytest.mark.parametrize(
    "data",
    [
        {"name": "x"},
        {**_image().to_json(), "input": 3},
        {**_image().to_json(), "weights": [1]},
        {**_image().to_json(), "weights": 3},
        {**_image().to_json(), "weights": [{"tag": "x"}]},
        {**_image().to_json(), "feature_dim": "wide"},
    ],
)
def test_json_of_another_shape_is_a_contract_error(data: dict[str, Any]) -> None:
    with pytest.raises(ContractError):
        BackboneSpec.from_json(data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "got ''"),
        ({"name": " x"}, "got ' x'"),
        ({"modality": "smell"}, "modality is 'smell'"),
        ({"input": TextInput()}, "TextInput, but the modality is 'image'"),
        ({"feature_dim": -1}, "feature_dim .* got -1"),
        ({"params": -1}, "params .* got -1"),
        ({"loader": "module"}, "loader .* got 'module'"),
        ({"weights": (Weights(tag="a", uri="u"), Weights(tag="a", uri="v"))}, "same tag"),
        (
            {
                "weights": tuple(Weights(tag=t, uri="u", default=True) for t in "ab"),
            },
            "only one of weights",
        ),
    ],
)
def test_a_spec_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        _image(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 0}, "size must be between 1 and .* got 0"),
        ({"crop": 0}, "crop must be .* got 0"),
        ({"crop": 1.1}, "crop must be .* and 1, got 1.1"),
    ],
)
def test_an_image_input_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        ImageInput(**changes)


@pytest.mark.parametrize(
    ("changes", "flaw"),
    [
        ({"mean": (0.5,)}, "mean must have one value per channel, got 1 for 3"),
        ({"mean": (9.0, 0.5, 0.5)}, "mean must be in"),
        ({"std": (0.5, 0.5, 0.0)}, "std must be greater than 0"),
        ({"channels": 4, "std": (1.0, 1.0)}, "std must have one value per channel, got 2 for 4"),
    ],
)
def test_a_mean_or_std_that_cannot_be_is_reported_where_it_is_used(
    changes: dict[str, Any], flaw: str
) -> None:
    given = ImageInput(**changes)
    assert flaw in given.flaw
    with pytest.raises(ContractError, match=flaw):
        ImageInput.from_json(given.to_json())


@pytest.mark.parametrize("changes", [{"max_length": 0}, {"vocab_size": 0}])
def test_a_text_input_that_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ContractError):
        TextInput(**changes)


@pytest.mark.parametrize(
    ("name", "plugin", "arch"),
    [
        ("resnet18", "", "resnet18"),
        ("torchvision/resnet18", "torchvision", "resnet18"),
        ("hf/org/name", "hf", "org/name"),
        ("path:/home/x/bert", "", "path:/home/x/bert"),
        ("path:bert", "", "path:bert"),
    ],
)
def test_a_name_has_a_plugin_and_an_architecture(name: str, plugin: str, arch: str) -> None:
    spec = _image(name=name)
    assert (spec.plugin, spec.arch) == (plugin, arch)


def test_a_namespace_and_another_input_leave_the_rest_as_it_is() -> None:
    spec = _image().in_namespace("torchvision").with_input(size=64)
    assert spec.name == "torchvision/resnet18"
    assert spec.image_input.size == 64
    assert spec == _image(
        name="torchvision/resnet18",
        input=ImageInput(size=64, crop=0.875, interpolation="bicubic", fixed_size=True),
    )


def test_the_default_weights_are_those_that_say_so() -> None:
    default = _image().default_weights
    assert default is not None
    assert default.tag == "V1"
    assert _text().default_weights is None
