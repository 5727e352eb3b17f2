"""Pipes, devices and files of many gigabytes, wherever a run or a folder may hold a file."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.end_to_end.conftest import Zoo
from tests.faults.test_hostile_configs import says
from tests.faults.test_hostile_weights import copied, tiny_bert
from zoo.engine.feature_files import describe, feature_files
from zoo.errors import NameLookupError, RunError, WeightsError
from zoo.system.small_files import read_small
from zoo.weights.first_hashes import first_hash, record_of, remember
from zoo_transformers.sizes import check_config

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without named pipes")


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(60 * 2**30)


ENDLESS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a pipe": (os.mkfifo, "not a regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    "60 GB": (_sparse, "bytes"),
}


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert") / "bert")


def _replaced(path: Path, kind: str) -> str:
    """Put something endless in a file's place; what is said of it."""
    path.unlink(missing_ok=True)
    make, words = ENDLESS[kind]
    make(path)
    return words


@pytest.mark.parametrize("kind", ENDLESS)
@pytest.mark.parametrize("file", ["run.json", "metrics.jsonl", "model.safetensors"])
def test_a_run_with_an_endless_file_is_refused_by_its_name(
    file: str, kind: str, run_of_photos: Path, few_photos: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    if (file, kind) == ("model.safetensors", "60 GB"):
        pytest.skip("weights may be large; a safetensors file is mapped, not read")
    run = copied(run_of_photos, tmp_path / "run")
    words = _replaced(run / file, kind)
    uses: dict[str, Any] = {"metrics.jsonl": ("report", run)}
    done = zoo_cli(*uses.get(file, ("predict", run, few_photos / "red" / "0.png")))
    assert done.code == 1
    assert str(run / file) in done.err
    assert words in done.err


@pytest.mark.parametrize("kind", ENDLESS)
@pytest.mark.parametrize(
    "file",
    [
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
        "1_Pooling/config.json",
    ],
)
def test_a_folder_of_transformers_with_an_endless_file_is_refused_by_its_name(
    file: str, kind: str, bert: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "net"))
    (folder / file).parent.mkdir(exist_ok=True)
    words = _replaced(folder / file, kind)
    with pytest.raises(NameLookupError) as told:
        zoo.load(f"path:{folder}")
    assert str(folder / file) in told.value.message
    assert words in told.value.message


@pytest.mark.parametrize("kind", ["a pipe", "a device"])
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_endless_weights_of_a_folder_are_refused_by_their_name(
    file: str, kind: str, bert: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "net"))
    words = _replaced(folder / file, kind)
    with pytest.raises(NameLookupError, match=words):
        zoo.load(f"path:{folder}")


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_endless_registry_file_is_reported_or_passed_over(
    kind: str, outside: Path, zoo_cli: Zoo
) -> None:
    words = _replaced(Path("registry.toml"), kind)
    done = zoo_cli("show", "cnn")
    assert done.code == 0 or (words in done.err and "registry.toml" in done.err)


@pytest.mark.parametrize("kind", ENDLESS)
def test_endless_files_in_the_users_own_caches_are_made_again_or_passed_over(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zoo_cli: Zoo
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("ZOO_CACHE", str(cache))
    expected = json.loads(zoo_cli("show", "cnn", "--json").out)
    kept = [*cache.glob("index/*.jsonl"), cache / "plugins.json"]
    assert len(kept) > 3
    for file in kept:
        _replaced(file, kind)
    assert json.loads(zoo_cli("show", "cnn", "--json").out) == expected

    remember("https://example.org/a.pth", "0" * 64)
    _replaced(record_of("https://example.org/a.pth"), kind)
    assert first_hash("https://example.org/a.pth") == ""
    array = tmp_path / "features" / "a.npy"
    array.parent.mkdir()
    array.write_bytes(b"12")
    describe(array, {"samples": 2})
    assert feature_files(array.parent)[0].facts["samples"] == 2
    _replaced(array.with_suffix(".json"), kind)
    assert feature_files(array.parent)[0].facts == {}


def test_a_small_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"{}\r\n")
    assert read_small(tmp_path / "a.json") == b"{}\r\n"


def test_a_network_of_too_many_layers_is_stopped_while_it_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zoo.weights.loading.build._MAX_MODULES", 3)
    with pytest.raises(WeightsError, match=r"basics/cnn.*3"):
        zoo.load("cnn", weights="none")
    monkeypatch.undo()
    assert zoo.load("cnn", weights="none").net is not None


MILLIONS: dict[str, tuple[dict[str, Any], str]] = {
    "a list": (
        {"model_type": "funnel", "d_model": 8, "block_sizes": [1] * 10**6},
        "1,000,000 items in block_sizes",
    ),
    "another name": ({"encoder_layers": 10**7}, "10,000,000 in encoder_layers"),
    "a nested field": (
        {"text_config": {"num_hidden_layers": 10**7}},
        "10,000,000 in text_config.num_hidden_layers",
    ),
    "few enough to be built for a minute": (
        {"model_type": "bart", "d_model": 8, "decoder_layers": 9000},
        "9,000 in decoder_layers, at most 1,000",
    ),
    "experts": ({"num_local_experts": 10**6}, "1,000,000 in num_local_experts"),
    "several fields": (
        {
            "model_type": "bart",
            "d_model": 8,
            "decoder_layers": 900,
            "encoder_attention_heads": 1,
            "decoder_attention_heads": 1,
            "decoder_ffn_dim": 8,
        },
        "more than 1,000 layers",
    ),
}


@pytest.mark.parametrize("what", MILLIONS)
def test_millions_of_layers_in_any_field_are_refused(
    what: str, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "zoo.weights.loading.build._MAX_MODULES", 1000
    )  # as many as a test has time for
    folder = Path(shutil.copytree(bert, tmp_path / "net"))
    changes, words = MILLIONS[what]
    with pytest.raises((WeightsError, NameLookupError), match=words) as told:
        zoo.load(says(folder, **changes), weights="none")
    assert str(folder) in told.value.message


def test_sizes_whose_names_speak_of_layers_count_none() -> None:
    check_config("net", {"text_config": {"vocab_size_per_layer_input": 262_144}})
    check_config("net", {"block_size": 4096, "layer_norm_eps": 1e-6, "num_experts": 512})


def test_a_run_of_too_many_layers_is_refused(
    run_of_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.weights.loading.build._MAX_MODULES", 3)
    with pytest.raises(RunError, match="more than 3 layers") as told:
        zoo.open_run(run_of_photos).load()
    assert str(run_of_photos) in told.value.message
