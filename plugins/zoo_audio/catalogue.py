"""Rows for the audio encoders that are used most; any other is found by its name on the Hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from zoo import BackboneSpec, Weights
from zoo_audio.families import FAMILIES
from zoo_audio.resolve import CONFIG, LOADER


@dataclass(frozen=True, kw_only=True)
class _Row:
    name: str
    model_type: str
    repo: str
    params: int
    license: str
    paper: str
    width: int = 768
    classes: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)


_WHISPER = "https://arxiv.org/abs/2212.04356"


def _whisper(name: str, width: int, layers: int, params: int) -> _Row:
    config = {
        "d_model": width,
        "encoder_layers": layers,
        "encoder_attention_heads": width // 64,
        "encoder_ffn_dim": 4 * width,
    }
    return _Row(
        name=name,
        model_type="whisper",
        repo=f"openai/{name}",
        params=params,
        license="Apache-2.0",
        paper=_WHISPER,
        width=width,
        config=config,
    )


_ROWS = (
    _Row(
        name="ast-audioset",
        model_type="audio-spectrogram-transformer",
        repo="MIT/ast-finetuned-audioset-10-10-0.4593",
        params=86_594_063,
        license="BSD-3-Clause",
        paper="https://arxiv.org/abs/2104.01778",
        classes=527,
    ),
    _Row(
        name="wav2vec2-base",
        model_type="wav2vec2",
        repo="facebook/wav2vec2-base",
        params=94_370_944,
        license="Apache-2.0",
        paper="https://arxiv.org/abs/2006.11477",
    ),
    _Row(
        name="hubert-base",
        model_type="hubert",
        repo="facebook/hubert-base-ls960",
        params=94_370_944,
        license="Apache-2.0",
        paper="https://arxiv.org/abs/2106.07447",
    ),
    _whisper("whisper-tiny", 384, 4, 8_208_384),
    _whisper("whisper-base", 512, 6, 20_590_592),
    _whisper("whisper-small", 768, 12, 88_154_112),
)


def encoders() -> Iterator[BackboneSpec]:
    """Their specs."""
    for row in _ROWS:
        config = {"model_type": row.model_type, **row.config}
        weights = Weights(
            tag="hub",
            uri=f"hf:{row.repo}",
            license=row.license,
            default=True,
            classes=row.classes,
            config=CONFIG,
        )
        yield BackboneSpec(
            name=row.name,
            modality="audio",
            feature_dim=row.width,
            params=row.params,
            input=FAMILIES[row.model_type].input(config, {}),
            loader=LOADER,
            weights=(weights,),
            license="Apache-2.0",
            paper=row.paper,
            tags=(row.model_type, "pretrained"),
            config=config,
        )
