"""A check of ``zoo check`` fails where the command that it stands for would, and not elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import zoo
from zoo.contract.network.options import AdapterTargets
from zoo.contract.spec import BackboneSpec, ImageInput
from zoo.errors import PluginError
from zoo.testing import suite
from zoo.testing.checks import CHECKS, modes
from zoo.testing.suite import CheckResult, examine, run_check
from zoo.weights.loading.build import build


def spec_of(loader: str) -> BackboneSpec:
    return BackboneSpec(
        name=f"strict/{loader}",
        modality="image",
        feature_dim=4,
        params=0,
        input=ImageInput(size=8, min_size=3),
        loader=f"{__name__}:{loader}",
    )


def outcome(check: str, loader: str) -> CheckResult:
    torch.manual_seed(0)
    return run_check(CHECKS[check], build(spec_of(loader), None))


class OneSize(nn.Module):
    """Reshapes by the batch size that it saw first, as a constant of the traced program."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(3, 4)

    def forward(self, pixels: Tensor) -> Tensor:
        rows = int(pixels.shape[0])
        assert rows in (1, 2, 3, 5), "only batches that were seen"
        return self.last(pixels.mean((2, 3)).reshape(rows, 3))


def one_size(spec: BackboneSpec) -> zoo.Backbone:
    return zoo.Backbone.wrap(OneSize(), spec=spec, head="head")


def test_an_export_needs_any_batch_size() -> None:
    found = outcome("can_be_exported", "one_size")
    assert found.status == "failed"
    assert "any batch size" in found.message
    assert outcome("can_be_exported", "called_by_name").status == "passed"


class NotInOnnx(OneSize):
    def forward(self, pixels: Tensor) -> Tensor:
        return self.last(torch.special.bessel_j0(pixels.mean((2, 3))))


def not_in_onnx(spec: BackboneSpec) -> zoo.Backbone:
    return zoo.Backbone.wrap(NotInOnnx(), spec=spec, head="head")


@pytest.mark.long
def test_onnx_is_written_as_the_command_writes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    check = "can_be_written_as_onnx"
    assert outcome(check, "called_by_name").status == "passed"
    found = outcome(check, "not_in_onnx")
    assert (found.status, "bessel_j0" in found.message) == ("failed", True), found.message
    monkeypatch.setattr(modes, "write_onnx", lambda *_: None)
    monkeypatch.setattr(modes, "run_onnx", lambda folder: lambda batch: torch.ones(3, 2))
    assert "ONNX Runtime gives other outputs" in outcome(check, "called_by_name").message
    monkeypatch.setattr(modes, "find_spec", lambda name: None)
    found = outcome(check, "called_by_name")
    assert found.status == "skipped"
    assert "onnxruntime" in found.message


def test_what_takes_long_is_checked_once_per_family(monkeypatch: pytest.MonkeyPatch) -> None:
    check = "can_be_written_as_onnx"
    monkeypatch.setattr(suite, "CHECKS", {check: CHECKS[check]})
    _, found = examine(spec_of("small"), smallest="strict/smaller")
    assert (found.check, found.status) == (check, "skipped")
    assert "strict/smaller" in found.message


class ByName(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
        self.head = nn.Linear(4, 2)

    def forward(self, *, images: Tensor, scale: float) -> Tensor:
        return self.head(self.body(images * scale))


def by_name(net: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    return net(images=batch["pixel_values"], scale=2.0)


def called_by_name(spec: BackboneSpec) -> zoo.Backbone:
    return zoo.Backbone.wrap(ByName(), spec=spec, head="head", extract=by_name)


def only_body(spec: BackboneSpec) -> zoo.Backbone:
    return zoo.Backbone.wrap(
        ByName(), spec=spec, head="head", extract=lambda net, batch: net.body(batch["pixel_values"])
    )


class Wrong(ByName):
    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        return self.head(self.body(images).relu() + 1)


def wrong(spec: BackboneSpec) -> zoo.Backbone:
    return zoo.Backbone.wrap(
        Wrong(), spec=spec, head="head", extract=lambda net, batch: net.body(batch["pixel_values"])
    )


@pytest.mark.parametrize(
    ("loader", "status"),
    [("called_by_name", "passed"), ("only_body", "skipped"), ("wrong", "failed")],
)
def test_the_network_is_called_as_its_author_calls_it(loader: str, status: str) -> None:
    found = outcome("outputs_match_the_native_network", loader)
    assert found.status == status, found.message


class Odd(nn.Conv2d):
    """Its arguments come in another order than PEFT gives them: padding as dilation."""

    def __init__(
        self, inputs: int, outputs: int, size: int, stride: int = 1, dilation: int = 1, **more: bool
    ) -> None:
        super().__init__(inputs, outputs, size, stride, dilation=dilation, **more)


def odd_layers(spec: BackboneSpec, also: tuple[str, ...] = ()) -> zoo.Backbone:
    net = nn.Sequential(
        nn.Conv2d(3, 6, 1), Odd(6, 4, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    return zoo.Backbone.wrap(net, spec=spec, head="4", adapters=AdapterTargets(also=also))


def odd_target(spec: BackboneSpec) -> zoo.Backbone:
    return odd_layers(spec, ("1",))


class Doubled(nn.Linear):
    """Uses its weight in a way that an adapter beside it does not."""

    def forward(self, given: Tensor) -> Tensor:
        return nn.functional.linear(given, self.weight / self.weight.norm(), self.bias)


def doubled_target(spec: BackboneSpec) -> zoo.Backbone:
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), Doubled(3, 4), nn.Linear(4, 2))
    return zoo.Backbone.wrap(net, spec=spec, head="3", adapters=AdapterTargets(also=("2",)))


def test_adapters_are_really_added() -> None:
    check = "adapters_can_be_added_and_merged"
    assert outcome(check, "odd_layers").status == "passed", "the odd layer is left out"
    assert "non-positive" in outcome(check, "odd_target").message
    assert "merging the adapters changes" in outcome(check, "doubled_target").message


class Rough(nn.Module):
    """Differs by rounding alone between a sample alone and in a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(3, 4)

    def forward(self, pixels: Tensor) -> Tensor:
        features = self.last(pixels.mean((2, 3)))
        order = 1e4 * len(pixels)
        return features + 3e3 * ((features + order) - order - features)


def rough(spec: BackboneSpec) -> zoo.Backbone:
    return zoo.Backbone.wrap(Rough(), spec=spec, head="head")


class Depends(Rough):
    def forward(self, pixels: Tensor) -> Tensor:
        return self.last(pixels.mean((2, 3))) * (1 + 0.01 * len(pixels))


def depends(spec: BackboneSpec) -> zoo.Backbone:
    return zoo.Backbone.wrap(Depends(), spec=spec, head="head")


def test_rounding_alone_is_no_failure() -> None:
    check = "features_do_not_depend_on_the_batch"
    assert outcome(check, "rough").status == "passed"
    assert outcome(check, "depends").status == "failed"
    sixteen = outcome("works_under_bfloat16_autocast", "rough")
    assert sixteen.status == "skipped", sixteen.message


def small(spec: BackboneSpec) -> zoo.Backbone:
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4), nn.Linear(4, 2))
    return zoo.Backbone.wrap(net, spec=spec, head="3")


@pytest.mark.parametrize(
    ("drop", "classes", "status", "fact"),
    [
        ((), 2, "passed", ""),
        (("3.weight", "3.bias"), 0, "passed", ""),
        (("3.weight", "3.bias"), 2, "failed", "v1: they have no head, expected one with 2"),
        (("2.bias",), 2, "failed", "v1: .*missing.*bias"),
        (None, 2, "skipped", "none of its weights are on this machine"),
    ],
)
def test_weights_on_this_machine_are_opened(
    drop: tuple[str, ...] | None, classes: int, status: str, fact: str, tmp_path: Path
) -> None:
    spec = spec_of("small")
    if drop is not None:
        state = build(spec, None).native_state_dict()
        kept = {key: tensor for key, tensor in state.items() if key not in drop}
        save_file(kept, tmp_path / "v1.safetensors")
    weights = zoo.Weights(tag="v1", uri=str(tmp_path / "v1.safetensors"), classes=classes)
    made = build(replace(spec, weights=(weights,)), None)
    found = run_check(CHECKS["local_weights_are_loaded"], made)
    assert found.status == status, found.message
    assert re.search(fact, found.message)


def leaves(spec: BackboneSpec) -> zoo.Backbone:
    raise SystemExit(3)


def test_a_loader_that_calls_sys_exit_is_an_error_that_names_it() -> None:
    with pytest.raises(
        PluginError, match=r":leaves' of strict/leaves raised SystemExit: 3"
    ) as told:
        build(spec_of("leaves"), None)
    assert "zoo check strict/leaves" in told.value.hint
    (first,) = examine(spec_of("leaves"))
    assert (first.check, first.status) == ("can_be_built", "failed")
    assert "SystemExit: 3" in first.message
