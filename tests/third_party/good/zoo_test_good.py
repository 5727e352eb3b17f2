import zoo


@zoo.hookimpl
def zoo_backbones():
    yield zoo.BackboneSpec(
        name="net",
        modality="image",
        params=1_226,
        input=zoo.ImageInput(size=32, min_size=3),
        loader="zoo_test_good:load",
    )


def load(spec):
    from torch import nn

    blocks = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net = nn.Sequential(blocks, nn.Linear(32, 10))
    return zoo.Backbone.wrap(net, spec=spec, head="1", stages={"blocks": ["0"]})
