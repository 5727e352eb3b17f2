"""Writing and reading parameters, and copying the whole."""

from __future__ import annotations

import copy

import safetensors.torch
import torch

from zoo.backbone import Backbone
from zoo.testing.checks.base import assert_same, check, copied, small_batch


@check()
def native_weights_round_trip(backbone: Backbone) -> None:
    """``native_state_dict`` through safetensors and back gives the same outputs, tied or not."""
    _round_trip(backbone)


@check(modality="image")
def native_weights_round_trip_channels_last(backbone: Backbone) -> None:
    """The same, with the parameters in the channels-last layout."""
    backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    _round_trip(backbone)


@check()
def a_copy_is_whole_and_apart(backbone: Backbone) -> None:
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
