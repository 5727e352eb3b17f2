"""That the tensors of a file become the network's, whatever the loader does."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import zoo
from zoo.contract.network.options import Convert
from zoo.contract.spec import BackboneSpec, ImageInput, Weights
from zoo.errors import ContractError, WeightsError
from zoo.registry.index import Index
from zoo.registry.policy import Policy
from zoo.registry.registry import Registry
from zoo.registry.resolution import Resolved
from zoo.testing.checks import CHECKS
from zoo.weights.loading.build import build
from zoo.weights.loading.load import read_tensors

CHECK = CHECKS["the_weights_of_a_file_are_loaded"]


def spec_of(loader: str) -> BackboneSpec:
    return BackboneSpec(
        name=f"bad/{loader}",
        modality="image",
        feature_dim=4,
        params=136,
        input=ImageInput(size=8, min_size=3),
        loader=f"{__name__}:{loader}",
    )


def net() -> nn.Sequential:
    body = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4), nn.Linear(4, 4))
    return nn.Sequential(body, nn.Linear(4, 2))


def wrap(net: nn.Module, spec: BackboneSpec, convert: Convert | None = None) -> zoo.Backbone:
    return zoo.Backbone.wrap(net, spec=spec, head="1", convert=convert)


def only_builds(spec: BackboneSpec) -> zoo.Backbone:
    return wrap(net(), spec)


def ignores_the_file(spec: BackboneSpec) -> zoo.Backbone:
    made = net()
    own = made.state_dict()
    return wrap(made, spec, lambda state: own)


def loads_nothing(spec: BackboneSpec) -> zoo.Backbone:
    class Deaf(nn.Sequential):
        def load_state_dict(self, *_: object, **__: object) -> Any:
            return None

    return wrap(Deaf(*net()), spec)


def drops_a_tensor(spec: BackboneSpec) -> zoo.Backbone:
    return wrap(net(), spec, lambda state: {k: v for k, v in state.items() if k != "0.3.weight"})


def drops_a_tensor_silently(spec: BackboneSpec) -> zoo.Backbone:
    made = net()
    own = made.get_submodule("0.3").weight
    return wrap(made, spec, lambda state: {**state, "0.3.weight": own})


def misnames_all(spec: BackboneSpec) -> zoo.Backbone:
    return wrap(net(), spec, lambda state: {f"model.{k}": v for k, v in state.items()})


def swaps_two(spec: BackboneSpec) -> zoo.Backbone:
    other = {"0.2.bias": "0.3.bias", "0.3.bias": "0.2.bias"}
    return wrap(net(), spec, lambda state: {other.get(k, k): v for k, v in state.items()})


def transposes(spec: BackboneSpec) -> zoo.Backbone:
    def turn(state: dict[str, Tensor]) -> dict[str, Tensor]:
        return {k: v.T if v.shape == (4, 4) else v for k, v in state.items()}

    return wrap(net(), spec, turn)


def is_narrower(spec: BackboneSpec) -> zoo.Backbone:
    return wrap(net().to(torch.bfloat16), spec)


def shares(spec: BackboneSpec) -> zoo.Backbone:
    made = net()
    first, second = made.get_submodule("0.2"), made.get_submodule("0.3")
    first.bias = second.bias
    return wrap(made, spec)


BAD = {
    "ignores_the_file": "0.2.weight",
    "loads_nothing": "0.2.weight",
    "drops_a_tensor": "missing: 0.3.weight",
    "drops_a_tensor_silently": "0.3.weight",
    "misnames_all": "missing: 0.2.weight",
    "swaps_two": "0.2.bias",
    "transposes": "0.3.weight",
}


def test_the_values_of_a_file_are_the_networks(tmp_path: Path) -> None:
    known = {k: torch.full_like(v, i + 0.5) for i, (k, v) in enumerate(net().state_dict().items())}
    save_file(known, tmp_path / "known.safetensors")
    spec = spec_of("only_builds")
    backbone = build(spec, Weights(tag="file", uri=str(tmp_path / "known.safetensors"), classes=0))
    found = backbone.native_state_dict()
    assert {k: float(v.mean()) for k, v in found.items() if k.startswith("0")} == {
        "0.2.weight": 0.5, "0.2.bias": 1.5, "0.3.weight": 2.5, "0.3.bias": 3.5,
    }  # fmt: skip
    CHECK(build(spec, None))


@pytest.mark.parametrize(("loader", "tensor"), BAD.items())
def test_the_check_catches_a_loader_that_gives_other_values(loader: str, tensor: str) -> None:
    with pytest.raises(AssertionError, match=tensor):
        CHECK(build(spec_of(loader), None))


@pytest.mark.parametrize(
    ("loader", "tensor"), [("is_narrower", "0.2.weight"), ("shares", "0.2.bias")]
)
def test_a_network_that_cannot_hold_the_values_of_a_file_is_an_error(
    loader: str, tensor: str, tmp_path: Path
) -> None:
    save_file({k: v.clone() for k, v in net().state_dict().items()}, tmp_path / "w.safetensors")
    weights = Weights(tag="file", uri=str(tmp_path / "w.safetensors"), classes=0)
    with pytest.raises(WeightsError, match=tensor):
        build(spec_of(loader), weights)


WRONG: Mapping[str, tuple[dict[str, Tensor], str]] = {
    "missing": ({"0.3.weight": torch.empty(0)}, "1 missing: 0.3.weight"),
    "extra": ({"0.4.weight": torch.ones(4)}, "1 unknown: 0.4.weight"),
    "misshapen": (
        {"0.3.weight": torch.ones(4, 3)},
        r"0\.3\.weight is \(4, 3\) instead of \(4, 4\)",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_tensors_that_do_not_fit_are_named(kind: str, tmp_path: Path) -> None:
    changed, words = WRONG[kind]
    state = {k: v for k, v in {**net().state_dict(), **changed}.items() if v.numel()}
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=words):
        build(spec_of("only_builds"), Weights(tag="f", uri=str(tmp_path / "w.safetensors")))


def test_tensors_that_the_publisher_says_are_lacking_start_random(tmp_path: Path) -> None:
    state = net().state_dict() | {"0.3.bias": torch.full((4,), torch.nan)}
    del state["0.3.weight"]
    save_file(state, tmp_path / "w.safetensors")
    weights = Weights(tag="f", uri=str(tmp_path / "w.safetensors"), classes=2, lacks=("0.3.*",))
    backbone = build(spec_of("only_builds"), weights)
    (note,) = backbone.weights_notes
    assert "2 are not among them" in note
    assert "0.3.weight, 0.3.bias" in note
    assert all(torch.isfinite(tensor).all() for tensor in backbone.state_dict().values())


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="contains no weights"):
        read_tensors(tmp_path)


HEADS = {
    "none": ({}, "they have no head"),
    "of three outputs": (
        {"1.weight": torch.full((3, 4), 0.5), "1.bias": torch.zeros(3)},
        "has 3 outputs, expected 2",
    ),
    "of two layers": (
        {"1.0.weight": torch.ones(5, 4), "1.2.weight": torch.ones(2, 5)},
        r"does not fit: 1\.0\.weight \(5, 4\), 1\.2\.weight \(2, 5\)",
    ),
}


def with_head(head: dict[str, Tensor], path: Path, classes: int) -> Weights:
    body = {k: v for k, v in net().state_dict().items() if k.startswith("0")}
    save_file(body | head, path)
    return Weights(tag="V1", uri=str(path), classes=classes, default=True)


@pytest.mark.parametrize("kind", HEADS)
def test_a_published_head_that_is_not_as_promised_is_an_error(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, words = HEADS[kind]
    weights = with_head(head, tmp_path / "w.safetensors", classes=2)
    spec = replace(spec_of("only_builds"), weights=(weights,))
    registry = Registry([], Policy(), Index(tmp_path))
    monkeypatch.setattr(registry, "resolve", lambda name: Resolved(spec, "auto", None))
    with pytest.raises(WeightsError, match=words):
        zoo.load("bad/only_builds", registry=registry)
    assert zoo.load("bad/only_builds", registry=registry, classes=7).outputs() == 7


@pytest.mark.parametrize(("kind", "kept"), [("none", "Identity"), ("of three outputs", "Linear")])
def test_without_a_promise_the_head_is_that_of_the_file_or_none(
    kind: str, kept: str, tmp_path: Path
) -> None:
    head, _ = HEADS[kind]
    backbone = build(spec_of("only_builds"), with_head(head, tmp_path / "w.safetensors", 0))
    assert (type(backbone.head).__name__, backbone.head_flaw) == (kept, "")
    if head:
        assert torch.equal(backbone.head.weight, head["1.weight"])


def hands_on_its_own(spec: BackboneSpec) -> zoo.Backbone:
    made = net()
    own = made.state_dict()
    return wrap(made, spec, lambda state: {"0.3.bias": own["0.3.bias"], **state})


def test_loading_warns_of_parameters_that_the_weights_do_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {k: v for k, v in net().state_dict().items() if k != "0.3.bias"}
    save_file(state, tmp_path / "w.safetensors")
    weights = Weights(tag="V1", uri=str(tmp_path / "w.safetensors"), classes=2, default=True)
    spec = replace(spec_of("hands_on_its_own"), weights=(weights,))
    registry = Registry([], Policy(), Index(tmp_path))
    monkeypatch.setattr(registry, "resolve", lambda name: Resolved(spec, "auto", None))
    with pytest.warns(UserWarning, match=r"1.*0\.3\.bias"):
        zoo.load("bad/hands_on_its_own", registry=registry)


class Pooled(nn.Module):
    """Features from a convolution, without a head or with one that is more than a linear layer."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = head

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.body(pixels))  # type: ignore[no-any-return]


def headless(spec: BackboneSpec) -> zoo.Backbone:
    return zoo.Backbone.wrap(Pooled(nn.Identity()), spec=spec, head="head")


def with_two_layers(spec: BackboneSpec) -> zoo.Backbone:
    head = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 2))
    return zoo.Backbone.wrap(Pooled(head), spec=spec, head="head")


def not_flat(spec: BackboneSpec) -> zoo.Backbone:
    return zoo.Backbone.wrap(Pooled(nn.Unflatten(1, (5, 1))), spec=spec, head="other")


def raises(spec: BackboneSpec) -> zoo.Backbone:
    return zoo.Backbone.wrap(nn.Sequential(nn.Conv2d(4, 5, 3)), spec=spec, head="head")


def open_spec(loader: Callable[[BackboneSpec], zoo.Backbone]) -> BackboneSpec:
    return BackboneSpec(name="bad/open", input=ImageInput(size=8, min_size=3), loader=loader)


@pytest.mark.parametrize(("loader", "params"), [(headless, 140), (with_two_layers, 198)])
def test_what_a_spec_leaves_open_is_measured(
    loader: Callable[[BackboneSpec], zoo.Backbone], params: int
) -> None:
    spec = open_spec(loader)
    assert (spec.modality, spec.loader) == ("image", f"{__name__}:{loader.__name__}")
    found = build(spec, None).spec
    assert (found.feature_dim, found.params) == (5, params)


@pytest.mark.parametrize(("loader", "words"), [(not_flat, r"\(2, 5, 1\)"), (raises, "channels")])
def test_features_without_a_width_are_an_error(
    loader: Callable[[BackboneSpec], zoo.Backbone], words: str
) -> None:
    with pytest.raises(ContractError, match=words):
        build(open_spec(loader), None)


def test_a_loader_must_be_importable() -> None:
    with pytest.raises(ContractError, match="lambda"):
        open_spec(lambda spec: headless(spec))


def test_a_head_of_several_layers_may_have_any_number_of_outputs(tmp_path: Path) -> None:
    state = Pooled(nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))).state_dict()
    save_file(state, tmp_path / "w.safetensors")
    weights = Weights(tag="f", uri=str(tmp_path / "w.safetensors"), classes=3)
    backbone = build(open_spec(with_two_layers), weights)
    assert (backbone.outputs(), backbone.head_flaw) == (3, "")
    assert torch.equal(backbone.head[2].weight, state["head.2.weight"])  # type: ignore[index]


def test_stages_are_by_default_the_children() -> None:
    def stages(net: nn.Module, head: str = "head") -> dict[str, tuple[str, ...]]:
        wrapped = zoo.Backbone.wrap(net, spec=open_spec(headless), head=head)
        return {stage.name: stage.paths for stage in wrapped.stages()}

    assert stages(Pooled(nn.Linear(5, 2))) == {"body": ("body",)}
    flat = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Linear(4, 2))
    assert stages(flat, "3") == {"0": ("0", "1"), "2": ("2",)}
    nested = nn.ModuleDict({"features": copy.deepcopy(flat), "head": nn.Linear(4, 2)})
    nested["features"].pop(3)  # type: ignore[operator]
    assert stages(nested) == {
        "features.0": ("features.0", "features.1"),
        "features.2": ("features.2",),
    }
    nested["features"].register_parameter("tokens", nn.Parameter(torch.zeros(2)))
    assert stages(nested)["features"] == ("features",)
    assert stages(nn.Linear(3, 4)) == {"network": ("weight", "bias")}
