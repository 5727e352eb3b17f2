"""Two small networks that are trained from scratch, a CNN for images and an LSTM for texts; and two
kinds of adapters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zoo import AdapterKind, BackboneSpec, ImageInput, TextInput, hookimpl
from zoo_basics.adapters import ADAPTERS

_CNN = BackboneSpec(
    name="cnn",
    modality="image",
    feature_dim=128,
    params=150_688,
    input=ImageInput(size=64, crop=1.0, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), min_size=4),
    loader="zoo_basics.cnn:load",
    license="Apache-2.0",
    tags=("cnn", "scratch", "small"),
    config={"channels": [32, 64], "grid": 4, "dropout": 0.25},
)
_LSTM = BackboneSpec(
    name="lstm",
    modality="text",
    feature_dim=128,
    params=884_992,
    input=TextInput(
        max_length=256, pooling="mean", vocab_size=8_000, own_tokenizer=False, own_pooling=True
    ),
    loader="zoo_basics.lstm:load",
    license="Apache-2.0",
    paper="https://doi.org/10.1162/neco.1997.9.8.1735",
    tags=("lstm", "scratch", "small"),
    config={"embedding": 100, "dropout": 0.5},
)


@hookimpl
def zoo_backbones() -> Iterable[BackboneSpec]:
    """``cnn`` and ``lstm``; neither has pretrained weights."""
    return [_CNN, _LSTM]


@hookimpl
def zoo_featured() -> Iterable[str]:
    """Both."""
    return [_CNN.name, _LSTM.name]


@hookimpl
def zoo_adapters() -> Mapping[str, AdapterKind]:
    """``loha`` and ``lokr``."""
    return ADAPTERS
