"""``zoo push``, to a Hub on the loopback that takes what the real client sends."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import yaml
from PIL import Image

import zoo
from tests.contract.test_transformers import tiny, word_tokenizer
from tests.faults.hosts import WritableHub, only_hub
from tests.made_runs import weighted_run
from zoo.errors import RunError, UsageError
from zoo.export.push import public_record
from zoo.registry.registry import Registry

REPO = "acme/my-plants"
SECRET = "a sentence that only the validation split has"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> zoo.Run:
    """A run on images with everything in its folder that must not be sent."""
    place = tmp_path_factory.mktemp("private")
    spec = Registry.discover().spec("timm/resnet10t").with_input(size=32)
    folder = weighted_run(
        place / "run",
        spec,
        backbone=spec.name,
        versions={"zoo": zoo.__version__},
        recipe={"strategy": "full", "lr": 0.001, "seed": 0},
        request={"data": str(place / "photos")},
        machine={"platform": "mine"},
        example=str(place / "photos/fern/1.jpg"),
        weights={
            "tag": "V1",
            "uri": "hf:timm/resnet10t.c3_in1k/model.safetensors",
            "license": "LicenseRef-acme",
        },
        data={
            "source": str(place / "photos"),
            "train": 8,
            "val": 2,
            "skipped": [f"{place}/photos/moss/2.jpg: broken"],
            "shared": [SECRET],
        },
    )
    (folder / "metrics.jsonl").write_text('{"epoch": 1}\n')
    (folder / "predictions.parquet").write_text(SECRET)
    (folder / "notes.txt").write_text(SECRET)
    Image.new("RGB", (8, 8)).save(folder / "example.png")
    return zoo.open_run(folder)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WritableHub]:
    """The only Hub that the client knows, its token, and an empty cache."""
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # another protocol
    with only_hub(WritableHub({}), monkeypatch) as hub:
        assert isinstance(hub, WritableHub)
        yield hub


def files_of(hub: WritableHub) -> dict[str, bytes]:
    return {path.removeprefix(f"{REPO}/"): content for path, content in hub.files.items()}


def test_what_arrives_is_the_run_and_opens_to_the_same_predictions(
    run: zoo.Run, hub: WritableHub, tmp_path: Path
) -> None:
    pushed = zoo.push_run(run, f"hf:{REPO}", private=True)
    files = files_of(hub)
    assert hub.repos == {REPO: True}
    assert {path: len(content) for path, content in files.items()} == dict(pushed.files)
    assert files["model.safetensors"] == (run.folder / "model.safetensors").read_bytes()
    assert files["metrics.jsonl"] == (run.folder / "metrics.jsonl").read_bytes()
    assert files["README.md"].decode() == pushed.card
    assert pushed.commit
    again = zoo.open_run(
        huggingface_hub.snapshot_download(REPO, cache_dir=tmp_path / "cache", token="hf_right")
    )
    image = Image.effect_noise((50, 40), 80).convert("RGB")
    [first], [second] = run.predict([image]), again.predict([image])
    assert first.to_json() == second.to_json()


def test_nothing_of_this_machine_and_no_input_is_sent(run: zoo.Run, hub: WritableHub) -> None:
    zoo.push_run(run, f"hf:{REPO}")
    files = files_of(hub)
    assert files.keys() == {
        *("README.md", "load.py", "metrics.jsonl", "model.safetensors", "preprocessing.json"),
        "run.json",
    }
    for path, content in files.items():
        for secret in (str(run.folder.parent), str(Path.home()), SECRET, "mine", "1.jpg", "2.jpg"):
            assert secret.encode() not in content, f"{path} has {secret!r}"
    sent = json.loads(files["run.json"])["data"]
    assert (sent["source"], sent["train"], sent["val"]) == ("photos", 8, 2)
    assert not {"skipped", "shared"} & sent.keys()
    assert not hub.repos[REPO]


def test_the_card_says_data_metrics_licence_and_how_to_load(run: zoo.Run, hub: WritableHub) -> None:
    card = zoo.push_run(run, f"hf:{REPO}").card
    _, header, text = card.split("---\n", 2)
    facts: dict[str, Any] = yaml.safe_load(header)
    assert (facts["license"], facts["license_name"]) == ("other", "acme")
    assert facts["base_model"] == "timm/resnet10t.c3_in1k"
    assert facts["pipeline_tag"] == "image-classification"
    [result] = facts["model-index"][0]["results"]
    assert result["dataset"]["name"] == "photos"
    metrics = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert metrics == {"accuracy": 0.9125, "loss": 0.5}
    assert "| data | photos: 8 training, 2 validation samples |" in text
    assert "| license of those weights | LicenseRef-acme |" in text
    assert f"zoo.open_run(snapshot_download('{REPO}'))" in text
    assert "from load import load, logits" in text


def test_a_dry_run_sends_nothing(
    run: zoo.Run, hub: WritableHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    shown = zoo.push_run(run, f"hf:{REPO}", dry_run=True)
    assert shown.commit is None
    assert (hub.heard, hub.asked, hub.repos) == ([], [], {})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert zoo.push_run(run, f"hf:{REPO}").files == shown.files


def test_a_repository_that_everybody_sees_gets_nothing_private(
    run: zoo.Run, hub: WritableHub
) -> None:
    hub.repos[REPO] = False
    with pytest.raises(RunError, match="is public; nothing was uploaded"):
        zoo.push_run(run, f"hf:{REPO}", private=True)
    assert not hub.files
    zoo.push_run(run, f"hf:{REPO}")
    assert files_of(hub)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "uploading acme/my-plants failed: .*the reason of a 400"),
        (403, "uploading acme/my-plants failed: the token has no access"),
        (429, "too many requests"),
        (500, "server error"),
    ],
)
def test_a_refusal_is_reported(
    run: zoo.Run, hub: WritableHub, status: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # the client's pauses are not zoo's
    hub.refuses = status
    with pytest.raises(RunError, match=words) as error:
        zoo.push_run(run, f"hf:{REPO}")
    assert error.value.hint
    assert not hub.files


def test_a_wrong_token_and_none_are_reported(
    run: zoo.Run, hub: WritableHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(RunError, match=r"rejected the token \(401\): Invalid username"):
        zoo.push_run(run, f"hf:{REPO}")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UsageError, match="no token for the Hub") as error:
        zoo.push_run(run, f"hf:{REPO}")
    assert "hf auth login" in error.value.hint
    assert not hub.files


def test_a_hub_out_of_reach_is_known_at_once(
    run: zoo.Run, hub: WritableHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        assert_out_of_reach(run)
    assert not hub.heard


def assert_out_of_reach(run: zoo.Run) -> None:
    begun = time.monotonic()
    with pytest.raises(RunError, match="is unreachable; nothing was uploaded"):
        zoo.push_run(run, f"hf:{REPO}")
    assert time.monotonic() - begun < 4


@pytest.mark.parametrize(
    "name",
    ["acme/plants", "hf:plants", "hf:acme/a/b", "hf:../x", "hf:acme/", "hf:a--b/c", "hf:a/b c"],
)
def test_a_name_that_cannot_be_is_refused_before_anything_else(run: zoo.Run, name: str) -> None:
    with pytest.raises(UsageError, match=re.escape(repr(name))):
        zoo.push_run(run, name)


def test_damaged_weights_are_not_sent(run: zoo.Run, hub: WritableHub, tmp_path: Path) -> None:
    spec = Registry.discover().spec("basics/cnn").with_input(size=8)
    folder = weighted_run(tmp_path / "run", spec)
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(RunError, match="sha256"):
        zoo.push_run(folder, f"hf:{REPO}")
    assert not hub.heard


def test_a_text_run_brings_its_library_and_its_tokenizer(hub: WritableHub, tmp_path: Path) -> None:
    spec = replace(tiny("bert", "pooler"), name=f"path:{tmp_path}/bert")
    facts = {"versions": {"zoo": "0"}, "recipe": {"strategy": "full", "lr": 0.001, "seed": 0}}
    folder = weighted_run(tmp_path / "run", spec, tokenizer=word_tokenizer(0), **facts)
    zoo.push_run(folder, f"hf:{REPO}")
    files = files_of(hub)
    assert {"config.json", "tokenizer.json", "tokenizer_config.json"} <= files.keys()
    assert files["tokenizer.json"] == (folder / "tokenizer.json").read_bytes()
    assert str(tmp_path).encode() not in b"".join(files.values())
    assert json.loads(files["preprocessing.json"])["backbone"] == "path:bert"


def test_paths_in_a_record_become_their_last_part() -> None:
    spec = {
        "name": "path:/home/ann/bert",
        "config": {"_name_or_path": "/home/ann/bert", "hidden_act": "gelu"},
        "weights": [{"uri": "/home/ann/bert"}, {"uri": "hf:acme/bert"}],
    }
    older = {"run": r"C:\Users\ann\runs\a", "data": "../ann/photos", "name": None, "origin": None}
    record = {
        "backbone": "path:/home/ann/bert",
        "spec": spec,
        "weights": {"tag": "file", "uri": "/home/ann/model.safetensors"},
        "classes": ["/m/01", "~"],
        "origin": {"run": "/home/ann/runs/b", "data": "hf:acme/data", "origin": older},
        "data": {"source": "ann/reviews.csv", "text_column": "/body"},
    }
    public = public_record(record)
    assert "ann" not in json.dumps(public)
    assert public["backbone"] == public["spec"]["name"] == "path:bert"
    assert public["spec"]["weights"] == [{"uri": "hf:acme/bert"}]
    assert public["classes"] == ["/m/01", "~"]
    assert public["data"] == {"source": "reviews.csv", "text_column": "/body"}
    assert public["origin"]["data"] == "hf:acme/data"
    assert public["origin"]["origin"]["run"] == "a"
