"""timm's architectures keep the contract, and stay exchangeable with plain timm.

The smallest architecture of every model file of timm is checked, on images of the smallest size
that it takes: the small ones are tried and trained; of the others shapes and names are checked.
Every day that is done for timm's own test networks and a quarter of the others, in CI for some
more; the rest and the proof over the whole catalogue are marked long.
"""

from __future__ import annotations

import copy
import logging
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import zoo
from tests.contract import checks
from zoo import Backbone, BackboneSpec, Weights
from zoo.errors import ContractError, UsageError, WeightsError
from zoo.testing import META_CHECKS, parametrize_backbones, without_values
from zoo_timm import catalogue, heads, plugin, rows
from zoo_timm.accuracies import with_known_accuracies
from zoo_timm.catalogue import describe
from zoo_timm.heads import find_layout
from zoo_timm.library import timm
from zoo_timm.loader import assemble, build, load

ROWS = {spec.name: spec for spec in plugin.zoo_backbones()}
TRAINED = 2_500_000
"""Parameters up to which the whole contract is tried; the costs are those of training."""
EVERYDAY = 20_000_000
"""Parameters up to which shapes and names are checked every day; beyond, in the slow suite."""
SLOW_ANYHOW = {"halonet_h1"}
"""Their attention takes seconds on any input; others of their file stand in for them."""

FILLED = 30_000_000
"""Parameters up to which networks have values: on small images a forward pass takes a fifth of the
time that it takes on the meta device, and only beyond does filling them take longer."""

same_timm = pytest.mark.skipif(
    timm.__version__ != rows.library_version(rows.CATALOGUE),
    reason="the catalogue was made from another version of timm",
)


def model_file(spec: BackboneSpec) -> str:
    return spec.tags[0]


def smallest_of_each_file() -> list[str]:
    """The smallest architecture of every model file."""
    ranked = sorted(ROWS.values(), key=lambda spec: (-spec.params, spec.name))
    smallest = {model_file(spec): spec.name for spec in ranked if spec.name not in SLOW_ANYHOW}
    return sorted(smallest.values())


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def smallest_input(name: str) -> BackboneSpec:
    """The row, for the smallest images that the network takes, 64 pixels where it need not be built for a size."""
    spec = ROWS[name].in_namespace("timm")
    image = spec.image_input
    patch = re.search(r"patch(\d+)", name)
    step = int(patch[1]) if patch else 1  # a size between would leave rows and columns unread
    smallest = -(-image.min_size // step) * step
    side = smallest if image.fixed_size else min(image.fitting(64), image.size)
    return spec.with_input(size=side)


def images(spec: BackboneSpec, count: int = 2) -> Tensor:
    side = spec.image_input.size
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def with_spread_heads(net: nn.Module) -> nn.Module:
    """``net`` with heads (and shares of heads) that are far from zero and from each other."""
    generator = torch.Generator().manual_seed(1)
    layout = find_layout(net)
    paths = [path for group in layout.groups for path in group]
    with torch.no_grad():
        for path in paths:
            for parameter in net.get_submodule(path).parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
        for mix in layout.mixes:
            getattr(net, mix).copy_(torch.randn(getattr(net, mix).shape, generator=generator))
    return net.eval()


def close(given: Tensor, wanted: Tensor) -> bool:
    scale = max(1.0, float(wanted.abs().max()))
    return float((given - wanted).abs().max()) <= 1e-5 * scale


# -- the catalogue ---------------------------------------------------------------------------


def test_the_catalogue_is_read_without_torch_and_without_timm() -> None:
    code = (
        "import sys; from zoo_timm import plugin; n = len(list(plugin.zoo_backbones()));"
        "print(n, [m for m in ('torch', 'timm', 'torchvision') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split(" ", 1)[1].strip() == "[]"
    assert int(done.stdout.split()[0]) == len(ROWS)


@same_timm
def test_only_the_encoders_without_a_classifier_are_left_out() -> None:
    left_out = set(timm.list_models()) - ROWS.keys()
    assert ROWS.keys() <= set(timm.list_models())
    assert len(left_out) == 7
    assert all(name.endswith("_enc") for name in left_out)
    if timm.__version__ == "1.0.31":
        assert len(ROWS) == 1364


@pytest.mark.parametrize("name", ["gemma4_vit_167m_enc", "mobilenetv5_300m_enc"])
def test_an_architecture_that_cannot_classify_gets_no_row(name: str) -> None:
    if not timm.is_model(name):
        pytest.skip(f"timm {timm.__version__} has no {name}")
    assert describe(name) is None


@same_timm
@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "vit_tiny_patch16_224",
        *(pytest.param(n, marks=pytest.mark.long) for n in ("volo_d1_224", "dla34", "csatv2")),
    ],
)
def test_a_row_made_again_is_the_row_of_the_catalogue(name: str) -> None:
    [row] = with_known_accuracies([describe(name)], ROWS.values())
    assert row == ROWS[name]


def test_a_network_that_gives_another_width_than_it_states_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = timm.create_model

    def lying(*args: object, **options: object) -> nn.Module:
        net = made(*args, **options)
        net.head_hidden_size = 100
        return net

    monkeypatch.setattr(timm, "create_model", lying)
    with pytest.raises(ContractError):
        describe("test_resnet")


@same_timm
def test_every_pretrained_tag_is_listed_with_what_timm_says_of_it() -> None:
    listed = {f"{spec.name}.{w.tag}" for spec in ROWS.values() for w in spec.weights}
    encoders = {name for name in timm.list_pretrained() if name.split(".")[0] not in ROWS}
    assert listed == set(timm.list_pretrained()) - encoders
    for spec in ROWS.values():
        for weights in spec.weights:
            config = timm.models.get_pretrained_cfg(f"{spec.name}.{weights.tag}")
            image = weights.input or spec.image_input
            assert (image.mean, image.std) == (tuple(config.mean), tuple(config.std))
            assert image.size in config.input_size[1:]
            assert image.crop == min(config.crop_pct, 1.0)
            assert (image.interpolation, image.crop_mode) == (
                config.interpolation,
                config.crop_mode,
            )
            assert weights.classes == config.num_classes
            assert bool(weights.license) == (config.license not in (None, "unknown"))
            place = f"hf:{config.hf_hub_id}/" if config.hf_hub_id else config.url
            assert weights.uri.startswith(place)


@same_timm
def test_the_default_weights_are_those_that_timm_takes() -> None:
    for spec in ROWS.values():
        config = timm.models.get_pretrained_cfg(spec.name)
        default = spec.default_weights
        assert (default.tag if default else None) == (config.tag if config.has_weights else None)


def test_rows_survive_the_file(tmp_path: Path) -> None:
    rows.write(ROWS.values(), tmp_path / "catalogue.json", version="1", accuracies="https://…")
    assert rows.read(tmp_path / "catalogue.json") == list(ROWS.values())
    assert (tmp_path / "catalogue.json").stat().st_size < 1_500_000


# -- the contract ----------------------------------------------------------------------------


SELECTED = smallest_of_each_file()
SMALL = [smallest_input(name) for name in SELECTED if ROWS[name].params <= TRAINED]
LARGER = [smallest_input(name) for name in SELECTED if ROWS[name].params > TRAINED]
MEDIUM = [spec for spec in LARGER if spec.params <= EVERYDAY]
HEAVY = [spec for spec in LARGER if spec.params > EVERYDAY]
IN_CI = 24
"""One of so many larger networks and model files is checked in CI, all by ``./check --long``."""
TINY = [smallest_input(name) for name in ("test_convnext", "test_resnet", "test_vit")]


@parametrize_backbones(TINY, checks=checks.QUICK)
def test_tiny_networks_keep_the_contract(check: Callable[[], None]) -> None:
    check()


@pytest.mark.slow
@parametrize_backbones(SMALL[::4], checks=checks.QUICK)
def test_some_small_networks_keep_the_contract(check: Callable[[], None]) -> None:
    check()


@pytest.mark.long
@parametrize_backbones(SMALL, checks=checks.QUICK)
def test_small_networks_keep_the_contract(check: Callable[[], None]) -> None:
    check()


@parametrize_backbones(MEDIUM[::4], checks=checks.SHAPES, max_params=FILLED)
def test_larger_networks_keep_the_contract_in_shapes_and_names(check: Callable[[], None]) -> None:
    check()


@pytest.mark.long
@parametrize_backbones(
    [spec for i, spec in enumerate(MEDIUM) if i % 4], checks=checks.SHAPES, max_params=FILLED
)
def test_the_other_larger_networks_keep_the_contract_in_shapes_and_names(
    check: Callable[[], None],
) -> None:
    check()


@pytest.mark.long
@parametrize_backbones(HEAVY, checks=checks.SHAPES, max_params=FILLED)
def test_heavy_networks_keep_the_contract_in_shapes_and_names(check: Callable[[], None]) -> None:
    check()


@parametrize_backbones(TINY[1:2], checks=checks.LONG)
def test_a_tiny_network_keeps_what_takes_long_to_check(check: Callable[[], None]) -> None:
    check()


@pytest.mark.slow
@parametrize_backbones([TINY[0], TINY[2]], checks=checks.LONG)
def test_tiny_networks_keep_what_takes_long_to_check(check: Callable[[], None]) -> None:
    check()


@pytest.mark.long
@parametrize_backbones(TINY, checks=[checks.ONNX])
def test_tiny_networks_can_be_written_as_onnx(check: Callable[[], None]) -> None:
    check()


@pytest.mark.long
@parametrize_backbones(SMALL, checks=[checks.FREEZING])
def test_small_networks_rest_where_they_are_frozen(check: Callable[[], None]) -> None:
    check()


@pytest.mark.slow
@parametrize_backbones(LARGER[::IN_CI], checks=checks.STRUCTURE, max_params=FILLED)
def test_some_larger_networks_keep_the_contract_in_stages_heads_and_adapters(
    check: Callable[[], None],
) -> None:
    check()


@pytest.mark.long
@parametrize_backbones(LARGER, checks=checks.STRUCTURE, max_params=FILLED)
def test_larger_networks_keep_the_contract_in_stages_heads_and_adapters(
    check: Callable[[], None],
) -> None:
    check()


@pytest.mark.long
@parametrize_backbones(
    LARGER,
    checks=META_CHECKS.keys() - {*checks.SHAPES, *checks.STRUCTURE, checks.SIZE},
    max_params=FILLED,
)
def test_larger_networks_keep_all_of_the_contract_that_needs_no_values(
    check: Callable[[], None],
) -> None:
    check()


FILES = sorted({model_file(spec) for spec in ROWS.values()})


@same_timm
@pytest.mark.parametrize(
    "file",
    [
        pytest.param(file, marks=pytest.mark.slow if i % IN_CI == 0 else pytest.mark.long)
        for i, file in enumerate(FILES)
    ],
)
def test_every_architecture_of_a_model_file_is_what_the_catalogue_declares(file: str) -> None:
    """Built on the meta device; the forward pass of each is part of making the catalogue."""
    for spec in (s for s in ROWS.values() if model_file(s) == file):
        with without_values():
            backbone = load(spec)
        assert backbone.net.head_hidden_size == spec.feature_dim, spec.name
        if isinstance(backbone.head, nn.Linear):
            assert backbone.head.in_features == spec.feature_dim, spec.name
        own, state = backbone.net.state_dict(), backbone.native_state_dict()
        params = sum(p.numel() for p in backbone.net.parameters())
        params += sum(value.numel() for name, value in state.items() if name not in own)
        assert params == spec.params, spec.name


# -- heads -----------------------------------------------------------------------------------

PLAIN_OPTIONS = {"caformer_s18": {"use_mlp_head": False}}
"""What a user gives timm's constructor beside the number of classes."""

EXCHANGED = [
    "caformer_s18",  # an MLP as head
    "convnext_atto",
    "crossvit_tiny_240",  # a head for each branch
    "csatv2",
    "deit_tiny_distilled_patch16_224",  # two tokens, two heads
    "dla34",  # a convolution as head
    "efficientformer_l1",  # two heads on the same features
    "efficientnet_b0",
    "efficientvim_m1",  # four heads with learned shares
    "efficientvim_m1_dist",  # eight of them
    "inception_next_atto",  # a head inside an MLP
    "levit_128s",  # two heads, a normalisation each
    "levit_384_s8",  # the same; timm's configuration names one
    "repvit_m0_9",
    "resnet18",
    "resnetv2_18",  # a convolution as head
    "vgg11",
    "vit_tiny_patch16_224",
    "volo_d1_224",  # an auxiliary head
]

OF_A_KIND_CHECKED_EVERY_DAY = {
    *("csatv2", "efficientnet_b0", "efficientvim_m1_dist", "levit_384_s8", "resnetv2_18", "vgg11")
}
"""Their heads are read as those of others above, which are smaller or quicker to build."""

EXCHANGED_IN_CI = {
    *("caformer_s18", "crossvit_tiny_240", "dla34", "efficientformer_l1", "inception_next_atto"),
    "volo_d1_224",
}
"""They take a second each."""

ANOTHER_PUBLISHED_OUTPUT = {
    "deit_tiny_distilled_patch16_224": "two heads read two tokens; one head reads their mean",
    "levit_128s": "two heads read two normalisations; one head reads their mean",
    "levit_384_s8": "two heads read two normalisations; one head reads their mean",
    "repvit_m0_9": "two heads read two normalisations; one head reads their mean",
    "volo_d1_224": "the auxiliary head is dropped",
}


def over(names: Iterable[str]) -> pytest.MarkDecorator:
    marks = dict.fromkeys(OF_A_KIND_CHECKED_EVERY_DAY, pytest.mark.long)
    marks |= dict.fromkeys(EXCHANGED_IN_CI, pytest.mark.slow)
    return pytest.mark.parametrize("name", [pytest.param(n, marks=marks.get(n, ())) for n in names])


@over(EXCHANGED)
def test_plain_timm_loads_a_fine_tuned_backbone(name: str) -> None:
    spec = smallest_input(name)
    backbone = assemble(build(spec, 7), spec).eval()
    backbone.replace_head(5)
    plain = build(spec, 5, **PLAIN_OPTIONS.get(name, {})).eval()
    plain.load_state_dict(backbone.native_state_dict())
    with torch.no_grad():
        assert close(plain(images(spec)), backbone(images(spec)))


@over(n for n in EXCHANGED if n not in ANOTHER_PUBLISHED_OUTPUT)
def test_the_published_head_gives_the_native_output(name: str) -> None:
    spec = smallest_input(name)
    plain = (
        with_spread_heads(build(spec, 7)) if name not in PLAIN_OPTIONS else build(spec, 7).eval()
    )
    backbone = assemble(copy.deepcopy(plain), spec).eval()
    with torch.no_grad():
        assert close(backbone(images(spec)), plain(images(spec)))


@pytest.mark.parametrize("name", ["deit_tiny_distilled_patch16_224", "levit_128s", "repvit_m0_9"])
def test_two_published_heads_become_their_average(name: str) -> None:
    spec = smallest_input(name)
    plain = with_spread_heads(build(spec, 7))
    first, second = (plain.get_submodule(group[0]).weight for group in find_layout(plain).groups)
    backbone = assemble(plain, spec)
    assert torch.allclose(backbone.head.weight, (first + second) / 2)


@over(["vgg11", "convnext_atto", "efficientvim_m1", "deit_tiny_distilled_patch16_224"])
def test_the_head_reads_what_timm_calls_pre_logits(name: str) -> None:
    spec = smallest_input(name)
    plain = build(spec, 7).eval()
    with torch.no_grad():
        wanted = plain.forward_head(plain.forward_features(images(spec)), pre_logits=True)
        backbone = assemble(plain, spec).eval()
        assert close(backbone.features(images(spec)), wanted.flatten(1))


def test_a_backbone_without_a_published_head_gives_its_features() -> None:
    spec = smallest_input(headless())
    backbone = load(spec).eval()
    with torch.no_grad():
        assert torch.equal(backbone(images(spec)), backbone.features(images(spec)))


def headless() -> str:
    """The smallest architecture whose default weights bring no head."""
    found = [s for s in ROWS.values() if s.default_weights and not s.default_weights.classes]
    return min(found, key=lambda spec: spec.params).name


# -- stages ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("resnet18", ["stem", "layer1", "layer2", "layer3", "layer4"]),
        ("convnext_atto", ["stem", *(f"stages.{i}" for i in range(4)), "head.norm"]),
        ("vit_tiny_patch16_224", ["stem", *(f"blocks.{i}" for i in range(12))]),
        ("efficientnet_b0", ["stem", *(f"blocks.{i}" for i in range(7))]),
        ("caformer_s18", ["stem", *(f"stages.{i}" for i in range(4)), "head.norm"]),
    ],
)
def test_stages_carry_the_names_of_the_network(name: str, stages: list[str]) -> None:
    with without_values():
        backbone = load(ROWS[name])
    assert [stage.name for stage in backbone.stages()] == stages


# -- sizes and weights -----------------------------------------------------------------------


def published(name: str, path: Path) -> Weights:
    """The default weights of ``name``, as if their file lay at ``path``."""
    weights = ROWS[name].default_weights
    assert weights is not None
    return Weights(tag=weights.tag, uri=str(path), classes=weights.classes)


def saved(net: nn.Module, path: Path) -> Path:
    state = {key: value.contiguous().clone() for key, value in net.state_dict().items()}
    safetensors.torch.save_file(state, path)
    return path


def test_a_fixed_size_network_is_built_for_the_size_of_the_spec() -> None:
    spec = ROWS["vit_tiny_patch16_224"].with_input(size=96)
    backbone = load(spec)
    assert backbone.features(torch.zeros(1, 3, 96, 96)).shape == (1, 192)


def test_a_size_that_the_network_cannot_have_is_an_error_of_the_zoo() -> None:
    with pytest.raises(UsageError, match="cannot be built for images of 8 x 8"):
        load(ROWS["vit_tiny_patch16_224"].with_input(size=8))


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_published_weights_are_loaded_with_their_head(name: str, tmp_path: Path) -> None:
    plain = build(ROWS[name], ROWS[name].default_weights.classes).eval()
    backbone = zoo.build(
        ROWS[name], published(name, saved(plain, tmp_path / "w.safetensors"))
    ).eval()
    with torch.no_grad():
        assert close(backbone(images(ROWS[name])), plain(images(ROWS[name])))


def test_position_embeddings_are_resampled_for_another_size(tmp_path: Path) -> None:
    spec = ROWS["test_vit"]
    plain = build(spec, 1000)
    path = saved(plain, tmp_path / "w.safetensors")
    for weights in (published("test_vit", path), Weights(tag="file", uri=str(path), classes=0)):
        backbone = zoo.build(spec.with_input(size=96), weights)
        assert backbone.net.pos_embed.shape[1] < plain.pos_embed.shape[1]
        assert torch.equal(backbone.net.patch_embed.proj.weight, plain.patch_embed.proj.weight)


def test_published_weights_without_a_head_are_loaded(tmp_path: Path) -> None:
    name = headless()
    spec = smallest_input(name)
    plain = build(spec, 0).eval()
    backbone = zoo.build(spec, published(name, saved(plain, tmp_path / "w.safetensors"))).eval()
    assert isinstance(backbone.head, nn.Identity)
    with torch.no_grad():
        assert close(backbone(images(spec)), plain(images(spec)))


@pytest.mark.parametrize("name", ["test_resnet", "resnetv2_18", "efficientvim_m1_dist"])
def test_a_file_may_have_any_number_of_classes(name: str, tmp_path: Path) -> None:
    spec = smallest_input(name)
    plain = build(spec, 3).eval()
    path = saved(plain, tmp_path / "mine.safetensors")
    backbone = zoo.build(spec, Weights(tag="file", uri=str(path), classes=0)).eval()
    with torch.no_grad():
        assert close(backbone(images(spec)), plain(images(spec)))


def test_a_file_without_a_head_is_loaded(tmp_path: Path) -> None:
    plain = build(ROWS["test_resnet"], 0)
    path = saved(plain, tmp_path / "mine.safetensors")
    backbone = zoo.build(ROWS["test_resnet"], Weights(tag="file", uri=str(path), classes=0))
    native = backbone.native_state_dict()
    assert all(torch.equal(native[key], value) for key, value in plain.state_dict().items())


@pytest.mark.parametrize("as_published", [False, True])
def test_weights_of_another_architecture_name_the_keys(as_published: bool, tmp_path: Path) -> None:
    path = saved(build(ROWS["test_vit"], 1000), tmp_path / "vit.safetensors")
    weights = Weights(tag="file", uri=str(path), classes=0)
    if as_published:
        weights = published("test_resnet", path)
    with pytest.raises(WeightsError, match="conv1"):
        zoo.build(ROWS["test_resnet"], weights)


@pytest.mark.parametrize("as_published", [False, True])
def test_a_damaged_file_is_an_error_of_the_zoo(as_published: bool, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{half a")
    weights = Weights(tag="file", uri=str(path), classes=0)
    if as_published:
        weights = published("test_resnet", path)
    with pytest.raises(WeightsError):
        zoo.build(ROWS["test_resnet"], weights)


class _Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this ran",)


@pytest.mark.parametrize("as_published", [False, True])
def test_no_code_runs_from_a_file(
    as_published: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(pickle.dumps({"conv1.weight": _Code()}, protocol=2))
    weights = Weights(tag="file", uri=str(path), classes=0)
    if as_published:
        weights = published("test_resnet", path)
    with pytest.raises(WeightsError):
        zoo.build(ROWS["test_resnet"], weights)
    assert "this ran" not in capsys.readouterr().out


def test_timm_keeps_quiet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = saved(build(ROWS["test_vit"], 1000), tmp_path / "w.safetensors")
    with caplog.at_level(logging.DEBUG):
        zoo.build(ROWS["test_vit"].with_input(size=96), published("test_vit", path))
    assert not [r for r in caplog.records if r.name.startswith("timm")]


# -- adapters --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["convnext_atto", "vit_tiny_patch16_224", "mobilenetv3_small_050"])
def test_adapters_sit_on_dense_layers_of_the_backbone(name: str) -> None:
    with without_values():
        backbone: Backbone = load(ROWS[name])
    modules = dict(backbone.net.named_modules())
    targets = backbone.adapter_targets()
    assert targets
    assert backbone.head_path not in targets
    assert all(getattr(modules[path], "groups", 1) == 1 for path in targets)


# -- what a network of a later timm may be ------------------------------------------------------


def odd(features: Callable[[Tensor], Tensor], head: nn.Module) -> Any:
    """Stands for a backbone of another width or shape than its network states."""
    made = SimpleNamespace(features=features, head=head, spec=ROWS["test_resnet"])
    made.eval = lambda: made
    return made


def test_features_of_another_width_than_stated_are_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wide = odd(lambda pixels: pixels.new_zeros(1, 7), nn.Identity())
    monkeypatch.setattr(catalogue, "assemble", lambda *_: wide)
    row = ROWS["test_resnet"]
    with pytest.raises(ContractError, match=rf"{row.feature_dim}"):
        catalogue.measure(row, 7)


def test_features_that_are_no_vectors_are_reported() -> None:
    maps = odd(lambda pixels: pixels, nn.Identity())
    with pytest.raises(ContractError, match=r"features and outputs \(1, 3, 32, 32\) and"):
        catalogue._features_that_the_head_takes(maps, 32)


def test_a_network_that_takes_one_size_of_image_alone_is_reported() -> None:
    def one_size(pixels: Tensor) -> Tensor:
        raise ValueError(f"{pixels.shape[-1]} pixels")

    with pytest.raises(ContractError, match="accepts 32 pixels, but no multiples of"):
        catalogue._multiple(odd(one_size, nn.Identity()), 32)


def test_a_head_that_one_linear_layer_cannot_stand_for_is_reported() -> None:
    with pytest.raises(ContractError, match="the head at fc is a ReLU, not a linear layer"):
        heads._width("fc", nn.ReLU())
    with pytest.raises(ContractError, match=r"\[3.*4\].*8"):
        heads._grouped(["a", "b"], [3, 4], 8)
    with pytest.raises(ContractError, match="no path"):
        heads._grouped([], [], 8)


def test_a_size_whose_last_rows_no_patch_holds_is_refused() -> None:
    spec = ROWS["vit_tiny_patch16_224"].with_input(size=239)
    with pytest.raises(UsageError, match=r"15.*239") as caught:
        build(spec, 2)
    assert "224 and 240" in caught.value.hint
