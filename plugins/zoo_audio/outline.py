"""The outline of a recording, by which copies of it are found."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from zoo_audio.reading import Recording

SIDE = 32
"""Bands, and times."""

_LOWEST, _HIGHEST = 100.0, 3_400.0
"""Hertz, as over a telephone, so that recordings at 8 kHz have all of it."""

_WINDOW, _FRAMES = 0.064, 2_000
"""Seconds of a frame, and the most frames of a recording."""

_FLOOR = 1e-6  # 60 dB below the loudest


def outline(recording: Recording) -> NDArray[np.float32]:
    """``(32, 32)``, 0 to 255: how loud each band is at each time, relative to the loudest.

    It hardly changes with the rate or the volume, and with lossy compression.
    """
    bands = _power(recording) @ _bands(_size(recording.rate), recording.rate)  # (frames, 32)
    starts = np.arange(SIDE) * len(bands) // SIDE
    counts = np.diff(np.append(starts, len(bands))).astype(np.float32)
    loud = np.add.reduceat(bands, starts, axis=0).T / counts  # (32, 32)
    loudest = float(loud.max())
    if loudest <= 0:
        return np.zeros((SIDE, SIDE), dtype=np.float32)
    levels = np.log10(np.maximum(loud / loudest, _FLOOR)) / -np.log10(_FLOOR)  # -1 to 0
    return np.asarray(255 * (1 + levels), dtype=np.float32)


def _power(recording: Recording) -> NDArray[np.float32]:
    """``(frames, frequencies)``."""
    from scipy.fft import rfft

    size = _size(recording.rate)
    samples = np.pad(recording.samples, (0, max(0, size - len(recording.samples))))
    count = min(max(2 * len(samples) // size, 2 * SIDE), _FRAMES)
    starts = np.linspace(0, len(samples) - size, count).round().astype(np.int64)
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[starts]
    spectrum = rfft(frames * _hann(size), axis=1)[:, : len(_bands(size, recording.rate))]
    power: NDArray[np.float32] = spectrum.real**2 + spectrum.imag**2
    return power


def _size(rate: int) -> int:
    """The samples of a frame: a number of which Fourier transforms are fast."""
    from scipy.fft import next_fast_len

    return int(next_fast_len(max(round(rate * _WINDOW), 4), real=True))


@lru_cache(maxsize=8)
def _hann(size: int) -> NDArray[np.float32]:
    return np.hanning(size).astype(np.float32)


@lru_cache(maxsize=8)
def _bands(size: int, rate: int) -> NDArray[np.float32]:
    """``(frequencies, 32)``, how much of each frequency is in each band, from the lowest."""
    edges = np.geomspace(_LOWEST, _HIGHEST, SIDE + 1) * size / rate
    count = min(int(edges[-1]) + 1, size // 2 + 1)
    below = np.clip(edges - np.arange(count)[:, None], 0, 1)
    return np.diff(below, axis=1).astype(np.float32)
