"""The modality: functions that read, prepare and show recordings. Imports torch inside functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

import zoo
from zoo_audio import demo, reading
from zoo_audio.inputs import HOP, SHORTEST, AudioInput
from zoo_audio.outline import outline
from zoo_audio.reading import Recording

if TYPE_CHECKING:
    from numpy.random import Generator
    from torch import Tensor

ENDINGS = (".wav", ".flac", ".ogg", ".mp3")

_LOOKED_AT = 1_000
"""Recordings whose length is looked up, at most, where the check has not measured them."""


def shape(given: AudioInput) -> tuple[int, ...]:
    """The shape of one prepared input."""
    from zoo_audio.features import shape_of

    return shape_of(given)


def in_words(given: AudioInput) -> str:
    """Rate, length and features."""
    return f"{given.seconds:g} s at {given.sample_rate / 1000:g} kHz, {given.features}"


def prepare(recording: Recording, given: AudioInput, generator: Generator | None) -> Tensor:
    """A part of the length that the network takes, as its features."""
    import torch

    from zoo_audio.features import features, masked

    random = generator if given.augment else None
    wanted = round(given.seconds * recording.rate)
    part = _part(recording.samples, wanted, random)
    samples = reading.resampled(part, recording.rate, given.sample_rate)
    samples = _part(samples, given.samples, random)
    padding = 0 if given.mask else given.padded - len(samples)  # masked ones are padded in batches
    before = 0 if random is None else int(random.integers(0, padding + 1))
    waveform = torch.from_numpy(np.pad(samples, (before, padding - before)))
    prepared = features(waveform, given)
    return prepared if random is None else masked(prepared, given, random)


def _part(samples: reading.Waveform, wanted: int, random: Generator | None) -> reading.Waveform:
    """At most ``wanted`` samples: the middle, or a random part."""
    left = max(0, len(samples) - wanted)
    start = left // 2 if random is None else int(random.integers(0, left + 1))
    return samples[start : start + wanted]


def collate(prepared: Sequence[Tensor], given: AudioInput) -> dict[str, Tensor]:
    """Prepared inputs, padded at the end, and the mask of those whose network takes one."""
    import torch

    longest = shape(given)[-1]
    padded = [torch.nn.functional.pad(each, (0, longest - each.shape[-1])) for each in prepared]
    batch = {"input_values": torch.stack(padded)}
    if given.mask:
        lengths = torch.tensor([each.shape[-1] for each in prepared])
        batch["attention_mask"] = (torch.arange(longest) < lengths[:, None]).long()
    return batch


def fit(given: AudioInput, inputs: Sequence[Any], pretrained: bool) -> AudioInput:
    """No longer than the longest recording, in steps of half a second.

    Pretrained networks of waveforms take any length; those of spectrograms keep theirs.
    """
    if pretrained and given.features != "waveform":
        return given
    longest = max(_lengths(inputs), default=0.0)
    seconds = min(given.seconds, max(0.5, ceil(2 * longest) / 2))
    return replace(given, seconds=seconds) if longest else given


def facts(given: AudioInput, inputs: Sequence[Any]) -> dict[str, str]:
    """How many recordings are longer than the network's input."""
    lengths = _lengths(inputs)
    longer = sum(length > given.seconds + 0.01 for length in lengths)
    if not longer:
        return {}
    of = f"{longer:,} of {len(lengths):,}" + (" looked at" if len(inputs) > len(lengths) else "")
    return {
        "cut": f"{of} recordings are longer than {given.seconds:g} s: a random part is used in "
        "training, the middle otherwise"
    }


def _lengths(inputs: Sequence[Any]) -> list[float]:
    measures = getattr(inputs, "measures", None)
    if measures is not None:
        return [float(seconds) for seconds in measures]
    step = max(1, len(inputs) // _LOOKED_AT)
    return [reading.seconds_of(inputs[i]) for i in range(0, len(inputs), step)]


def measure(recording: Recording) -> float:
    """Its length in seconds."""
    return recording.seconds


def image(prepared: Tensor, given: AudioInput) -> Any:
    """The features as an image, low tones at the bottom; a waveform as its spectrogram."""
    import torch

    from zoo_audio.features import features

    values = prepared
    if prepared.ndim == 1:
        values = features(prepared, replace(given, features="log-mel"))
    if given.features == "kaldi":
        values = values.T
    low, high = torch.quantile(values.flatten()[:1_000_000], torch.tensor([0.02, 0.995]))
    grey = (values.flip(0) - low) / (high - low).clamp(min=1e-6)
    return (255 * grey.clamp(0, 1)).byte().numpy()


def preview(recording: Recording) -> Any:
    """The spectrogram of the first seconds."""
    given = AudioInput(seconds=max(SHORTEST, min(10.0, recording.seconds)), augment=False)
    return image(prepare(recording, given, None), given)


def across(given: AudioInput) -> int:
    """The axis of time."""
    return 0 if given.features == "kaldi" else -1


def views(prepared: Tensor, given: AudioInput) -> list[Tensor]:
    """A batch a sixteenth earlier and later; none where a mask says which part is padding."""
    if given.mask:
        return []
    axis = 1 if given.features == "kaldi" else -1
    shift = prepared.shape[axis] // 16
    return [prepared.roll(-shift, axis), prepared.roll(shift, axis)]


def steps(given: AudioInput) -> list[dict[str, Any]]:
    """From a file to the tensor."""
    from zoo_audio.features import WINDOW

    spectrogram = {"window": WINDOW, "hop": HOP, "mels": given.mels}
    how: dict[str, dict[str, Any]] = {
        "log-mel": {"fft": 512, "low": 20, "log": "natural, plus 1e-6", "standardise": True},
        "whisper": {"fft": WINDOW, "mel_scale": "slaney", "log": "as WhisperFeatureExtractor"},
        "kaldi": {"frames": given.frames, "mean": given.mean, "std": given.std},
    }
    parts: list[dict[str, Any]] = [
        {"do": "decode", "channels": "mean"},
        {"do": "middle", "seconds": given.seconds},
        {"do": "resample", "rate": given.sample_rate},
    ]
    pad = {"do": "pad", "samples": given.padded, "where": "end"}
    if given.mask:
        standardise = [{"do": "standardise"}] if given.normalize else []
        return [*parts, *standardise, {**pad, "mask": "attention_mask"}]
    parts.append(pad)
    if given.features in how:
        return [*parts, {"do": given.features, **spectrogram, **how[given.features]}]
    return [*parts, {"do": "standardise"}] if given.normalize else parts


AUDIO = zoo.FileModality(
    name="audio",
    noun="recording",
    nouns="recordings",
    endings=ENDINGS,
    main_input="input_values",
    shape=shape,
    in_words=in_words,
    read=reading.read,
    prepare=prepare,
    collate=collate,
    demo_classes=demo.CLASSES,
    make_demo=demo.make_demo,
    demo_epochs=6,
    encode=reading.to_wav,
    takes=reading.is_recording,
    objects="arrays with their rate: (array, 16000)",
    columns=("audio", "recording", "sound", "path", "audio_path", "file", "file_name", "filename"),
    digest=reading.digest,
    outline=outline,
    measure=measure,
    libraries=("soundfile", "scipy"),
    fit=fit,
    facts=facts,
    image=image,
    preview=preview,
    across=across,
    views=views,
    steps=steps,
)
