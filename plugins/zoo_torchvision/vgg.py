"""VGG (arXiv:1409.1556) with and without batch normalisation.

The features are the 4,096 inputs of the last linear layer. The two linear layers before it belong
to the backbone; each is a stage, together with its activation and dropout.
"""

from __future__ import annotations

from typing import cast

from torch import nn

from zoo import Backbone, BackboneSpec
from zoo_torchvision.network import network, wrap

HEAD = "classifier.6"

LINEAR_STAGES = {
    "classifier.0": ("classifier.0", "classifier.1", "classifier.2"),
    "classifier.3": ("classifier.3", "classifier.4", "classifier.5"),
}


def load(spec: BackboneSpec) -> Backbone:
    """Build a VGG."""
    net = network(spec.arch)
    stages = blocks(cast(nn.Sequential, net.features)) | LINEAR_STAGES
    return wrap(net, spec, head=HEAD, stages=stages)


def blocks(features: nn.Sequential) -> dict[str, tuple[str, ...]]:
    """Return ``block1`` to ``block5``, each of the layers up to and including a max-pool."""
    ends = [i + 1 for i, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]
    return {
        f"block{number}": tuple(f"features.{i}" for i in range(start, end))
        for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False), start=1)
    }
