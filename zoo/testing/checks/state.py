"""Saving and loading parameters, and copying backbones."""

from __future__ import annotations

import copy
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from zoo.api import load
from zoo.contract.network.backbone import Backbone
from zoo.contract.spec import BackboneSpec, ImageInput, Weights
from zoo.errors import ZooError
from zoo.registry.index import Index
from zoo.registry.policy import Policy
from zoo.registry.registry import Registry
from zoo.registry.resolution import Resolved
from zoo.testing.checks.base import NotApplicable, assert_same, check, copied, small_batch
from zoo.training.requested_weights import for_weights
from zoo.weights.find import file_sha256
from zoo.weights.loading.build import build
from zoo.weights.local_weights import LocalWeights


@check()
def native_weights_round_trip(backbone: Backbone) -> None:
    """Saving ``native_state_dict`` as safetensors and loading it gives the same outputs."""
    _round_trip(backbone)


@check(takes=ImageInput)
def native_weights_round_trip_channels_last(backbone: Backbone) -> None:
    """The same with parameters in the channels-last layout."""
    backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    _round_trip(backbone)


@check()
def the_weights_of_a_file_are_loaded(backbone: Backbone) -> None:
    """``zoo.load`` loads every tensor of a weights file with known values."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for tensor in backbone.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
    known = {
        key: value.detach().clone(memory_format=torch.contiguous_format)
        for key, value in backbone.native_state_dict().items()
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "known.safetensors"
        safetensors.torch.save_file(known, path)
        try:
            read = _loaded(backbone, path)
        except ZooError as error:
            raise AssertionError(f"the file's own weights are refused: {error.message}") from error
        found = read.native_state_dict()
        wrong = [k for k, v in known.items() if k not in found or not torch.equal(v, found[k])]
    assert not wrong, f"{len(wrong)} of {len(known)} tensors are not the file's: {wrong[:3]}"


@check()
def local_weights_are_loaded(backbone: Backbone) -> None:
    """Weights that need no download can be loaded, and have the head that the spec states."""
    spec, local = backbone.spec, LocalWeights()
    found = [weights for weights in spec.weights if local.find(weights.uri) is not None]
    if spec.weights and not found:
        raise NotApplicable("none of its weights are on this machine")
    for weights in found:
        try:
            loaded = build(for_weights(spec, weights), weights)
        except ZooError as error:
            raise AssertionError(f"{weights.tag}: {error.message}") from error
        flaw = loaded.head_flaw if weights.classes else ""
        assert not flaw, f"{weights.tag}: {flaw}"
        loaded.eval()
        with torch.no_grad():
            features = loaded.features(small_batch(loaded))
        assert torch.isfinite(features).all(), f"{weights.tag}: features are not finite"


def _loaded(backbone: Backbone, path: Path) -> Backbone:
    """Load the backbone by ``zoo.load``, with the file as its published weights."""
    headless = isinstance(backbone.head, nn.Identity)
    weights = Weights(
        tag="known",
        uri=str(path),
        sha256=file_sha256(path),
        classes=0 if headless else backbone.outputs(),
        default=True,
    )
    spec = replace(backbone.spec, weights=(weights,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parameters that the library's files never have
        return load(spec.name, registry=_OneBackbone(spec, path.parent))


class _OneBackbone(Registry):
    """A registry that has one backbone, under every name."""

    def __init__(self, spec: BackboneSpec, cache: Path) -> None:
        super().__init__((), Policy(), Index(cache))
        self._spec = spec

    def resolve(self, name: str) -> Resolved:  # noqa: ARG002
        """That backbone."""
        return Resolved(self._spec)


@check()
def a_deepcopy_is_complete_and_independent(backbone: Backbone) -> None:
    """``copy.deepcopy`` gives the same outputs, and shares no tensor with the original."""
    backbone.replace_head(3)
    backbone.eval()
    batch = small_batch(backbone)
    twin = copy.deepcopy(backbone)
    before = copied(backbone.state_dict())
    with torch.no_grad():
        assert torch.equal(twin(batch), backbone(batch)), "the copy gives other outputs"
        for parameter in twin.parameters():
            parameter.add_(1.0)
    assert_same(before, backbone.state_dict(), "changing the copy")


def _round_trip(backbone: Backbone) -> None:
    backbone.replace_head(5)
    backbone.eval()
    batch = small_batch(backbone)
    with torch.no_grad():
        before = backbone(batch)
    stored = {
        key: value.detach().clone(memory_format=torch.contiguous_format)
        for key, value in backbone.native_state_dict().items()
    }
    state = safetensors.torch.load(safetensors.torch.save(stored))
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(1.0)
        taken = backbone.load_native_state_dict(state, strict_head=True)
        after = backbone(batch)
    assert taken, "the head was not taken over"
    assert torch.equal(before, after), "outputs differ after a round trip"
