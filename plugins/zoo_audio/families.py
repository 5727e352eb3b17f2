"""What zoo must know about a family of Transformers' audio encoders, as data. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zoo_audio.inputs import HOP, AudioInput

Json = Mapping[str, Any]

ZOO_HEAD = "zoo_head"
"""Where a head is in the file of an encoder that the library has no such classifier for."""


@dataclass(frozen=True, kw_only=True)
class EncoderFamily:
    """How the encoders of one ``model_type`` are built.

    Attributes:
        network: The class in the library, by ``module:name``.
        call: The name of the input in the network's ``forward``.
        embeddings: Modules before the layers.
        layers: The list of layers.
        after: Modules behind the layers.
        late: The option of the config without which those come before the layers; empty for none.
        unadaptable: Modules that no adapter can stand for, as the network reads their attributes.
        head: Where the head is in the network, or :data:`ZOO_HEAD`.
        inside: Where the network is inside larger ones, as prefixes of the names in their files.
        beside: Prefixes of the tensors in published files that the encoder does not have.
        unused: Options of the config that are set so that training is reproducible: the library
            draws some masks with NumPy's global generator.
        width: The option that states the width of the hidden states.
        input: From the config and the preprocessor's config to what the network takes.
    """

    network: str
    call: str = "input_values"
    embeddings: tuple[str, ...]
    layers: str
    after: tuple[str, ...] = ()
    late: str = ""
    unadaptable: tuple[str, ...] = ()
    head: str = ZOO_HEAD
    inside: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    unused: Mapping[str, Any]
    width: str = "hidden_size"
    input: Callable[[Json, Json], AudioInput]


def _spectrogram_transformer(config: Json, prepared: Json) -> AudioInput:
    frames, rate = int(config.get("max_length", 1024)), int(prepared.get("sampling_rate", 16_000))
    return AudioInput(
        sample_rate=rate,
        seconds=frames * HOP / rate,
        features="kaldi",
        mels=int(config.get("num_mel_bins", 128)),
        frames=frames,
        mean=float(prepared.get("mean", -4.2677393)),
        std=float(prepared.get("std", 4.5689974)),
    )


def _waveform(config: Json, prepared: Json) -> AudioInput:
    trained_so = config.get("feat_extract_norm", "group") == "layer"  # the library's own rule
    return AudioInput(
        sample_rate=int(prepared.get("sampling_rate", 16_000)),
        seconds=10.0,
        features="waveform",
        normalize=bool(prepared.get("do_normalize", True)),
        mask=bool(prepared.get("return_attention_mask", trained_so)),
    )


def _whisper(config: Json, prepared: Json) -> AudioInput:
    frames = 2 * int(config.get("max_source_positions", 1500))
    rate = int(prepared.get("sampling_rate", 16_000))
    return AudioInput(
        sample_rate=rate,
        seconds=frames * HOP / rate,
        features="whisper",
        frames=frames,
        mels=int(config.get("num_mel_bins", 80)),
    )


_MASKS: Mapping[str, Any] = {
    "apply_spec_augment": False,
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
    "layerdrop": 0.0,
}

_WAVE = {
    "embeddings": ("feature_extractor", "feature_projection", "encoder.pos_conv_embed"),
    "layers": "encoder.layers",
    "after": ("encoder.layer_norm",),
    "late": "do_stable_layer_norm",
    "unused": _MASKS,
    "input": _waveform,
}

FAMILIES: Mapping[str, EncoderFamily] = {
    "audio-spectrogram-transformer": EncoderFamily(
        network="transformers:ASTForAudioClassification",
        embeddings=("audio_spectrogram_transformer.embeddings",),
        layers="audio_spectrogram_transformer.layers",
        after=("audio_spectrogram_transformer.layernorm", "classifier.layernorm"),
        head="classifier.dense",
        unused={},
        input=_spectrogram_transformer,
    ),
    "wav2vec2": EncoderFamily(
        network="transformers:Wav2Vec2Model",
        inside=("wav2vec2.",),
        beside=(
            *("quantizer.", "project_q.", "project_hid.", "lm_head.", "projector.", "classifier."),
            *("layer_weights", "masked_spec_embed"),
        ),
        **_WAVE,  # type: ignore[arg-type]
    ),
    "hubert": EncoderFamily(
        network="transformers:HubertModel",
        inside=("hubert.",),
        beside=("lm_head.", "projector.", "classifier.", "layer_weights", "masked_spec_embed"),
        **_WAVE,  # type: ignore[arg-type]
    ),
    "whisper": EncoderFamily(
        network="transformers.models.whisper.modeling_whisper:WhisperEncoder",
        call="input_features",
        embeddings=("conv1", "conv2", "embed_positions"),
        layers="layers",
        after=("layer_norm",),
        unadaptable=("conv1", "conv2"),
        inside=("model.encoder.", "encoder."),
        beside=("model.decoder.", "decoder.", "proj_out.", "projector.", "classifier."),
        unused={"encoder_layerdrop": 0.0},
        width="d_model",
        input=_whisper,
    ),
}
