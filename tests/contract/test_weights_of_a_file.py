"""That the tensors of a file become the network's, whatever the loader does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import zoo
from zoo.contract.spec import BackboneSpec, ImageInput, Weights
from zoo.errors import WeightsError
from zoo.registry.index import Index
from zoo.registry.policy import Policy
from zoo.registry.registry import Registry
from zoo.registry.resolution import Resolved
from zoo.testing.checks import CHECKS
from zoo.weights.loading.build import build
from zoo.weights.loading.load import read_state_dict, read_tensors

CHECK = CHECKS["the_weights_of_a_file_are_loaded"]
OWN = {"loaded": dict}
"""What a loader says that has read the weights by itself."""


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


def wrap(net: nn.Module, spec: BackboneSpec, **options: object) -> zoo.Backbone:
    return zoo.Backbone.wrap(net, spec=spec, head="1", stages={"body": ["0"]}, **options)  # type: ignore[arg-type]


def tensors(weights: Weights | None, module: nn.Module) -> dict[str, Tensor]:
    return read_state_dict(Path(weights.uri)) if weights else module.state_dict()


def only_builds(spec: BackboneSpec, weights: Weights | None) -> zoo.Backbone:
    return wrap(net(), spec)


def reads_and_says_so(spec: BackboneSpec, weights: Weights | None) -> zoo.Backbone:
    made = net()
    made.load_state_dict(tensors(weights, made))
    return wrap(made, spec, **OWN)


def claims_and_ignores(spec: BackboneSpec, weights: Weights | None) -> zoo.Backbone:
    return wrap(net(), spec, **OWN)


def loads_some(spec: BackboneSpec, weights: Weights | None) -> zoo.Backbone:
    made = net()
    state = {k: v for k, v in tensors(weights, made).items() if not k.startswith("0.3")}
    made.load_state_dict(state, strict=False)
    return wrap(made, spec, **OWN)


def renames_and_is_not_strict(spec: BackboneSpec, weights: Weights | None) -> zoo.Backbone:
    made = net()
    state = {f"model.{k}": v for k, v in tensors(weights, made).items()}
    made.load_state_dict(state, strict=False)
    return wrap(made, spec, from_native=lambda s: {f"model.{k}": v for k, v in s.items()})


def initialises_again(spec: BackboneSpec, weights: Weights | None) -> zoo.Backbone:
    made = net()
    made.load_state_dict(tensors(weights, made))
    for layer in made.modules():
        if isinstance(layer, nn.Linear):
            layer.weight.data.normal_()  # past the tensor's version counter
    return wrap(made, spec, **OWN)


def transposes(spec: BackboneSpec, weights: Weights | None) -> zoo.Backbone:
    def turn(state: dict[str, Tensor]) -> dict[str, Tensor]:
        return {k: v.T if v.shape == (4, 4) else v for k, v in state.items()}

    return wrap(net(), spec, from_native=turn)


def casts(spec: BackboneSpec, weights: Weights | None) -> zoo.Backbone:
    made = net()
    made.load_state_dict(tensors(weights, made))
    return wrap(made.to(torch.bfloat16).float() if weights else made, spec, **OWN)


def is_narrower(spec: BackboneSpec, weights: Weights | None) -> zoo.Backbone:
    return wrap(net().to(torch.bfloat16) if weights else net(), spec)


def shares(spec: BackboneSpec, weights: Weights | None) -> zoo.Backbone:
    made = net()
    if weights:
        first, second = made.get_submodule("0.2"), made.get_submodule("0.3")
        first.bias = second.bias
    return wrap(made, spec)


GOOD = ["only_builds", "reads_and_says_so"]
BAD = {
    "claims_and_ignores": "0.2.weight",
    "loads_some": "0.3.weight",
    "renames_and_is_not_strict": "missing: 0.2.weight",
    "initialises_again": "0.2.weight",
    "transposes": "0.3.weight",
    "casts": "0.2.weight",
    "is_narrower": "0.2.weight",
    "shares": "0.2.bias",
}


@pytest.mark.parametrize("loader", GOOD)
def test_the_values_of_a_file_are_the_networks(loader: str, tmp_path: Path) -> None:
    known = {k: torch.full_like(v, i + 0.5) for i, (k, v) in enumerate(net().state_dict().items())}
    save_file(known, tmp_path / "known.safetensors")
    spec = spec_of(loader)
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


def test_other_values_are_an_error_that_names_the_tensors(tmp_path: Path) -> None:
    save_file(net().state_dict(), tmp_path / "w.safetensors")
    weights = Weights(tag="file", uri=str(tmp_path / "w.safetensors"), classes=0)
    with pytest.raises(WeightsError, match=r"4.*4.*0\.2\.bias.*0\.2\.weight"):
        build(spec_of("claims_and_ignores"), weights)


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


def hands_on_its_own(spec: BackboneSpec, weights: Weights | None) -> zoo.Backbone:
    made = net()
    own = {k.removeprefix("0."): v for k, v in made.state_dict().items()}
    return wrap(made, spec, from_native=lambda s: {"0.3.bias": own["3.bias"]} | s)


@pytest.mark.parametrize("loader", ["hands_on_its_own", "loads_some"])
def test_parameters_that_the_weights_do_not_hold_are_named(loader: str, tmp_path: Path) -> None:
    state = {k: v for k, v in net().state_dict().items() if k not in ("0.3.bias", "0.3.weight")}
    if loader == "hands_on_its_own":
        state["0.3.weight"] = torch.ones(4, 4)
    save_file(state, tmp_path / "w.safetensors")
    weights = Weights(tag="V1", uri=str(tmp_path / "w.safetensors"), classes=2)
    (note,) = build(spec_of(loader), weights).weights_notes
    assert "0.3.bias" in note
    assert ("0.3.weight" in note) == (loader == "loads_some")


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
