"""Features and heads: shape, finiteness, reproducibility, independence of each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.contract.network.backbone import Backbone
from zoo.contract.network.batch import Batch, image_features
from zoo.errors import HeadWidthError, first_line
from zoo.modalities import modality_of
from zoo.testing.checks.base import (
    NotApplicable,
    assert_close,
    assert_same,
    check,
    copied,
    first_of,
    sample_batch,
    small_batch,
    spread,
)


@check(on_meta=True)
def features_have_the_declared_width(backbone: Backbone) -> None:
    """``features`` returns ``(B, feature_dim)``."""
    backbone.eval()
    with torch.no_grad():
        features = backbone.features(small_batch(backbone))
    assert features.shape == (2, backbone.spec.feature_dim), (
        f"features are {tuple(features.shape)}, declared (2, {backbone.spec.feature_dim})"
    )


@check(on_meta=True)
def params_is_the_number_of_parameters(backbone: Backbone) -> None:
    """``params`` is the number of parameters with the published head."""
    if not backbone.spec.params:
        raise NotApplicable("it declares no number")
    state, native = backbone.net.state_dict(), backbone.native_state_dict()
    plain = sum(p.numel() for p in backbone.parameters())
    # Where several published heads became one, the library's own form has more.
    whole = sum(p.numel() for p in backbone.net.parameters())
    whole += sum(value.numel() for name, value in native.items() if name not in state)
    assert backbone.spec.params in (plain, whole), (
        f"there are {plain:,} parameters, declared {backbone.spec.params:,}"
    )


@check(on_meta=True)
def the_declared_input_size_works(backbone: Backbone) -> None:
    """A batch of one sample of the spec's size works; texts up to 512 tokens."""
    size = modality_of(backbone.spec).largest_size(backbone.spec)
    backbone.eval()
    with torch.no_grad():
        features = backbone.features(sample_batch(backbone, 1, size=size))
    assert features.shape == (1, backbone.spec.feature_dim), f"features are {tuple(features.shape)}"


@check(on_meta=True)
def the_head_can_have_any_number_of_outputs(backbone: Backbone) -> None:
    """Heads with 1, 2, 5 and 1,000 outputs work; a head of another input width is rejected."""
    backbone.eval()
    with torch.no_grad():
        features = backbone.features(small_batch(backbone))
        for outputs in (1, 2, 5, 1000):
            backbone.replace_head(outputs)
            assert backbone.head(features).shape == (2, outputs)
    wrong = nn.Linear(backbone.spec.feature_dim + 1, 2)
    try:
        backbone.replace_head(wrong)
    except HeadWidthError:
        return
    raise AssertionError("a head of another width was not refused")


@check()
def features_are_finite_and_repeatable(backbone: Backbone) -> None:
    """In evaluation mode, two calls give the same finite features."""
    backbone.eval()
    batch = small_batch(backbone)
    with torch.no_grad():
        first, second = backbone.features(batch), backbone.features(batch)
    assert torch.isfinite(first).all(), "features are not finite"
    assert torch.equal(first, second), "two calls in evaluation mode differ"


@check(rounds=True)
def features_do_not_depend_on_the_batch(backbone: Backbone) -> None:
    """A sample has the same features in batches of one, two and five."""
    backbone.eval()
    batch = small_batch(backbone, 5)
    with torch.no_grad():
        five = backbone.features(batch)
        for count in (1, 2):
            fewer = backbone.features(first_of(batch, count))
            what = f"features in a batch of {count} differ from those in a batch of 5"
            assert_close(fewer, five[:count], what)


@check()
def replacing_the_head_keeps_the_backbone(backbone: Backbone) -> None:
    """Backbone tensors and features are bit-identical after two new heads of different widths."""
    backbone.eval()
    batch = small_batch(backbone)
    before = copied(backbone.net.state_dict())
    with torch.no_grad():
        features = backbone.features(batch)
        backbone.replace_head(3)
        backbone.replace_head(7)
        logits = backbone(batch)
        assert torch.equal(backbone.features(batch), features), "features changed"
        assert torch.equal(logits, backbone.head(features)), "forward is not head(features)"
    assert_same(before, backbone.net.state_dict(), "replacing the head")
    assert logits.shape == (2, 7), f"seven outputs wanted, {tuple(logits.shape)} given"


@check(rounds=True)
def outputs_match_the_native_network(backbone: Backbone) -> None:
    """The library's own network with the published head gives the same outputs.

    It is called as in the plugin's ``extract``, unless that skips the head.
    """
    if isinstance(backbone.head, nn.Identity):
        raise NotApplicable("it is published without a head")
    spread(backbone.head)
    backbone.eval()
    net = backbone.native_network()
    if net is None:
        raise NotApplicable(f"the network has no one place called {backbone.head_path}")
    batch = small_batch(backbone)
    with torch.no_grad():
        given, features = backbone(batch), backbone.features(batch)
        wanted = _by_extract(backbone, net, batch)
        if wanted is None or wanted.shape != given.shape or torch.equal(wanted, features):
            wanted = _own_outputs(backbone, net, batch)
    assert_close(given, wanted, "head(features) is not what the network gives")


def _by_extract(backbone: Backbone, net: nn.Module, batch: Batch) -> Tensor | None:
    """The result of the plugin's ``extract`` for a network with its head; ``None`` if it fails."""
    try:
        return backbone.extract(net, batch)
    except Exception:  # it may read what only the network without its head gives
        return None


def _own_outputs(backbone: Backbone, net: nn.Module, batch: Batch) -> Tensor:
    """The outputs of the library's network for plain inputs, if it can be called with them."""
    try:
        return modality_of(backbone.spec).native_outputs(net, batch)
    except Exception as error:
        if backbone.extract is image_features:
            raise
        reason = first_line(error, kind=True)
        raise NotApplicable(
            f"'extract' leaves the head out, and the network takes other inputs: {reason}"
        ) from error
