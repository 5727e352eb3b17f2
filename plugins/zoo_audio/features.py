"""From a waveform to what a network takes: mel spectrograms by ``torch.stft``, and SpecAugment."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal

import torch
from numpy.random import Generator
from torch import Tensor

from zoo_audio.inputs import HOP, AudioInput, Features

Scale = Literal["htk", "slaney"]

WINDOW = 400
"""Samples of a frame, 25 ms at 16 kHz."""

_KALDI_FLOOR = 1.192092955078125e-07


def shape_of(given: AudioInput) -> tuple[int, ...]:
    """The shape of one prepared input."""
    if given.features == "waveform":
        return (given.samples,)
    if given.features == "kaldi":
        return (given.frames, given.mels)
    frames = given.padded // HOP
    return (given.mels, frames if given.features == "whisper" else frames + 1)


def features(waveform: Tensor, given: AudioInput) -> Tensor:
    """``(samples,)`` as the network takes it, of :func:`shape_of`."""
    return _KINDS[given.features](waveform, given)


def _log_mel(waveform: Tensor, given: AudioInput) -> Tensor:
    size = 512
    power = _power(waveform, torch.hann_window(WINDOW), size, center=True)
    filters = mel_filters(size // 2 + 1, given.mels, given.sample_rate, low=20.0)
    mels = torch.log(filters.T @ power + 1e-6)  # (mels, frames)
    return (mels - mels.mean()) / mels.std().clamp(min=1e-3)


def _whisper(waveform: Tensor, given: AudioInput) -> Tensor:
    """As the library's ``WhisperFeatureExtractor``."""
    power = _power(waveform, torch.hann_window(WINDOW), WINDOW, center=True)[:, :-1]
    filters = mel_filters(
        WINDOW // 2 + 1, given.mels, given.sample_rate, scale="slaney", high=8000.0
    )
    mels = (filters.T @ power).clamp(min=1e-10).log10()
    return (torch.maximum(mels, mels.max() - 8.0) + 4.0) / 4.0


def _kaldi(waveform: Tensor, given: AudioInput) -> Tensor:
    """As the library's ``ASTFeatureExtractor``: Kaldi's filter bank, ``(frames, mels)``."""
    size = 512
    frames = waveform.unfold(0, WINDOW, HOP)  # (frames, WINDOW)
    frames = frames - frames.mean(dim=1, keepdim=True)
    before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
    frames = (frames - 0.97 * before) * torch.hann_window(WINDOW, periodic=False)
    power = torch.fft.rfft(frames, n=size).abs() ** 2  # (frames, size / 2 + 1)
    filters = _kaldi_filters(size, given.mels, given.sample_rate)
    mels = (power @ filters).clamp(min=_KALDI_FLOOR).log()
    padded = torch.nn.functional.pad(mels, (0, 0, 0, max(0, given.frames - len(mels))))
    return (padded[: given.frames] - given.mean) / (2 * given.std)


def _waveform(waveform: Tensor, given: AudioInput) -> Tensor:
    if not given.normalize:
        return waveform
    spread = torch.sqrt(waveform.var(correction=0) + 1e-7)
    return (waveform - waveform.mean()) / spread


_KINDS: Mapping[Features, Callable[[Tensor, AudioInput], Tensor]] = {
    "log-mel": _log_mel,
    "kaldi": _kaldi,
    "whisper": _whisper,
    "waveform": _waveform,
}


def _power(waveform: Tensor, window: Tensor, size: int, *, center: bool) -> Tensor:
    """The power spectrogram, ``(size / 2 + 1, frames)``."""
    spectrum = torch.stft(
        waveform,
        size,
        hop_length=HOP,
        win_length=WINDOW,
        window=window,
        center=center,
        return_complex=True,
    )
    return spectrum.abs() ** 2


@lru_cache(maxsize=16)
def mel_filters(
    bins: int,
    mels: int,
    rate: int,
    *,
    low: float = 0.0,
    high: float = 0.0,
    scale: Scale = "htk",
) -> Tensor:
    """Triangular filters, ``(bins, mels)``; those of the Slaney scale have equal areas.

    Args:
        bins: Frequencies of the spectrogram, from 0 to half the rate.
        mels: Number of filters.
        rate: Samples a second.
        low: The lower end of the first filter, in hertz.
        high: The upper end of the last; half the rate by default.
        scale: ``htk`` (O'Shaughnessy 1987) or ``slaney`` (Auditory Toolbox, 1998).
    """
    to_mel, to_hertz = _SCALES[scale]
    ends = torch.linspace(to_mel(low), to_mel(high or rate / 2), mels + 2, dtype=torch.float64)
    corners = torch.tensor([to_hertz(float(end)) for end in ends], dtype=torch.float64)
    filters = _triangles(torch.linspace(0, rate / 2, bins, dtype=torch.float64), corners)
    if scale == "slaney":
        filters = filters * (2.0 / (corners[2:] - corners[:-2]))
    return filters.float()


@lru_cache(maxsize=4)
def _kaldi_filters(size: int, mels: int, rate: int) -> Tensor:
    """Kaldi's: triangles on the mel scale, and nothing at half the rate."""
    to_mel, _ = _SCALES["htk"]
    hertz = torch.linspace(0, rate / 2, size // 2 + 1, dtype=torch.float64)
    places = torch.tensor([to_mel(float(each)) for each in hertz], dtype=torch.float64)
    corners = torch.linspace(to_mel(20.0), to_mel(rate / 2), mels + 2, dtype=torch.float64)
    return _triangles(places, corners).float()


def _triangles(places: Tensor, corners: Tensor) -> Tensor:
    """``(places, corners - 2)``: each rises from one corner to the next, and falls to the third."""
    left, middle, right = corners[:-2], corners[1:-1], corners[2:]
    rising = (places[:, None] - left) / (middle - left)
    falling = (right - places[:, None]) / (right - middle)
    return torch.minimum(rising, falling).clamp(min=0)


_STEP = 200 / 3
_CURVED = 15.0
_LOG_STEP = math.log(6.4) / 27


def _slaney_mel(hertz: float) -> float:
    return hertz / _STEP if hertz < 1000 else _CURVED + math.log(hertz / 1000) / _LOG_STEP


def _slaney_hertz(mel: float) -> float:
    return mel * _STEP if mel < _CURVED else 1000 * math.exp(_LOG_STEP * (mel - _CURVED))


_SCALES: Mapping[Scale, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "htk": (
        lambda hertz: 2595.0 * math.log10(1 + hertz / 700),
        lambda mel: 700.0 * (10 ** (mel / 2595) - 1),
    ),
    "slaney": (_slaney_mel, _slaney_hertz),
}


def masked(prepared: Tensor, given: AudioInput, generator: Generator) -> Tensor:
    """SpecAugment (Park et al. 2019, arXiv:1904.08779): two masks of bands and two of times.

    Masks are set to the mean of the input. A waveform has no bands; it is masked in time only.
    """
    kaldi = given.features == "kaldi"
    times = prepared.ndim - 1 if not kaldi else 0
    masked = prepared.clone()
    value = prepared.mean()
    for axis in range(prepared.ndim):
        largest = prepared.shape[axis] // (10 if axis == times else 6)
        for _ in range(2):
            width = int(generator.integers(0, largest + 1))
            start = int(generator.integers(0, prepared.shape[axis] - width + 1))
            masked.narrow(axis, start, width).copy_(
                value.expand_as(masked.narrow(axis, start, width))
            )
    return masked
