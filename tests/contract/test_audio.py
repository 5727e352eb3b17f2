"""Recordings: read, resampled, turned into features as Transformers does, and the CNN for them."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pandas
import pytest
import torch
import transformers
from torch import Tensor
from transformers import ASTFeatureExtractor, WhisperFeatureExtractor
from transformers.audio_utils import mel_filter_bank

import zoo
from tests.end_to_end.test_resume import StopsAt
from tests.opened import open_data
from zoo.data.samples import Samples
from zoo.data.sequences import Listed, Paths
from zoo.errors import BadFilesError, ContractError, DataError, NameLookupError, Stopped, UsageError
from zoo.export import export_run
from zoo.modalities.files.reading import examine as examine_files
from zoo.modalities.files.reading import read_sample
from zoo.registry.registry import Registry
from zoo.runs.request import Request
from zoo.testing import examine
from zoo.weights.loading.load import read_state_dict
from zoo_audio import reading
from zoo_audio.demo import make_demo
from zoo_audio.features import features, masked, mel_filters, shape_of
from zoo_audio.inputs import AudioInput
from zoo_audio.modality import AUDIO, across, collate, facts, fit, image, prepare, preview
from zoo_audio.plugin import zoo_backbones
from zoo_audio.reading import Recording
from zoo_audio.resolve import resolve

soundfile = pytest.importorskip("soundfile", reason="the extra 'audio' is not installed")

SPECS = {spec.name: spec.in_namespace("audio") for spec in zoo_backbones()}


def tone(hertz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    times = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def loudest(samples: np.ndarray, rate: int) -> float:
    """The frequency with the most energy, in hertz."""
    return float(np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples))


# -- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", AUDIO.endings)
def test_every_format_is_read_mixed_and_resampled(ending: str, tmp_path: Path) -> None:
    left, file = tone(440, 44_100), tmp_path / f"a{ending}"
    soundfile.write(file, np.stack([left, np.zeros_like(left)], axis=1), 44_100)
    recording = reading.read(str(file))
    assert recording.rate == 44_100
    assert np.abs(recording.samples[5000:-5000]).max() == pytest.approx(0.25, abs=0.02)
    samples = reading.resampled(recording.samples, 44_100, 16_000)
    assert loudest(samples, 16_000) == pytest.approx(440, abs=2)
    assert len(samples) == pytest.approx(16_000 * recording.seconds, abs=1)
    assert reading.read(file.read_bytes()).samples.shape == recording.samples.shape


def _bad(folder: Path) -> dict[str, str]:
    """Damaged files by name, each with a part of the reason."""
    sound = (32767 * tone(440, 16_000)).astype(np.int16)
    soundfile.write(folder / "good.wav", sound, 16_000)
    soundfile.write(folder / "same.flac", sound, 16_000)
    whole = (folder / "good.wav").read_bytes()
    (folder / "noise.wav").write_bytes(b"x" * 300)
    (folder / "nothing.flac").write_bytes(b"")
    (folder / "cut.wav").write_bytes(whole[:9000])
    soundfile.write(folder / "zero.wav", np.zeros(0), 16_000)
    soundfile.write(folder / "nan.wav", np.full(9, np.nan, np.float32), 16_000, subtype="FLOAT")
    header = whole[:24] + (1).to_bytes(4, "little") + whole[28:]  # one sample a second
    (folder / "long.wav").write_bytes(header)
    return {
        "noise.wav": "not recognised", "nothing.flac": "not recognised", "cut.wav": "truncated",
        "zero.wav": "no samples", "nan.wav": "not finite", "long.wav": "longer than 3,600 seconds",
        "absent.wav": "no such file",
    }  # fmt: skip


def test_a_damaged_recording_is_named_with_the_reason(tmp_path: Path) -> None:
    reasons = _bad(tmp_path)
    for name, reason in reasons.items():
        with pytest.raises(BadFilesError, match=reason) as caught:
            read_sample(AUDIO, str(tmp_path / name), name)
        assert caught.value.paths == (name,)
    names = ["good.wav", "same.flac", *reasons]
    found = examine_files(AUDIO, Paths.under(tmp_path, names))
    assert sorted(found.reasons) == list(range(2, len(names)))
    assert found.contents[0] == found.contents[1]  # the same sound in another format
    assert AUDIO.thumbnail(tmp_path / "noise.wav", 80) is None
    assert (AUDIO.thumbnail(tmp_path / "good.wav", 80) or b"")[:2] == b"\xff\xd8"


def test_without_soundfile_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(UsageError, match="soundfile") as caught:
        reading.read(b"RIFF")
    assert "zoo-finetune[audio]" in caught.value.hint


def test_a_recording_in_memory_becomes_a_file() -> None:
    given = Recording(tone(440, 8000), 8000)
    again = reading.read(reading.to_wav(given))
    assert again.rate == 8000
    assert np.allclose(again.samples, given.samples, atol=1e-4)


def test_arrays_with_a_rate_and_audio_columns_are_recordings() -> None:
    sounds = [(32767 * tone(400 + 100 * i, 8000, 0.1)).astype(np.int16) for i in range(10)]
    labels = [("low", "high")[i // 5] for i in range(10)]
    files = [reading.to_wav((sound, 8000)) for sound in sounds]
    column = datasets.Dataset.from_dict({"audio": files, "label": labels})
    given = [
        list(zip(files, labels, strict=True)),
        [((sound, 8000), label) for sound, label in zip(sounds, labels, strict=True)],
        [((torch.from_numpy(sound / 32768).expand(2, -1), 8000), label)
         for sound, label in zip(sounds, labels, strict=True)],
        [({"array": sound.astype(np.int32) * 65536, "sampling_rate": 8000}, label)
         for sound, label in zip(sounds, labels, strict=True)],
        column.cast_column("audio", datasets.Audio()),
    ]  # fmt: skip
    first, *others = (open_data(each, kind=AUDIO) for each in given)
    assert [each.fingerprint for each in others] == [first.fingerprint] * 4
    assert reading.seconds_of((sounds[0], 8000)) == pytest.approx(0.1)
    assert not AUDIO.in_memory((sounds[0], "8000"))
    unsigned = (sounds[0].astype(np.int32) + 32768).astype(np.uint16)
    assert np.allclose(reading.read((unsigned, 8000)).samples, sounds[0] / 32768)
    for array, rate, reason in (
        (np.zeros(0, np.float32), 8000, "no samples"),
        (np.zeros(9, bool), 8000, "type bool"),
        (np.zeros(9, np.float32), 0, "rate must be"),
        (np.zeros(9, np.float32), 2**40, "rate must be"),
        (np.zeros(4000, np.float32), 1, "longer than 3,600 seconds"),
        (np.full(9, np.nan, np.float32), 8000, "not finite"),
    ):
        with pytest.raises(BadFilesError, match=reason):
            read_sample(AUDIO, (array, rate), "memory")
    bad = [*given[1][:4], ((array, 8000), "high"), (None, "high")]
    frame = pandas.DataFrame(bad, columns=["audio", "label"])
    with pytest.raises(BadFilesError, match=r"row 5: .* not finite; .* row 6: there is no rec"):
        open_data(frame, kind=AUDIO)
    with pytest.raises(DataError) as caught:
        open_data([(array, "low")], kind=AUDIO)
    assert "(array, 16000)" in caught.value.hint


# -- features -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_mel_filters_are_those_of_transformers(scale: Any) -> None:
    theirs = mel_filter_bank(
        201, 80, 0.0, 8000.0, 16_000, norm="slaney" if scale == "slaney" else None, mel_scale=scale
    )
    ours = mel_filters(201, 80, 16_000, scale=scale, high=8000.0)
    assert np.allclose(ours.numpy(), theirs, atol=1e-6)


def test_whisper_features_are_those_of_the_library() -> None:
    wave = tone(440, 16_000, 3.0) + 0.01 * np.random.default_rng(0).standard_normal(48_000)
    extractor = WhisperFeatureExtractor(feature_size=80, chunk_length=3)
    theirs = extractor(wave.astype(np.float32), sampling_rate=16_000, return_tensors="np")
    given = AudioInput(seconds=3.0, features="whisper", mels=80)
    ours = features(torch.from_numpy(wave.astype(np.float32)), given)
    assert tuple(ours.shape) == shape_of(given) == theirs["input_features"].shape[1:]
    assert np.allclose(ours.numpy(), theirs["input_features"][0], atol=2e-3)


def test_kaldi_features_are_those_of_the_library() -> None:
    wave = tone(440, 16_000) + 0.01 * np.random.default_rng(0).standard_normal(16_000)
    extractor = ASTFeatureExtractor(max_length=120, num_mel_bins=64)
    theirs = extractor(wave.astype(np.float32), sampling_rate=16_000, return_tensors="np")
    given = AudioInput(
        seconds=1.0, features="kaldi", mels=64, frames=120, mean=extractor.mean, std=extractor.std
    )
    ours = features(torch.from_numpy(wave.astype(np.float32)), given)
    assert ours.shape == (120, 64)
    assert np.allclose(ours.numpy(), theirs["input_values"][0], atol=2e-2)


@pytest.mark.parametrize("kind", ["log-mel", "kaldi", "whisper", "waveform"])
def test_every_kind_has_its_shape_and_is_augmented_by_the_generator_alone(kind: Any) -> None:
    given = AudioInput(seconds=0.5, features=kind, frames=50)
    for seconds in (0.1, 0.5, 2.0):
        recording = Recording(tone(900, 22_050, seconds), 22_050)
        plain = prepare(recording, given, None)
        assert tuple(plain.shape) == shape_of(given)
        assert torch.isfinite(plain).all()
        first, again, other = (
            prepare(recording, given, np.random.default_rng(seed)) for seed in (1, 1, 2)
        )
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        off = replace(given, augment=False)
        assert torch.equal(prepare(recording, off, np.random.default_rng(1)), plain)
    assert image(plain, given).ndim == 2
    assert across(given) == (0 if kind == "kaldi" else -1)


def test_specaugment_masks_bands_and_times() -> None:
    given = AudioInput(seconds=1.0)
    whole = torch.randn(shape_of(given), generator=torch.Generator().manual_seed(0))
    changed = masked(whole, given, np.random.default_rng(3)) != whole
    rows, columns = changed.all(dim=1).sum(), changed.all(dim=0).sum()
    assert 0 < rows <= 2 * 64 // 6
    assert 0 < columns <= 2 * 101 // 10


def test_the_input_is_fitted_to_recordings_where_the_network_takes_any_length() -> None:
    given = AudioInput()
    short = [Recording(tone(440, 8000, seconds), 8000) for seconds in (0.3, 1.2)]
    assert fit(given, short, False).seconds == 1.5
    assert fit(given, [Recording(tone(440, 8000, 30), 8000)], False).seconds == 10.0
    assert fit(given, short, True) == given
    assert fit(replace(given, features="waveform"), short, True).seconds == 1.5
    assert facts(given, short) == {}
    assert "1 of 2" in facts(replace(given, seconds=1.0), short)["cut"]
    assert preview(short[0]).shape[0] == 64


def test_users_set_the_length_of_an_input() -> None:
    spec, train = (
        SPECS["audio-cnn"],
        Samples(AUDIO, Listed((Recording(tone(440, 8000, 3), 8000),), ("a",))),
    )
    splits: Any = SimpleNamespace(train=train)
    given = {"seconds": 2, "augment": False}
    asked = Request.from_options("audio-cnn", None, {"input": given}).of(AUDIO.options)
    assert asked["input"] == ("seconds=2", "augment=false")
    fitted = AUDIO.fitted(spec, asked, splits, pretrained=False)
    assert fitted.input == AudioInput(seconds=2.0, augment=False)
    plain = AUDIO.fitted(spec, {"input": None}, splits, pretrained=False)
    assert plain.input == AudioInput(seconds=3.0)
    for name, text, words in (
        ("audio-cnn", "second=2", "'seconds'"),
        ("audio-cnn", "mels=32", "mels"),
        ("audio-cnn", "seconds=long", "a number"),
        ("audio-cnn", "augment=1", "true or false"),
        ("audio-cnn", "seconds=0", "0.1 to 3600"),
        ("ast-audioset", "seconds=11", "0.1 to 10.24"),
        ("whisper-tiny", "seconds=31", "0.1 to 30"),
        ("audio-cnn", "seconds", "NAME=VALUE"),
    ):
        with pytest.raises(UsageError, match=rf"input.*{words}") as caught:
            Request.from_options(name, None, {"input": text}).refuse_for(SPECS[name])
        assert caught.value.hint
    short = replace(SPECS["whisper-tiny"].input, seconds=0.5)
    assert tuple(prepare(Recording(tone(440, 8000), 8000), short, None).shape) == (80, 3000)


@pytest.mark.parametrize(
    "changes", [{"sample_rate": 1}, {"seconds": 0}, {"mels": 1}, {"frames": -1}, {"std": 0}]
)
def test_an_input_that_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ContractError) as caught:
        AudioInput(**changes)
    assert caught.value.hint


# -- networks -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.slow(0.2)
def test_the_cnn_keeps_the_contract_and_has_the_stated_size() -> None:
    spec = SPECS["audio-cnn"].with_input(seconds=0.5)
    outcomes = list(examine(spec))
    assert {o.check: o.message for o in outcomes if o.status == "failed"} == {}
    assert spec.params == sum(p.numel() for p in zoo.build(spec, None).parameters())


def test_a_folder_of_mixed_formats_and_a_table_of_paths_train(tmp_path: Path) -> None:
    for number, (recording, label) in enumerate(make_demo(3)):
        if number % 40 < 10 and label in ("noise", "high tone"):
            (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
            if number % 2:
                file, sound, rate = f"{number}.wav", recording.samples, 16_000
            else:
                up = reading.resampled(recording.samples, 16_000, 44_100)
                file, sound, rate = f"{number}.flac", np.stack([up, up], axis=1), 44_100
            soundfile.write(tmp_path / "data" / label / file, sound, rate)
    options: Any = {"epochs": 4, "report": False, "device": "cpu", "workers": 0}
    run = zoo.finetune("audio-cnn", tmp_path / "data", output=tmp_path / "run", lr=3e-3, **options)
    assert run.metrics["accuracy"] == 1.0
    assert run.spec.input == AudioInput(seconds=1.0)
    files = sorted((tmp_path / "data" / "noise").iterdir())[:2]
    high = tone(2500, 8000)
    given = [str(files[0]), files[1].read_bytes(), Recording(high, 8000), (high, 8000)]
    labels = [each.label for each in run.predict(given, workers=0)]
    assert labels == ["noise", "noise", "high tone", "high tone"]
    (tmp_path / "text.wav").write_text("not a sound")
    found = run.predict([tmp_path / "text.wav", files[0]], workers=0, bad_files="skip")
    assert [type(each).__name__ for each in found] == ["NoPrediction", "Prediction"]
    assert "not recognised" in found[0].to_json()["error"]
    table = tmp_path / "data" / "t.csv"
    rows = [f"{p.relative_to(table.parent)},{p.parent.name}" for p in table.parent.glob("*/*")]
    table.write_text("\n".join(["path,label", *rows]))
    measured = zoo.open_run(tmp_path / "run").evaluate(table, workers=0)
    assert [each.metrics["accuracy"] for each in measured.values()] == [1.0]


# -- Transformers' encoders ---------------------------------------------------------------------

_SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
_WAVE = {
    **_SMALL,
    "conv_dim": [8, 8, 8],
    "conv_stride": [5, 8, 8],
    "conv_kernel": [10, 8, 8],
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 32,
}
_WHISPER = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "max_source_positions": 25,
    "num_mel_bins": 16,
    "vocab_size": 60,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
TINY: dict[str, tuple[str, dict[str, Any]]] = {
    "ast": (
        "ASTForAudioClassification",
        {**_SMALL, "max_length": 32, "num_mel_bins": 16, "num_labels": 5},
    ),
    "wav2vec2": ("Wav2Vec2ForCTC", _WAVE),
    "hubert": (
        "HubertModel",
        {**_WAVE, "do_stable_layer_norm": True, "feat_extract_norm": "layer"},
    ),
    "whisper": ("WhisperForConditionalGeneration", _WHISPER),
}


def saved(name: str, folder: Path, **changes: Any) -> str:
    """The name of a tiny network that Transformers has saved."""
    kind, options = TINY[name]
    network = getattr(transformers, kind)
    torch.manual_seed(0)
    network(network.config_class(**options | changes)).save_pretrained(folder)
    return f"path:{folder}"


def theirs(name: str, folder: Path, given: Any) -> Tensor:
    """The features that the library itself computes."""
    kind, _ = TINY[name]
    network = getattr(transformers, kind).from_pretrained(folder).eval()
    with torch.no_grad():
        if name == "ast":
            return network(given).logits
        if name == "whisper":
            return network.model.encoder(given).last_hidden_state.mean(dim=1)
        return getattr(network, name, network)(given).last_hidden_state.mean(dim=1)


@pytest.mark.parametrize("name", TINY)
def test_an_encoder_gives_what_the_library_gives(name: str, tmp_path: Path) -> None:
    backbone = zoo.load(saved(name, tmp_path / "net"))
    if backbone.spec.input.features == "waveform":
        backbone.spec = backbone.spec.with_input(seconds=0.5)
    batch = AUDIO.random_batch(backbone.spec, 2)
    with torch.no_grad():
        found = backbone.eval()(batch)
    expected = theirs(name, tmp_path / "net", batch["input_values"])
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("name", ["wav2vec2", "hubert"])
def test_recordings_of_several_lengths_are_padded_as_by_the_library(
    name: str, norm: str, tmp_path: Path
) -> None:
    backbone = zoo.load(saved(name, tmp_path / "net", feat_extract_norm=norm)).eval()
    given = replace(backbone.spec.input, seconds=1.0)
    waves = [tone(440, 16_000, seconds) + 0.01 for seconds in (1.0, 0.4, 0.73)]
    ours = collate([prepare(Recording(wave, 16_000), given, None) for wave in waves], given)
    extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=norm == "layer")
    theirs = extractor(waves, sampling_rate=16_000, padding=True, return_tensors="pt")
    assert ours.keys() == theirs.keys()
    assert torch.allclose(ours["input_values"], theirs["input_values"], atol=1e-6)
    kind = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert"}[name] + "ForSequenceClassification"
    network = getattr(transformers, kind).from_pretrained(tmp_path / "net").eval()
    network.projector = network.classifier = torch.nn.Identity()
    with torch.no_grad():
        found, expected = backbone.features(ours), network(**theirs).logits
        unmasked = backbone.features({"input_values": ours["input_values"]})
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.allclose(found, unmasked, atol=0.1) == (norm == "group")
    if norm == "layer":
        assert torch.equal(ours["attention_mask"], theirs["attention_mask"].long())
        short = AUDIO.padded_batch(backbone.spec.with_input(seconds=0.5))["attention_mask"]
        assert short.sum(dim=1).tolist() == [8000, 4000]


@pytest.mark.long  # CI trains, resumes and exports two of them
@pytest.mark.parametrize("name", [*TINY])
def test_an_encoder_keeps_the_contract(name: str, tmp_path: Path) -> None:
    spec = Registry.discover().spec(saved(name, tmp_path / "net"))
    spec = spec.with_input(seconds=min(0.5, spec.input.seconds))
    outcomes = list(examine(spec))
    assert {o.check: o.message for o in outcomes if o.status == "failed"} == {}


@pytest.mark.long
def test_a_spectrogram_transformer_resumes_exactly_and_is_exported(tmp_path: Path) -> None:
    name = saved("ast", tmp_path / "net")
    options: Any = {"classes": 2, "strategy": "full", "report": False, "device": "cpu"}
    options |= {"workers": 0, "epochs": 2, "batch_size": 16}
    whole = zoo.finetune(name, output=tmp_path / "whole", **options)
    with pytest.raises(Stopped):
        zoo.finetune(name, output=tmp_path / "parts", reporter=StopsAt(6), **options)
    parts = zoo.resume(tmp_path / "parts")
    first, second = (read_state_dict(run.folder / "model.safetensors") for run in (whole, parts))
    assert all(torch.equal(first[key], second[key]) for key in first)
    for form in ("onnx", "native", "torch-export"):
        assert export_run(whole, format=form, output=tmp_path / form).difference < 1e-4


@pytest.mark.long
def test_masked_recordings_are_trained_on_cached_resumed_and_exported(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    lengths = [1.0, *random.uniform(0.3, 0.9, 31)]
    data = [
        ((tone((300, 2500)[i % 2], 16_000, length), 16_000), ("low", "high")[i % 2])
        for i, length in enumerate(lengths)
    ]
    name = saved("hubert", tmp_path / "net")
    options: Any = {"data": data, "report": False, "device": "cpu", "workers": 0}
    probe = zoo.finetune(name, output=tmp_path / "probe", strategy="probe", **options)
    assert probe.spec.input.mask
    waves = [sound for (sound, _), _ in data]
    extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True)
    batch = extractor(waves, sampling_rate=16_000, padding=True, return_tensors="pt")
    network = transformers.HubertForSequenceClassification.from_pretrained(tmp_path / "net").eval()
    network.projector = torch.nn.Identity()
    network.classifier = probe.load().head
    with torch.no_grad():
        expected = network(**batch).logits.softmax(dim=1)
    columns = [f"probabilities.{each}" for each in probe.classes]
    for chosen in (slice(None), slice(3, 4)):
        sounds = [sound for sound, _ in data[chosen]]
        found = probe.predict(sounds, workers=0).to_pandas()
        assert np.allclose(found[columns], expected[chosen], atol=1e-5)
    options |= {"strategy": "two-stage", "epochs": 2, "batch_size": 4}
    whole = zoo.finetune(name, output=tmp_path / "whole", **options)
    with pytest.raises(Stopped):
        zoo.finetune(name, output=tmp_path / "parts", reporter=StopsAt(9), **options)
    parts = zoo.resume(tmp_path / "parts", data=data)
    first, second = (read_state_dict(run.folder / "model.safetensors") for run in (whole, parts))
    assert all(torch.equal(first[key], second[key]) for key in first)
    for form in ("onnx", "native"):
        done = export_run(whole, format=form, output=tmp_path / form)
        assert done.difference < 1e-5
        inputs = json.loads((tmp_path / form / "preprocessing.json").read_text())["inputs"]
        assert {key: each["dtype"] for key, each in inputs.items()} == {
            "input_values": "float32",
            "attention_mask": "int64",
        }


def test_names_of_the_hub_are_those_of_audio_where_hf_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved("wav2vec2", tmp_path / "net")
    files = {"config.json": str(tmp_path / "net" / "config.json")}

    def cached(repo: str, file: str) -> str | None:
        return files.get(file) if repo == "org/sounds" else None

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", cached)
    monkeypatch.setattr("zoo_audio.resolve.hub_reachable", lambda: False)
    spec = Registry.discover().spec("hf/org/sounds")
    assert (spec.name, spec.modality, spec.feature_dim) == ("hf/org/sounds", "audio", 16)
    assert spec.weights[0].uri == "hf:org/sounds"


def test_a_config_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(NameLookupError, match="not JSON"):
        resolve(f"path:{tmp_path}")
    (tmp_path / "config.json").write_text('{"model_type": "hubert", "hidden_size": "wide"}')
    with pytest.raises(NameLookupError, match="'wide'"):
        resolve(f"path:{tmp_path}")
    assert resolve("path:/nowhere") is resolve("timm/resnet18") is None
    spec = replace(SPECS["hubert-base"], config={"model_type": "bert"})
    with pytest.raises(NameLookupError, match="'bert'"):
        zoo.build(spec, None)
