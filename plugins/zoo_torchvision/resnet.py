"""ResNet (arXiv:1512.03385), ResNeXt (arXiv:1611.05431), Wide ResNet (arXiv:1605.07146)."""

from __future__ import annotations

from zoo import Backbone, BackboneSpec
from zoo_torchvision.network import network, wrap

HEAD = "fc"

STAGES = {
    "stem": ("conv1", "bn1"),
    "layer1": ("layer1",),
    "layer2": ("layer2",),
    "layer3": ("layer3",),
    "layer4": ("layer4",),
}


def load(spec: BackboneSpec) -> Backbone:
    """Build a ResNet, ResNeXt or Wide ResNet: a stem and four groups of residual blocks."""
    return wrap(network(spec.arch), spec, head=HEAD, stages=STAGES)
