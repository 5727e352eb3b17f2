"""The encoders of segmentation-models-pytorch as backbones: the deepest maps, averaged."""

import zoo

ENCODERS = {"resnet18": (512, 11_176_512), "mobilenet_v2": (1280, 2_223_872)}
"""Names to widths and numbers of parameters."""


@zoo.hookimpl
def zoo_backbones():
    for name, (width, params) in ENCODERS.items():
        yield zoo.BackboneSpec(
            name=name,
            modality="image",
            feature_dim=width,
            params=params,
            input=zoo.ImageInput(size=224, min_size=32),
            loader="zoo_test_encoders:load",
            license="MIT",
        )


def load(spec):
    from segmentation_models_pytorch.encoders import get_encoder

    net = get_encoder(spec.arch, weights=None)
    prefix = "features." if hasattr(net, "features") else ""
    parts = getattr(net, "features", net).named_children()
    stages = {name: [f"{prefix}{name}"] for name, part in parts if list(part.parameters())}
    return zoo.Backbone.wrap(net, spec=spec, head="fc", stages=stages, extract=deepest)


def deepest(net, batch):
    """From images (B, 3, H, W) to the average of the last maps, (B, feature_dim)."""
    return net(batch["pixel_values"])[-1].mean(dim=(2, 3))
