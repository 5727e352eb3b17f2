"""A plugin whose network has VGG-16's names and shapes where the documents touch them, and is small."""

from __future__ import annotations

import zoo

WIDTHS = (8, 8, "M", 8, 8, "M", 8, 8, 8, "M", 512, 512, 512, "M", 512, 512, 512, "M")


@zoo.hookimpl
def zoo_backbones():
    yield zoo.BackboneSpec(
        name="vgg16",
        modality="image",
        feature_dim=16,
        params=0,
        input=zoo.ImageInput(size=32, min_size=32),
        loader="standins:load",
    )


def load(spec):
    from torch import nn
    from torchvision.models.vgg import VGG, make_layers

    net = VGG(make_layers(list(WIDTHS)), init_weights=False)
    net.avgpool = nn.AdaptiveAvgPool2d(1)
    net.classifier[0], net.classifier[3] = nn.Linear(512, 16), nn.Linear(16, 16)
    net.classifier[6] = nn.Linear(16, 1000)
    stages = {
        "features": ["features"],
        "classifier.0": ["classifier.0"],
        "classifier.3": ["classifier.3"],
    }
    return zoo.Backbone.wrap(net, spec=spec, head="classifier.6", stages=stages)
