"""Every torchvision classifier keeps the contract, and stays exchangeable with torchvision.

Networks of up to ``REAL`` parameters have values, on images of 32 pixels where they take them;
the giants beyond live on the meta device, where shapes and names are checked. Every day the small
networks are checked, in CI one of every kind and some of the others; the rest is marked long.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from tests.contract import checks
from zoo import Backbone, BackboneSpec, Weights, ZooError, build
from zoo.errors import UsageError, WeightsError
from zoo.testing import META_CHECKS, parametrize_backbones
from zoo.testing.checks import sample_batch
from zoo_torchvision import catalogue, plugin, rows
from zoo_torchvision.network import network

import torchvision  # isort: skip
from torchvision.transforms.functional import normalize  # isort: skip

ROWS = {spec.name: spec for spec in plugin.zoo_backbones()}
REAL = 31_000_000
ONE_OF_A_HEAVY_FAMILY = {"alexnet", "vgg11_bn", "vit_b_32"}
NO_AUXILIARY = {"aux_logits": False, "init_weights": False}
PLAIN = {"googlenet": NO_AUXILIARY, "inception_v3": NO_AUXILIARY}
"""Arguments that a user gives torchvision's constructor beside the number of classes."""

RELU_AFTER_THE_HEAD = "torchvision's SqueezeNet has a ReLU between its head and the average"

real_ones = sorted(
    name for name, s in ROWS.items() if s.params <= REAL or name in ONE_OF_A_HEAVY_FAMILY
)
giants = sorted(ROWS.keys() - real_ones)


EVERYDAY = {
    *("efficientnet_b0", "mnasnet0_5", "mobilenet_v3_small", "regnet_y_400mf", "resnet18"),
    *("shufflenet_v2_x0_5", "squeezenet1_1"),
}
IN_CI = {
    *("convnext_tiny", "densenet121", "googlenet", "inception_v3", "mobilenet_v2"),
    *("squeezenet1_0", "swin_t", "vgg16"),
}
"""With those of every day a small network of every loader, ViT and MaxViT apart, whose parameters
or images are many."""

TRAINED = ["resnet18", "squeezenet1_1"]
TRAINED_IN_CI = ["mobilenet_v3_small"]
"""Of these the whole quick contract is tried."""


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def small(spec: BackboneSpec) -> BackboneSpec:
    """The canonical spec, for images of 32 pixels where the network takes them."""
    spec = spec.in_namespace("torchvision")
    image = spec.image_input
    return spec if image.fixed_size else spec.with_input(size=max(32, image.min_size))


def load(spec: BackboneSpec, weights: Weights | None = None, device: str = "cpu") -> Backbone:
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(0)
        return build(spec, weights).eval()


@pytest.fixture(scope="module")
def backbone(request: pytest.FixtureRequest) -> Backbone:
    """One build for all the tests of an architecture; a test that changes it takes a copy."""
    spec = small(ROWS[request.param])
    return settled(load(spec)) if spec.arch in real_ones else load(spec, device="meta")


def settled(backbone: Backbone) -> Backbone:
    """With statistics of real activations, so that random networks tell images apart."""
    norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    if not norms or backbone.spec.image_input.fixed_size:
        return backbone
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    with torch.no_grad():
        backbone.features(sample_batch(backbone, 12))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return backbone.eval()


def over(names: Iterable[str]) -> pytest.MarkDecorator:
    """The ``backbone`` of every name."""
    return pytest.mark.parametrize("backbone", marked(names), indirect=True)


def marked(names: Iterable[str]) -> list[Any]:
    """Those of every day without a mark; of others than in ``IN_CI``, CI takes every tenth."""
    others = sorted({*ROWS} - EVERYDAY - IN_CI)
    marks = {n: pytest.mark.long if i % 20 else pytest.mark.slow for i, n in enumerate(others)}
    marks |= dict.fromkeys(IN_CI, pytest.mark.slow)
    return [pytest.param(n, marks=marks.get(n, ())) for n in names]


def plain(arch: str, classes: int, state: Mapping[str, Tensor]) -> nn.Module:
    """torchvision's own network for so many classes, holding ``state``."""
    with torch.device("meta"):  # parameters that are about to be replaced need no values
        net = network(arch, num_classes=classes, **PLAIN.get(arch, {}))
    net.load_state_dict(state, assign=True)
    return net.eval()


def with_head(backbone: Backbone, outputs: int) -> Backbone:
    """A copy that shares the network and has a random head, large enough to tell images apart."""
    changed = copy.copy(backbone)
    changed._modules = dict(backbone._modules)
    changed.replace_head(outputs)
    with torch.no_grad():
        for parameter in changed.head.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
    return changed


# -- the catalogue ---------------------------------------------------------------------------


def test_every_torchvision_classifier_has_a_row() -> None:
    assert sorted(ROWS) == catalogue.architectures()
    assert len(ROWS) == 80


def test_the_catalogue_names_the_torchvision_it_was_made_from() -> None:
    data = json.loads(rows.CATALOGUE.read_text(encoding="utf-8"))
    installed = torchvision.__version__.partition("+")[0]
    if data["torchvision"] != installed:
        pytest.skip(f"made from torchvision {data['torchvision']}, installed is {installed}")
    assert data["backbones"] == [spec.to_json() for spec in ROWS.values()]


@over(sorted(ROWS))
def test_a_row_is_what_the_generator_makes_now(backbone: Backbone) -> None:
    """Width and parameters are those of the network, everything else is torchvision's."""
    arch = backbone.spec.arch
    assert catalogue.measured(catalogue.published_facts(arch), backbone) == ROWS[arch]


def test_the_generator_makes_a_row_without_anything_built_before() -> None:
    assert catalogue.row("regnet_x_400mf") == ROWS["regnet_x_400mf"]


def test_the_catalogue_is_read_without_torch() -> None:
    code = (
        "import sys; from zoo_torchvision import plugin; assert len(plugin.zoo_backbones()) == 80;"
        "print([m for m in ('torch', 'torchvision', 'timm', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_default_weights_are_torchvisions_defaults() -> None:
    for arch, spec in ROWS.items():
        default = torchvision.models.get_model_weights(arch).DEFAULT
        assert spec.default_weights is not None
        assert spec.default_weights.tag == default.name
        assert spec.default_weights.uri == default.url


def test_facts_that_a_user_sees() -> None:
    resnet, vgg, vit = ROWS["resnet18"], ROWS["vgg16"], ROWS["vit_h_14"]
    assert (resnet.feature_dim, resnet.params) == (512, 11_689_512)
    assert vgg.feature_dim == 4096
    assert resnet.default_weights is not None
    assert resnet.default_weights.sha256 == "f37072fd"
    assert resnet.default_weights.metrics == {"imagenet1k/top1": 69.758, "imagenet1k/top5": 89.078}
    assert {w.license for w in vit.weights} == {"CC-BY-NC-4.0"}
    assert {w.license for w in resnet.weights} == {"BSD-3-Clause"}
    assert vit.image_input.size == 518
    features = next(w for w in vgg.weights if w.tag == "IMAGENET1K_FEATURES")
    assert (features.metrics, features.classes) == ({}, 0)
    assert features.input != vgg.input


def test_every_hash_is_the_one_in_the_file_name() -> None:
    for spec in ROWS.values():
        for weights in spec.weights:
            assert len(weights.sha256) >= 8
            assert f"-{weights.sha256}.pth" in weights.uri


# -- the contract ----------------------------------------------------------------------------


SHAPES = [name for name in META_CHECKS if name != checks.SIZE]
"""Sizes are compared with those of the catalogue above."""


@parametrize_backbones([small(ROWS[name]) for name in TRAINED], checks=checks.QUICK)
def test_small_networks_keep_the_contract(check: Callable[[], None]) -> None:
    check()


@pytest.mark.slow
@parametrize_backbones([small(ROWS[name]) for name in TRAINED_IN_CI], checks=checks.QUICK)
def test_more_small_networks_keep_the_contract(check: Callable[[], None]) -> None:
    check()


@parametrize_backbones(
    [small(ROWS[name]) for name in sorted(EVERYDAY.difference(TRAINED, TRAINED_IN_CI))],
    checks=checks.SHAPES, max_params=REAL,
)  # fmt: skip
def test_small_networks_keep_the_contract_in_shapes(check: Callable[[], None]) -> None:
    check()


@pytest.mark.slow
@parametrize_backbones(
    [small(ROWS[name]) for name in sorted((EVERYDAY | IN_CI).difference(TRAINED, TRAINED_IN_CI))],
    checks=SHAPES, max_params=REAL,
)  # fmt: skip
def test_a_network_of_every_kind_keeps_all_that_needs_no_values(check: Callable[[], None]) -> None:
    check()


@pytest.mark.slow
@parametrize_backbones(
    [small(ROWS[name]) for name in sorted({*ROWS} - EVERYDAY - IN_CI)[::20]],
    checks=checks.SHAPES, max_params=REAL,
)  # fmt: skip
def test_some_more_networks_keep_the_contract_in_shapes(check: Callable[[], None]) -> None:
    check()


@pytest.mark.long
@parametrize_backbones(
    [small(ROWS[name]) for name in sorted({*ROWS} - EVERYDAY - IN_CI)],
    checks=checks.SHAPES, max_params=REAL,
)  # fmt: skip
def test_all_networks_keep_the_contract_in_shapes(check: Callable[[], None]) -> None:
    check()


@pytest.mark.long
@parametrize_backbones(
    [small(ROWS[name]) for name in sorted({*ROWS} - EVERYDAY - IN_CI)],
    checks=[name for name in SHAPES if name not in checks.SHAPES], max_params=REAL,
)  # fmt: skip
def test_all_networks_keep_all_that_needs_no_values(check: Callable[[], None]) -> None:
    check()


@pytest.mark.long
@parametrize_backbones(
    [small(ROWS[name]) for name in sorted((EVERYDAY | IN_CI) - {"vgg16"})],
    checks=[*checks.QUICK, checks.FREEZING],
)
def test_networks_of_every_kind_keep_all_of_the_contract(check: Callable[[], None]) -> None:
    check()


@pytest.mark.long
@parametrize_backbones(
    [ROWS[name].with_input(size=64).in_namespace("torchvision") for name in ("vit_b_32", "vgg11_bn")],
    checks=checks.QUICK, max_params=200_000_000,
)  # fmt: skip
def test_large_networks_keep_the_contract(check: Callable[[], None]) -> None:
    check()


@pytest.mark.slow
def test_vit_learns_in_every_stage_and_rests_where_it_is_frozen() -> None:
    vit = load(ROWS["vit_b_32"].with_input(size=64).in_namespace("torchvision"))
    vit.replace_head(2)
    vit.freeze(upto="layer11")
    vit(sample_batch(vit)).square().sum().backward()
    names = [stage.name for stage in vit.stages()]
    assert names == ["patches", *(f"layer{i}" for i in range(1, 13)), "ln"]
    learning = {n for n in names for p in vit.stage_parameters(n).values() if p.grad is not None}
    assert learning == {"layer12", "ln"}


@over(real_ones)
def test_an_adapter_would_be_called_at_every_target(backbone: Backbone) -> None:
    called: set[str] = set()
    targets = backbone.adapter_targets()
    hooks = [
        backbone.net.get_submodule(path).register_forward_hook(lambda *_, p=path: called.add(p))
        for path in targets
    ]
    with torch.no_grad():
        backbone.features(sample_batch(backbone, 1))
    for hook in hooks:
        hook.remove()
    assert targets
    assert set(targets) - called == set()


def test_vgg_stages_are_blocks_then_linear_layers() -> None:
    vgg = load(small(ROWS["vgg16"]), device="meta")
    stages = {stage.name: stage.paths for stage in vgg.stages()}
    assert list(stages) == [*(f"block{i}" for i in range(1, 6)), "classifier.0", "classifier.3"]
    assert stages["block1"] == tuple(f"features.{i}" for i in range(5))
    assert stages["block5"] == tuple(f"features.{i}" for i in range(24, 31))
    assert sum(p.numel() for p in vgg.head.parameters()) == 4096 * 1000 + 1000


def test_frozen_vgg_rests_its_dropout_and_an_unfrozen_linear_layer_does_not() -> None:
    vgg = load(small(ROWS["vgg11"]), device="meta")
    vgg.freeze(upto="classifier.0")
    vgg.train()
    assert not vgg.net.get_submodule("classifier.2").training
    assert vgg.net.get_submodule("classifier.5").training


# -- the same as torchvision -----------------------------------------------------------------

same_as_native = [name for name in real_ones if not name.startswith("squeezenet")]


@over([name for name in same_as_native if name in EVERYDAY | IN_CI | ONE_OF_A_HEAVY_FAMILY])
def test_outputs_equal_those_of_the_plain_network(backbone: Backbone) -> None:
    """With a head of the published shape."""
    _assert_same_outputs(with_head(backbone, catalogue.PUBLISHED_CLASSES))


@over(same_as_native)
def test_a_native_state_gives_the_same_logits_in_plain_torchvision(backbone: Backbone) -> None:
    _assert_same_outputs(with_head(backbone, 5))


def _assert_same_outputs(model: Backbone) -> None:
    outputs = model.head.out_features if isinstance(model.head, nn.Linear) else 0
    state = model.native_state_dict()
    batch = sample_batch(model)
    with torch.no_grad():
        ours = model(batch)
        theirs = plain(model.spec.arch, outputs, state)(batch["pixel_values"])
    assert ours.shape == (2, outputs)
    assert (ours[0] - ours[1]).abs().max() > 1e-2 * ours.abs().max(), (
        "the comparison would say nothing"
    )
    torch.testing.assert_close(ours, theirs)


@over(giants)
def test_native_names_and_shapes_of_giants_are_torchvisions(backbone: Backbone) -> None:
    arch = backbone.spec.arch
    with torch.device("meta"):
        net = network(arch, num_classes=catalogue.PUBLISHED_CLASSES, **_size(backbone.spec))
    wanted = {name: value.shape for name, value in net.state_dict().items()}
    given = {name: value.shape for name, value in backbone.native_state_dict().items()}
    assert given == wanted


def _size(spec: BackboneSpec) -> dict[str, int]:
    return {"image_size": spec.image_input.size} if spec.arch.startswith("vit") else {}


def test_a_saved_state_loads_in_the_plainest_torchvision(tmp_path: Path) -> None:
    model = with_head(load(small(ROWS["resnet18"])), 5)
    safetensors.torch.save_file(model.native_state_dict(), tmp_path / "model.safetensors")
    net = torchvision.models.resnet18(num_classes=5).eval()
    net.load_state_dict(safetensors.torch.load_file(tmp_path / "model.safetensors"))
    batch = sample_batch(model)
    with torch.no_grad():
        torch.testing.assert_close(net(batch["pixel_values"]), model(batch))


@over(["squeezenet1_0", "squeezenet1_1"])
def test_squeezenet_differs_from_torchvision_by_one_relu_alone(backbone: Backbone) -> None:
    """Exempt from equal outputs, because: RELU_AFTER_THE_HEAD."""
    model = with_head(backbone, 5)
    net = plain(model.spec.arch, 5, model.native_state_dict())
    batch = sample_batch(model)
    with torch.no_grad():
        ours, theirs = model(batch), net(batch["pixel_values"])
        assert not torch.allclose(ours, theirs), RELU_AFTER_THE_HEAD
        net.classifier[2] = nn.Identity()  # type: ignore[index, operator]
        torch.testing.assert_close(ours, net(batch["pixel_values"]))


PUBLISHED_OF_TENSORFLOW = ["googlenet", pytest.param("inception_v3", marks=pytest.mark.slow)]


@pytest.mark.parametrize("arch", PUBLISHED_OF_TENSORFLOW)
def test_an_image_gives_what_torchvisions_transform_input_gives(arch: str) -> None:
    model = settled(load(small(ROWS[arch]))).double()
    published = network(arch, transform_input=True, **NO_AUXILIARY).double().eval()
    published.load_state_dict(model.native_state_dict())
    stated = model.spec.image_input
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(2, 3, stated.size, stated.size, generator=generator, dtype=torch.float64)
    theirs = normalize(pixels, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad():
        ours = model(normalize(pixels, list(stated.mean), list(stated.std)))
        torch.testing.assert_close(ours, published(theirs))


# -- published files -------------------------------------------------------------------------


def published(state: Mapping[str, Tensor], folder: Path, lacks: tuple[str, ...] = ()) -> Weights:
    torch.save(dict(state), folder / "published.pth")
    return Weights(tag="OLD", uri=str(folder / "published.pth"), lacks=lacks)


def random_state(backbone: Backbone, prefix: str = "") -> dict[str, Tensor]:
    """Values for the names and shapes of a backbone on the meta device."""
    native = backbone.native_state_dict()
    return {k: torch.randn(v.shape) for k, v in native.items() if k.startswith(prefix)}


@pytest.mark.parametrize("arch", PUBLISHED_OF_TENSORFLOW)
def test_auxiliary_classifiers_of_a_published_file_are_dropped(arch: str, tmp_path: Path) -> None:
    source = network(arch, aux_logits=True, init_weights=False).eval()
    model = load(small(ROWS[arch]), published(source.state_dict(), tmp_path))
    assert not [name for name in model.native_state_dict() if name.lower().startswith("aux")]
    batch = sample_batch(model)
    with torch.no_grad():
        torch.testing.assert_close(model(batch), source(batch["pixel_values"]))


def test_old_densenet_names_without_counters_are_understood(tmp_path: Path) -> None:
    source = load(small(ROWS["densenet121"]))
    old = {
        name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value
        for name, value in source.native_state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.manual_seed(7)
    model = load(small(ROWS["densenet121"]), published(old, tmp_path))
    assert _equal(model.native_state_dict(), source.native_state_dict())


@pytest.mark.long
def test_old_vit_names_are_understood_and_positions_interpolated(tmp_path: Path) -> None:
    spec = ROWS["vit_b_32"].in_namespace("torchvision")
    state = random_state(load(spec.with_input(size=64), device="meta"))
    old = {
        k.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): v
        for k, v in state.items()
    }
    model = load(spec.with_input(size=96), published(old, tmp_path))
    moved = model.native_state_dict()
    positions = "encoder.pos_embedding"
    assert state[positions].shape[1] == 1 + 2 * 2
    assert moved[positions].shape[1] == 1 + 3 * 3
    assert torch.equal(moved[positions][:, 0], state[positions][:, 0])
    corners = torch.tensor([1, 3, 7, 9])  # aligned corners keep their values
    torch.testing.assert_close(moved[positions][:, corners], state[positions][:, 1:])
    assert _equal({**moved, positions: state[positions]}, state)
    with torch.no_grad():
        assert model.features(sample_batch(model)).shape == (2, 768)


def test_mnasnet_which_asks_for_a_version_loads_a_saved_state(tmp_path: Path) -> None:
    source = load(small(ROWS["mnasnet0_5"]))
    torch.manual_seed(7)
    model = load(small(ROWS["mnasnet0_5"]), published(source.native_state_dict(), tmp_path))
    assert _equal(model.native_state_dict(), source.native_state_dict())


def test_published_squeezenet_head_is_taken_over(tmp_path: Path) -> None:
    source = network("squeezenet1_1")
    model = load(small(ROWS["squeezenet1_1"]), published(source.state_dict(), tmp_path))
    assert isinstance(model.head, nn.Linear)
    assert _equal(model.native_state_dict(), source.state_dict())


@pytest.mark.long
def test_vgg_weights_of_the_convolutions_alone_leave_the_linear_layers_random(
    tmp_path: Path,
) -> None:
    spec = small(ROWS["vgg16"])
    state = random_state(load(spec, device="meta"), "features.")
    state["classifier.3.bias"] = torch.full((4096,), torch.nan)
    row = next(w for w in spec.weights if w.tag == "IMAGENET1K_FEATURES")
    model = load(spec, published(state, tmp_path, lacks=row.lacks))
    (note,) = model.weights_notes
    assert "classifier.0.weight" in note
    loaded = model.native_state_dict()
    assert all(torch.isfinite(value).all() for value in loaded.values())
    assert torch.equal(loaded["features.28.weight"], state["features.28.weight"])


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    weights = published(network("resnet34").state_dict(), tmp_path)
    with pytest.raises(WeightsError, match="do not fit torchvision/resnet18"):
        load(small(ROWS["resnet18"]), weights)


def _equal(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


# -- sizes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arch",
    [
        *("alexnet", "squeezenet1_1", "vgg11"),
        *marked(["convnext_tiny", "densenet121", "googlenet", "inception_v3", "swin_t"]),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("squeezenet1_0", "swin_v2_t")),
    ],
)
def test_the_smallest_size_works_and_one_pixel_less_does_not(arch: str) -> None:
    model = load(small(ROWS[arch]), device="meta")
    smallest = model.spec.image_input.min_size
    with torch.no_grad():
        assert model.features(sample_batch(model, 1, size=smallest)).shape[0] == 1
        with pytest.raises(RuntimeError):
            model.features(sample_batch(model, 1, size=smallest - 1))


@pytest.mark.parametrize("arch", [name for name, s in ROWS.items() if s.image_input.fixed_size])
def test_an_impossible_size_is_refused_with_the_nearest_possible_one(arch: str) -> None:
    spec = ROWS[arch].in_namespace("torchvision")
    step = spec.image_input.min_size
    with pytest.raises(UsageError) as refused:
        load(spec.with_input(size=2 * step + 1), device="meta")
    assert f"--image-size {2 * step}." in refused.value.hint
    assert isinstance(refused.value, ZooError)
