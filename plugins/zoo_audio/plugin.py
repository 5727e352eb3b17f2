"""The plugin ``audio``: recordings, and networks for them."""

from __future__ import annotations

from collections.abc import Iterable

import zoo
from zoo_audio.catalogue import encoders
from zoo_audio.inputs import AudioInput
from zoo_audio.resolve import resolve

_CNN = zoo.BackboneSpec(
    name="audio-cnn",
    modality="audio",
    feature_dim=128,
    params=154_608,
    input=AudioInput(sample_rate=16_000, seconds=10.0, mels=64),
    loader="zoo_audio.cnn:load",
    license="Apache-2.0",
    tags=("cnn", "scratch", "small"),
    config={"channels": [16, 32, 64], "dropout": 0.25},
)


@zoo.hookimpl
def zoo_modalities() -> Iterable[zoo.ModalitySpec]:
    """``audio``."""
    yield zoo.ModalitySpec(
        name="audio",
        input=AudioInput,
        implementation="zoo_audio.modality:AUDIO",
    )


@zoo.hookimpl
def zoo_backbones() -> Iterable[zoo.BackboneSpec]:
    """``audio-cnn``, without pretrained weights, and encoders of Transformers."""
    yield _CNN
    yield from encoders()


@zoo.hookimpl
def zoo_featured() -> Iterable[str]:
    """The CNN, and one encoder of each family."""
    return ["audio-cnn", "ast-audioset", "wav2vec2-base", "hubert-base", "whisper-tiny"]


@zoo.hookimpl
def zoo_resolve(name: str) -> zoo.BackboneSpec | None:
    """Any other audio encoder of the Hub, ``hf/<org>/<name>``, or in a folder, ``path:<folder>``."""
    return resolve(name)
