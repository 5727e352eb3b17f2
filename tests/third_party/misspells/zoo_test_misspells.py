"""Misspells a hook."""

import zoo


@zoo.hookimpl
def zoo_backbone():
    yield zoo.BackboneSpec(
        name="net",
        modality="image",
        feature_dim=8,
        params=224,
        input=zoo.ImageInput(size=32),
        loader="zoo_test_misspells:load",
    )


def load(spec):
    from torch import nn

    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return zoo.Backbone.wrap(net, spec=spec, head="head", stages=["0"])
