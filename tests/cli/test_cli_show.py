"""``zoo show``: facts, weights, stages, the head, the module tree."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from tests.cli.conftest import Zoo
from zoo import BackboneSpec


def test_facts_weights_stages_and_head_are_shown(zoo: Zoo) -> None:
    result = zoo("show", "vgg16")
    assert result.code == 0
    for pattern in (
        r"^name +torchvision/vgg16$",
        r"^params +138,357,544$",
        r"^input +224 px \(channels 3, crop 0.875",
        r"^IMAGENET1K_V1 +default .*imagenet1k/top1 71.592",
        r"^block5 +7,079,424 +yes$",
        r"^classifier.6: Linear, 4096 -> 1000$",
    ):
        assert re.search(pattern, result.out, re.MULTILINE), pattern


def test_json_is_the_spec_with_stages_and_head(zoo: Zoo) -> None:
    document = zoo("show", "resnet18", "--json").document
    assert {field.name for field in fields(BackboneSpec)} <= set(document)
    assert document["name"] == "torchvision/resnet18"
    stages, head = document["stages"], document["head"]
    assert [stage["name"] for stage in stages] == ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert sum(stage["params"] for stage in stages) + head["params"] == document["params"]
    assert (head["path"], head["feature_dim"], head["outputs"]) == ("fc", 512, 1000)
    assert "layers" not in document


def test_layers_show_shapes_and_what_trains(zoo: Zoo) -> None:
    layers = zoo("show", "resnet18", "--layers", "--freeze-until", "layer4", "--json").document
    by_path = {layer["path"]: layer for layer in layers["layers"]}
    assert by_path["conv1"]["parameters"] == {"weight": [64, 3, 7, 7]}
    assert by_path["conv1"]["trains"] == []
    assert by_path["fc"]["trains"] == ["weight", "bias"]
    assert [path for path in by_path if path == "fc"] == ["fc"], "the head stands there once"
    assert list(by_path)[-1] == "fc"
    text = zoo("show", "resnet18", "--layers", "--freeze-until", "layer4").out
    assert re.search(r"^  conv1 +Conv2d +weight 64x3x7x7 +no$", text, re.MULTILINE)
    assert text.splitlines()[-1].endswith("weight 1000x512, bias 1000  yes")


def test_a_stage_that_does_not_exist_is_an_error(zoo: Zoo) -> None:
    result = zoo("show", "resnet18", "--freeze-until", "layer9", "--json")
    assert (result.code, result.out) == (1, "")
    assert "Its stages, input first: stem, layer1" in result.err


def test_the_weights_that_a_name_asks_for_are_marked(zoo: Zoo) -> None:
    result = zoo("show", "torchvision/resnet50.IMAGENET1K_V1")
    assert re.search(r"^IMAGENET1K_V1 +requested ", result.out, re.MULTILINE)


def test_the_facts_appear_although_it_cannot_be_built(zoo: Zoo, acme: Path) -> None:
    result = zoo("show", "middle")
    assert result.code == 0
    assert "acme/middle\n" in result.out
    assert "the loader 'nowhere:load' of acme/middle" in result.err
    document = zoo("show", "middle", "--json").document
    assert document["name"] == "acme/middle"
    assert (document["stages"], document["head"]) == (None, None)
    assert "nowhere" in document["build_error"]


def test_weights_on_this_machine_are_reported(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    before = zoo("show", "resnet18", "--json").document["weights"][0]
    assert before["cached"] is False
    file = tmp_path / "hub" / "checkpoints" / before["uri"].rpartition("/")[2]
    file.parent.mkdir(parents=True)
    file.touch()
    assert zoo("show", "resnet18", "--json").document["weights"][0]["cached"] is True
