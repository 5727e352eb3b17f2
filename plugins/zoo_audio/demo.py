"""Recordings for a first try: tones, chirps, noise and clicks, in a little noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from zoo_audio.reading import Recording

Sound = NDArray[np.floating[Any]]

RATE, SECONDS, EACH = 16_000, 1.0, 40
"""Samples a second, length, and recordings of a class."""


def _times() -> Sound:
    return np.arange(round(SECONDS * RATE), dtype=np.float32) / RATE


def _tone(random: Generator, low: float, high: float) -> Sound:
    phase = 2 * np.pi * random.uniform(low, high) * _times() + random.uniform(0, 6)
    return np.asarray(np.sin(phase))


def _chirp(random: Generator, *, rising: bool) -> Sound:
    first, last = random.uniform(200, 600), random.uniform(1500, 4000)
    times = _times()
    low_to_high = first * times + (last - first) * times**2 / (2 * SECONDS)
    phase = low_to_high if rising else low_to_high[::-1]
    return np.asarray(np.sin(2 * np.pi * phase))


def _noise(random: Generator) -> Sound:
    return random.standard_normal(len(_times())) / 3


def _clicks(random: Generator) -> Sound:
    samples = np.zeros(len(_times()))
    step = int(random.integers(RATE // 12, RATE // 5))
    samples[int(random.integers(0, step)) :: step] = 1
    return np.convolve(samples, np.exp(-np.arange(80) / 12), mode="same")


_SOUNDS: Mapping[str, Callable[[Generator], Sound]] = {
    "low tone": lambda random: _tone(random, 150, 450),
    "high tone": lambda random: _tone(random, 1500, 4000),
    "rising chirp": lambda random: _chirp(random, rising=True),
    "falling chirp": lambda random: _chirp(random, rising=False),
    "noise": _noise,
    "clicks": _clicks,
}

CLASSES = tuple(_SOUNDS)


def make_demo(seed: int) -> Iterator[tuple[Recording, str]]:
    """Recordings of one second at 16 kHz, with their classes."""
    random = np.random.default_rng(seed)
    for label, sound in _SOUNDS.items():
        for _ in range(EACH):
            loud = random.uniform(0.2, 0.9)
            background = random.uniform(0.002, 0.05) * random.standard_normal(len(_times()))
            samples = np.clip(loud * sound(random) + background, -1, 1)
            yield Recording(samples.astype(np.float32), RATE), label
