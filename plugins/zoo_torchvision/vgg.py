"""VGG (arXiv:1409.1556) with and without batch normalisation.

The features are the 4,096 numbers before the last linear layer. The two linear layers in front
of it belong to the backbone, each a stage with its activation and dropout.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from zoo import Backbone, BackboneSpec, Weights, fetch, read_state_dict
from zoo_torchvision.network import network, wrap

HEAD = "classifier.6"

LINEAR_STAGES = {
    "classifier.0": ("classifier.0", "classifier.1", "classifier.2"),
    "classifier.3": ("classifier.3", "classifier.4", "classifier.5"),
}

CONVOLUTIONS_ONLY = "IMAGENET1K_FEATURES"
"""torchvision's tag of weights with valid values in ``features`` alone."""


def load(spec: BackboneSpec, weights: Weights | None) -> Backbone:
    """Any of torchvision's VGG networks.

    Weights tagged ``IMAGENET1K_FEATURES`` fill the convolutions; the linear layers keep their
    random parameters, because torchvision publishes no valid ones.
    """
    partial = weights is not None and weights.tag == CONVOLUTIONS_ONLY
    net = network(spec.arch)
    stages = blocks(cast(nn.Sequential, net.features)) | LINEAR_STAGES
    backbone = wrap(net, spec, head=HEAD, stages=stages, loaded=_convolutions if partial else None)
    if weights is not None and partial:
        _load_convolutions(backbone, weights)
    return backbone


def blocks(features: nn.Sequential) -> dict[str, tuple[str, ...]]:
    """``block1`` to ``block5``: the layers up to and including each max-pool."""
    ends = [i + 1 for i, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]
    return {
        f"block{number}": tuple(f"features.{i}" for i in range(start, end))
        for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False), start=1)
    }


def _load_convolutions(backbone: Backbone, weights: Weights) -> None:
    path = fetch(weights)
    own = {k: v for k, v in backbone.net.state_dict().items() if k.startswith("classifier.")}
    state = own | _convolutions(read_state_dict(path))
    backbone.load_native_state_dict(state, source=f"the weights in {path}")


def _convolutions(published: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v for k, v in published.items() if k.startswith("features.")}
