"""The contract's own behaviour, on a network of a few layers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from zoo import Backbone, BackboneSpec, ImageInput, Stage, build
from zoo.contract.stages import Stages
from zoo.engine import adapters
from zoo.engine.recipe import Recipe
from zoo.errors import ContractError, HeadWidthError, PluginError, StageError, WeightsError
from zoo_timm.library import timm

LORA = Recipe(
    head_solver="adamw",
    strategy="lora",
    epochs=1,
    probe_epochs=1,
    lr=1e-3,
    probe_lr=1e-3,
    layer_decay=1.0,
    weight_decay=0.0,
    lora_rank=2,
)
SPEC = BackboneSpec(
    name="test/small",
    modality="image",
    feature_dim=8,
    params=0,
    input=ImageInput(size=8),
    loader="nowhere:load",
)


def small_net() -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)),
        nn.Sequential(nn.Conv2d(4, 8, 3, groups=4), nn.BatchNorm2d(8), nn.Dropout(0.5)),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(8, 10),
    )


@pytest.fixture
def backbone() -> Backbone:
    return Backbone.wrap(small_net(), spec=SPEC, head="3", stages={"first": ["0"], "second": ["1"]})


IMAGES = torch.randn(4, 3, 8, 8)


def test_forward_is_the_native_output_with_the_published_head() -> None:
    torch.manual_seed(0)
    net = small_net().eval()
    native = net(IMAGES)
    backbone = Backbone.wrap(net, spec=SPEC, head="3", stages=["0", "1"]).eval()
    assert torch.equal(backbone(IMAGES), native)
    assert torch.equal(backbone({"pixel_values": IMAGES}), native)


def test_a_number_stands_for_a_linear_head(backbone: Backbone) -> None:
    backbone.replace_head(3)
    assert backbone(IMAGES).shape == (4, 3)


def test_a_head_of_another_width_is_refused_and_changes_nothing(backbone: Backbone) -> None:
    before = backbone.head
    with pytest.raises(HeadWidthError, match="width 8") as error:
        backbone.replace_head(nn.Linear(9, 2))
    assert "(B, 8)" in error.value.hint
    assert backbone.head is before


def test_a_head_that_keeps_more_than_two_dimensions_is_refused(backbone: Backbone) -> None:
    with pytest.raises(HeadWidthError, match=r"\(2, 8, 1\)"):
        backbone.replace_head(nn.Unflatten(1, (8, 1)))


def test_a_parameter_outside_every_stage_is_a_broken_contract() -> None:
    with pytest.raises(ContractError, match=r"1\.0\.weight"):
        Backbone.wrap(small_net(), spec=SPEC, head="3", stages=["0"])


def test_an_option_that_does_not_exist_is_an_error() -> None:
    options = {"prefix_token": 1}
    with pytest.raises(TypeError, match="prefix_token"):
        Backbone.wrap(small_net(), spec=SPEC, head="3", stages=["0", "1"], **options)


def test_a_stage_without_parameters_is_a_broken_contract() -> None:
    with pytest.raises(ContractError, match="without parameters: 2"):
        Backbone.wrap(small_net(), spec=SPEC, head="3", stages=["0", "1", "2"])


def test_an_unknown_stage_names_those_that_exist(backbone: Backbone) -> None:
    with pytest.raises(StageError, match="'second'") as error:
        backbone.freeze(upto="secnd")
    assert error.value.hint == "Its stages, input first: first, second."


def test_freezing_up_to_a_stage_leaves_the_rest_training(backbone: Backbone) -> None:
    backbone.freeze(upto="first")
    trained = {name for name, p in backbone.named_parameters() if p.requires_grad}
    assert trained == {"net.1.0.weight", "net.1.0.bias", "net.1.1.weight", "net.1.1.bias"} | {
        "head.weight",
        "head.bias",
    }


def test_frozen_batchnorm_statistics_do_not_move_after_train(backbone: Backbone) -> None:
    backbone.freeze(upto="first")
    backbone.train()
    frozen, trained = backbone.net[0][1], backbone.net[1][1]
    before = frozen.running_mean.clone(), trained.running_mean.clone()
    backbone(IMAGES)
    assert torch.equal(frozen.running_mean, before[0])
    assert not torch.equal(trained.running_mean, before[1])


def test_frozen_dropout_is_off_after_train(backbone: Backbone) -> None:
    backbone.freeze()
    backbone.train()
    assert torch.equal(backbone.features(IMAGES), backbone.features(IMAGES))
    backbone.unfreeze("second")
    assert not torch.equal(backbone.features(IMAGES), backbone.features(IMAGES))


def test_one_layer_can_be_frozen_and_unfrozen(backbone: Backbone) -> None:
    backbone.freeze("1.1")
    assert not backbone.net[1][1].weight.requires_grad
    assert backbone.net[1][0].weight.requires_grad
    assert not backbone.train().net[1][1].training
    backbone.unfreeze("1.1")
    assert backbone.net[1][1].training


def test_unfreezing_down_to_a_stage(backbone: Backbone) -> None:
    backbone.freeze()
    backbone.unfreeze(downto="second")
    assert not backbone.net[0][0].weight.requires_grad
    assert backbone.net[1][0].weight.requires_grad


def test_adapter_targets_leave_out_grouped_convolutions_and_the_head(backbone: Backbone) -> None:
    assert backbone.adapter_targets() == ["0.0"]


def test_native_names_include_the_head(backbone: Backbone) -> None:
    backbone.replace_head(5)
    plain = small_net()
    plain[3] = nn.Linear(8, 5)
    plain.load_state_dict(backbone.native_state_dict())
    assert torch.equal(plain.eval()(IMAGES), backbone.eval()(IMAGES))


def test_weights_of_another_architecture_are_refused_by_name(backbone: Backbone) -> None:
    before = backbone.net[0][0].weight.clone()
    state = dict(backbone.native_state_dict())
    state["0.0.weight"] = torch.zeros(4, 3, 5, 5)
    state["layer9.weight"] = state.pop("1.0.bias")
    with pytest.raises(WeightsError, match="do not fit test/small") as error:
        backbone.load_native_state_dict(state)
    for part in ("1 missing: 1.0.bias", "1 unknown: layer9.weight", "(4, 3, 5, 5)"):
        assert part in error.value.message
    assert torch.equal(backbone.net[0][0].weight, before)


def test_a_linear_head_of_any_width_is_taken_over(backbone: Backbone) -> None:
    state = {k: v.clone() for k, v in backbone.native_state_dict().items()}
    backbone.replace_head(2)
    with pytest.raises(WeightsError, match="weight is"):
        backbone.load_native_state_dict(state, strict_head=True)
    assert backbone.load_native_state_dict(state) is True
    assert torch.equal(backbone.head.weight, state["3.weight"])
    assert backbone.outputs() == 10
    assert (backbone.weights_notes, backbone.head_flaw) == ((), "")


def test_a_loader_that_does_not_exist_is_the_plugins_fault() -> None:
    from zoo import build

    with pytest.raises(PluginError, match="nowhere:load"):
        build(SPEC, None)


def test_two_stages_of_one_name_are_a_broken_contract() -> None:
    with pytest.raises(ContractError, match="two stages have the same name"):
        Stages("test/small", [Stage("a", ("0",)), Stage("a", ("1",))]).check(["0.w", "1.w"])


def nothing(spec: BackboneSpec) -> nn.Module:
    """A loader that has forgotten to wrap its network."""
    return small_net()


def test_a_loader_that_returns_a_plain_network_is_named() -> None:
    spec = replace(SPEC, loader=f"{__name__}:nothing")
    with pytest.raises(PluginError, match=r"zoo\.Backbone"):
        build(spec, None)


class Experts(nn.Module):
    """A layer whose matrices are parameters of its own, beside a convolution over a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 4, 1, bias=False)  # 12
        self.experts = nn.Parameter(torch.zeros(2, 4, 6))  # 48
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2, bias=False))  # 6
        self.head = nn.Identity()


def test_lora_says_what_share_of_the_weights_it_stands_beside() -> None:
    backbone = Backbone.wrap(
        Experts(), spec=SPEC, head="head", stages=["conv", "experts", "normed"]
    )
    assert backbone.adapter_targets() == ["conv"]
    adapters.insert(backbone, LORA)
    assert adapters.in_words(backbone) == "LoRA on 1 layer with 18% of the backbone's weights"


def test_lora_beside_embeddings_alone_is_reported() -> None:
    net = nn.Sequential(nn.Embedding(5, 4), nn.LSTM(4, 4), nn.Identity())
    backbone = Backbone.wrap(net, spec=SPEC, head="2", stages=["0", "1"])
    adapters.insert(backbone, LORA)
    words = "LoRA on 1 embedding only with 11% of the backbone's weights"
    assert adapters.in_words(backbone) == words


class Standardised(nn.Conv2d):
    """A convolution that is not linear in its weight."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self._conv_forward(pixels, self.weight / self.weight.std(), self.bias)


def test_lora_leaves_out_convolutions_that_change_their_weight_before_use() -> None:
    net = nn.Sequential(Standardised(3, 4, 1), nn.Conv2d(4, 8, 1), nn.Identity())
    backbone = Backbone.wrap(net, spec=SPEC, head="2", stages=["0", "1"])
    assert backbone.adapter_targets() == ["1"]
    adapters.insert(backbone, LORA)
    assert "not on 1 Standardised" in adapters.in_words(backbone)


def test_lora_adapts_padded_convolutions_of_other_libraries_and_merging_changes_nothing() -> None:
    Conv2dSame = timm.layers.Conv2dSame  # noqa: N806
    net = nn.Sequential(
        Conv2dSame(3, 4, 3, stride=2), nn.Conv2d(4, 8, 1), nn.Flatten(), nn.Identity()
    )
    backbone = Backbone.wrap(net, spec=SPEC, head="3", stages=["0", "1"]).eval()
    state = torch.get_rng_state()
    assert backbone.adapter_targets() == ["0", "1"]
    assert torch.equal(torch.get_rng_state(), state)  # trying a layer draws no random numbers
    adapters.insert(backbone, LORA)
    for path, parameter in backbone.net.named_parameters():
        if ".lora_" in path:
            nn.init.normal_(parameter, std=0.1)
    images = torch.randn(2, 3, 15, 15)
    with torch.no_grad():
        beside = backbone.net(images)
        adapters.merge(backbone)
        torch.testing.assert_close(backbone.net(images), beside, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:torch.quantize:UserWarning")
@pytest.mark.parametrize("kind", ["packed", "integers"])
def test_a_quantized_network_is_refused_in_words(kind: str) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.Linear(4, 8), nn.Identity())
    if kind == "packed":
        net[2] = torch.ao.nn.quantized.dynamic.Linear(4, 8)
    else:
        codes = torch.zeros(8, 4, dtype=torch.int8)
        net[2].weight = nn.Parameter(codes, requires_grad=False)  # type: ignore[assignment]
    with pytest.raises(ContractError, match=r"quantized and cannot be trained: 2\."):
        Backbone.wrap(net, spec=SPEC, head="3", stages=["1", "2"])


def test_integers_in_a_file_are_not_taken_for_weights(backbone: Backbone) -> None:
    state = {k: v.clone() for k, v in backbone.native_state_dict().items()}
    state["0.0.weight"] = torch.ones_like(state["0.0.weight"], dtype=torch.int8)
    with pytest.raises(WeightsError, match=r"1 of \d+ tensors differ: 0\.0\.weight"):
        backbone.load_native_state_dict(state)
