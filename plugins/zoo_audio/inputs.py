"""What a network for recordings takes. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from zoo import ContractError, InputSpec

Features = Literal["log-mel", "kaldi", "whisper", "waveform"]

SHORTEST, LONGEST = 0.1, 3600.0
"""Seconds of a recording; an hour at 48 kHz takes 0.7 GB."""

HIGHEST = 768_000
"""Samples a second."""

HOP = 160
"""Samples between the frames of a spectrogram."""


@dataclass(frozen=True, kw_only=True)
class AudioInput(InputSpec):
    """Audio input of a network: how a recording becomes a tensor.

    Attributes:
        sample_rate: Samples a second; recordings are resampled to it, and mixed to one channel.
        seconds: The length of an input. Shorter recordings are padded with silence; of longer
            ones a random part is used in training and the middle otherwise.
        features: ``log-mel``: ``(mels, frames)``, the logarithm of a mel spectrogram with mean 0
            and standard deviation 1 in each recording. ``kaldi``: ``(frames, mels)``, as the Audio
            Spectrogram Transformer takes it. ``whisper``: ``(mels, frames)``. ``waveform``:
            ``(samples,)``.
        mels: Bands of the mel spectrogram.
        frames: Length of ``kaldi`` and ``whisper`` features in a network of fixed length; shorter
            ones are padded.
        mean: Of ``kaldi`` features, from the training data of the weights.
        std: The same; features are divided by twice the value.
        normalize: Whether a ``waveform`` has mean 0 and standard deviation 1.
        mask: Whether a batch of waveforms has an ``attention_mask``, without which the padding of
            shorter ones counts as silence; networks take it if they were trained with it.
        augment: Whether training crops at random and masks bands and times (SpecAugment).
    """

    modality: ClassVar[str] = "audio"
    options: ClassVar[Mapping[str, str]] = {
        "seconds": "length of a recording that the network takes",
        "augment": "whether training crops, shifts and masks at random: true or false",
    }

    sample_rate: int = 16_000
    seconds: float = 10.0
    features: Features = "log-mel"
    mels: int = 64
    frames: int = 0
    mean: float = 0.0
    std: float = 0.5
    normalize: bool = True
    mask: bool = False
    augment: bool = True

    def __post_init__(self) -> None:
        for name, least, most in (
            ("sample_rate", 1_000, HIGHEST),
            ("seconds", SHORTEST, self.frames * HOP / self.sample_rate if self.frames else LONGEST),
            ("mels", 8, 512),
            ("frames", 0, 100_000),
            ("std", 1e-12, 1e12),
        ):
            if not least <= (value := getattr(self, name)) <= most:
                raise ContractError(
                    f"invalid spec: {name} must be {least:g} to {most:g}, got {value:g}",
                    hint="See AudioInput in docs/audio.md for the ranges.",
                )

    @staticmethod
    def in_short(given: Mapping[str, Any]) -> str:
        """The rate and length in a few characters, of the JSON form."""
        return f"{given['sample_rate'] / 1000:g} kHz, {given['seconds']:g} s"

    @property
    def samples(self) -> int:
        """Samples of an input."""
        return round(self.seconds * self.sample_rate)

    @property
    def padded(self) -> int:
        """Samples of an input with the padding that its features need."""
        return self.frames * HOP if self.features == "whisper" and self.frames else self.samples
