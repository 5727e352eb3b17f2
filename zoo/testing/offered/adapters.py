"""Kinds of adapters, trained for a step on small networks."""

from __future__ import annotations

from torch import Tensor, nn

from zoo.contract.adapters import AdapterKind, imported
from zoo.contract.network.backbone import Backbone
from zoo.contract.network.batch import Batch
from zoo.contract.spec import BackboneSpec, ImageInput, TextInput
from zoo.engine.strategies import adapter
from zoo.registry.offers import Offer
from zoo.testing.checks.adapted import train_a_step
from zoo.testing.checks.base import NotApplicable

WIDTH, TOKENS = 8, 50


def check_adapter(offer: Offer[AdapterKind]) -> None:
    """Train an adapter on the first small network with layers for it; raises where that fails.

    Raises:
        NotApplicable: Neither network has any.
    """
    assert isinstance(offer.value, AdapterKind), f"{offer} is not a zoo.AdapterKind"
    for backbone in (_of_images(), _of_texts()):
        if _fits(offer.value, backbone):
            train_a_step(backbone, adapter(offer.name, offer.value))
            return
    raise NotApplicable(f"{offer} fits no layer of the networks it is tried on")


def _fits(kind: AdapterKind, backbone: Backbone) -> bool:
    if not kind.inserts:
        return bool(list(imported(kind.parameters)(backbone.net)))
    layers = map(backbone.net.get_submodule, backbone.adapter_targets())
    return any(kind.layers_include(type(layer)) for layer in layers)


def _of_images() -> Backbone:
    """Convolution, linear layers, and both ways of normalisation."""
    net = nn.Sequential(
        *(nn.Conv2d(3, WIDTH, 3), nn.BatchNorm2d(WIDTH), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
        *(nn.Flatten(), nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH), nn.GELU()),
        *(nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2)),
    )
    spec = BackboneSpec(
        name="check/images", input=ImageInput(size=8), loader=_of_images, feature_dim=WIDTH
    )
    return Backbone.wrap(net, spec=spec, head="9")


def _of_texts() -> Backbone:
    """Embeddings alone."""
    spec = BackboneSpec(
        name="check/texts", input=TextInput(vocab_size=TOKENS), loader=_of_texts, feature_dim=WIDTH
    )
    net = nn.Sequential(nn.Embedding(TOKENS, WIDTH))
    return Backbone.wrap(net, spec=spec, head="head", extract=_mean)


def _mean(net: nn.Module, batch: Batch) -> Tensor:
    vectors: Tensor = net(batch["input_ids"])
    return vectors.mean(dim=1)
