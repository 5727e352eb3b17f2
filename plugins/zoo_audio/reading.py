"""Recordings: read by soundfile, mixed to one channel, resampled by SciPy."""

from __future__ import annotations

import io
import re
import wave
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

import zoo
from zoo_audio.inputs import HIGHEST, LONGEST

Waveform = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Recording:
    """One channel of sound in memory.

    Attributes:
        samples: ``(N,)``, float32 in [-1, 1].
        rate: Samples a second.
    """

    samples: Waveform
    rate: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / self.rate


def read(raw: Any) -> Recording:
    """A recording from a path, the bytes of a file, or one in memory (:func:`is_recording`).

    Raises:
        ValueError: It is damaged, empty, too long, or not audio.
        OSError: It cannot be read.
        UsageError: soundfile is not installed.
    """
    if isinstance(raw, Recording):
        return raw
    if is_recording(raw):
        array, rate = _array_and_rate(raw)
        channels = _channels_last(array)
        _check(len(channels), int(rate))
        return _mixed(channels, int(rate))
    with _opened(raw) as file:
        _check(file.frames, file.samplerate)
        if _is_cut_off(file.extra_info):
            raise ValueError("it is truncated: its header declares more samples than it contains")
        channels = file.read(dtype="float32", always_2d=True)  # (N, channels)
        rate = int(file.samplerate)
    return _mixed(channels, rate)


def _check(count: int, rate: int) -> None:
    """Raise a ``ValueError`` for a rate that no recording has, or too many samples."""
    if not 1 <= rate <= HIGHEST:
        raise ValueError(f"its rate must be 1 to {HIGHEST:,}, got {rate:,}")
    if count / rate > LONGEST:
        raise ValueError(f"it is longer than {LONGEST:,.0f} seconds; cut it into parts")


def _mixed(channels: Waveform, rate: int) -> Recording:
    """One channel from the samples of all, ``(N, channels)``."""
    if not len(channels):
        raise ValueError("it has no samples")
    samples = channels.mean(axis=1, dtype=np.float32)
    if not np.isfinite(samples).all():
        raise ValueError("it has samples that are not finite")
    return Recording(samples, rate)


def is_recording(given: Any) -> bool:
    """Whether an object is a recording in memory.

    A :class:`Recording`, ``(array, rate)``, or ``{"array": …, "sampling_rate": …}`` as ``datasets``
    decodes it. Arrays and tensors have the shape ``(N,)``, ``(channels, N)`` or ``(N, channels)``.
    """
    if isinstance(given, Recording):
        return True
    array, rate = _array_and_rate(given)
    is_rate = isinstance(rate, (int, np.integer)) and not isinstance(rate, bool)
    return is_rate and hasattr(array, "__array__") and getattr(array, "ndim", 0) in (1, 2)


def _array_and_rate(given: Any) -> tuple[Any, Any]:
    if isinstance(given, Mapping) and {"array", "sampling_rate"} <= set(given):
        return given["array"], given["sampling_rate"]
    return given if isinstance(given, tuple) and len(given) == 2 else (None, None)


def _channels_last(given: Any) -> Waveform:
    """Samples ``(N, channels)`` in [-1, 1], from floats or integers; the shorter axis is channels."""
    array = np.asarray(given)
    kind, half = array.dtype.kind, 2.0 ** (8 * array.dtype.itemsize - 1)
    if kind not in "iuf":
        raise ValueError(f"its samples are of type {array.dtype}, not numbers")
    if kind != "f":
        array = (array.astype(np.float64) - (half if kind == "u" else 0)) / half
    samples: Waveform = array.astype(np.float32)
    if samples.ndim == 1:
        return samples[:, None]
    return samples.T if samples.shape[0] < samples.shape[1] else samples


def seconds_of(raw: Any) -> float:
    """The length of a recording, from the header of its file; 0 if it cannot be read."""
    try:
        if is_recording(raw):
            return read(raw).seconds
        with _opened(raw) as file:
            return float(file.frames / file.samplerate)
    except (OSError, ValueError):
        return 0.0


@contextmanager
def _opened(raw: Any) -> Iterator[Any]:
    """An open ``soundfile.SoundFile``; its errors become ``ValueError``."""
    soundfile = _library()
    with io.BytesIO(raw) if isinstance(raw, bytes) else open(raw, "rb") as stream:
        try:
            with soundfile.SoundFile(stream) as file:
                yield file
        except soundfile.SoundFileError as error:
            text = getattr(error, "error_string", "") or str(error)
            raise ValueError(text.strip().rstrip(".") or "not a readable audio format") from error


_DECLARED = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)

_STREAMED = 2**31 - 4096
"""Programs that write a stream do not know its size, and declare about this many bytes or more."""


def _is_cut_off(log: str) -> bool:
    """Whether libsndfile's log says that a WAV file is shorter than it declares."""
    found = _DECLARED.search(log)
    return found is not None and int(found[2]) < int(found[1]) < _STREAMED


def _library() -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: without libsndfile
        raise zoo.UsageError(
            f"reading recordings needs soundfile, which cannot be imported: {zoo.first_line(error)}",
            hint="Install it: pip install 'zoo-finetune[audio]'",
        ) from error
    return soundfile


def resampled(samples: Waveform, before: int, after: int) -> Waveform:
    """The same sound at another rate, by a polyphase filter."""
    if before == after:
        return samples
    from scipy.signal import resample_poly

    common = gcd(before, after)
    return np.asarray(resample_poly(samples, after // common, before // common), dtype=np.float32)


def to_wav(raw: Any) -> bytes:
    """A recording in memory as a WAV file of 16 bits; needs no soundfile."""
    recording = read(raw)
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(recording.rate)
        out.writeframes(_as_int16(recording.samples).tobytes())
    return file.getvalue()


def digest(recording: Recording) -> bytes:
    """Equal for the same sound in another lossless format."""
    return recording.rate.to_bytes(4, "little") + _as_int16(recording.samples).tobytes()


def _as_int16(samples: Waveform) -> NDArray[np.int16]:
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2")
