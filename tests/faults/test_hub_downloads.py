"""The Hub's own client, from a host on the loopback that speaks as the Hub does."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.hosts import COMMIT, Hub, only_hub
from zoo import Weights
from zoo.errors import NameLookupError, WeightsError, WeightsUnavailable, ZooError
from zoo.weights.find import _delete
from zoo.weights.loading.load import fetch
from zoo_transformers.resolve import resolve

CONTENT = bytes(range(256)) * 1000
FILES = {
    "acme/net/config.json": b'{"hidden_size": 8}',
    "acme/net/tokenizer.json": b'{"model": {}}',
    "acme/net/model.safetensors": CONTENT,
    "acme/net/pytorch_model.bin": b"the same in another form",
    "acme/bare/config.json": b"{}",
    "acme/adapter/adapter_config.json": b'{"base_model_name_or_path": "acme/net"}',
    "acme/adapter/adapter_model.safetensors": b"matrices",
}
FILE = Weights(tag="V1", uri="hf:acme/net/model.safetensors")
FOLDER = Weights(tag="V1", uri="hf:acme/net")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The only Hub that the client knows, and an empty cache in ``HF_HOME``."""
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("time.sleep", lambda _: None)  # the client's pauses are not zoo's
    with only_hub(Hub(FILES), monkeypatch) as hub:
        yield hub


def test_a_file_and_a_folder_are_fetched_once(hub: Hub, tmp_path: Path) -> None:
    path = fetch(FILE)
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(tmp_path / "home" / "hub" / "models--acme--net")
    folder = fetch(FOLDER)
    assert fetch(FILE) == path
    assert folder.name == COMMIT
    # The weights are there already, and so the folder counts as whole.
    assert {file.name for file in folder.iterdir()} == {"model.safetensors"}
    assert hub.asked == ["whole"]


def test_a_folder_has_what_belongs_to_it_and_one_form_of_weights(hub: Hub) -> None:
    folder = fetch(FOLDER)
    names = {"config.json", "tokenizer.json", "model.safetensors"}
    assert {file.name for file in folder.iterdir()} == names
    assert len(hub.asked) == 3
    assert fetch(FOLDER) == folder
    assert len(hub.asked) == 3


@pytest.mark.parametrize("weights", [FILE, FOLDER])
def test_a_cut_is_continued(hub: Hub, monkeypatch: pytest.MonkeyPatch, weights: Weights) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1 << 16)
    hub.files = {"acme/net/model.safetensors": CONTENT}
    hub.script = ["cut", "429 after 0"]
    path = fetch(weights)
    assert (path if path.is_file() else path / "model.safetensors").read_bytes() == CONTENT
    assert hub.asked == ["whole", "bytes=65536-", "bytes=65536-"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("model.safetensors", CONTENT[:-1] + b"x"), ("tokenizer.json", b"{}"), ("config.json", b"")],
)
def test_a_damaged_file_is_deleted_named_and_fetched_again(
    hub: Hub, capfd: pytest.CaptureFixture[str], name: str, content: bytes
) -> None:
    folder = fetch(FOLDER)
    (folder / name).resolve().write_bytes(content)
    asked = len(hub.asked)
    assert fetch(FOLDER) == folder
    assert f"deleted {folder / name}" in capfd.readouterr().err
    assert (folder / name).read_bytes() == FILES[f"acme/net/{name}"]
    assert len({file.name for file in folder.iterdir()}) == 3
    assert len(hub.asked) == asked + 1  # the others' content was kept


def test_a_damaged_folder_is_not_taken_where_the_hub_is_out_of_reach(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetch(FOLDER)
    (folder / "tokenizer.json").resolve().write_bytes(b"{}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for _ in range(2):
        with pytest.raises(WeightsUnavailable, match="unreachable"):
            fetch(FOLDER)


def test_wrong_bytes_are_deleted_and_named(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    hub.script = ["wrong"]
    with pytest.raises(WeightsError, match="damaged"):
        fetch(FILE)
    assert "model.safetensors" in capfd.readouterr().err
    assert fetch(FILE).read_bytes() == CONTENT


def test_a_pin_is_held_and_what_the_hub_gives_is_kept(hub: Hub) -> None:
    digits = hashlib.sha256(CONTENT).hexdigest()
    for uri in (FILE.uri, FOLDER.uri):
        assert fetch(Weights(tag="V1", uri=uri, sha256=digits)).exists()
        with pytest.raises(WeightsError, match="pinned") as error:
            fetch(Weights(tag="V1", uri=uri, sha256="0" * 64))
        assert "Change the pin in registry.toml" in error.value.hint
    assert fetch(FILE).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("uri", "script", "words"),
    [
        ("hf:acme/none/a.safetensors", [], r"no repository 'acme/none', or .* \(404\)"),
        (
            "hf:acme/net/gone.safetensors",
            [],
            r"acme/net/gone\.safetensors failed: .* no such file \(404\)",
        ),
        ("hf:acme/none", [], r"no repository 'acme/none', or .* \(404\)"),
        ("hf:acme/bare", [], "acme/bare has no"),
        ("hf:acme/net/model.safetensors", ["429 after 0"] * 9, r"too many requests .*\(429\)"),
        ("hf:acme/net/model.safetensors", ["500"] * 9, r"server error \(500\)"),
        ("hf:acme/net", ["503"] * 99, r"server error \(503\)"),
        ("hf:acme/net/model.safetensors", ["401"] * 9, r"no repository 'acme/net', .*\(401\)"),
        ("hf:acme/net/model.safetensors", ["403"] * 9, "gated repository"),
        ("hf:acme/net/model.safetensors", ["silent"] * 9, "failed: "),
        ("hf:acme/net/model.safetensors", ["wrong", "cut"], "damaged"),
    ],
)
def test_what_the_hub_answers_is_said_in_words(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, uri: str, script: list[str], words: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.1)
    hub.script = script
    with pytest.raises(WeightsError, match=words) as error:
        fetch(Weights(tag="V1", uri=uri))
    assert error.value.hint


@pytest.mark.parametrize("weights", [FILE, FOLDER])
@pytest.mark.parametrize(("status", "words"), [(429, "too many requests"), (500, "server error")])
def test_a_hub_in_trouble_is_reported_and_does_not_matter_to_what_is_here(
    hub: Hub, weights: Weights, status: int, words: str
) -> None:
    hub.down = status
    with pytest.raises(WeightsError, match=words):
        fetch(weights)
    hub.down = 0
    path = fetch(weights)
    hub.down = status
    assert fetch(weights) == path


def test_weights_in_pieces_count_when_all_are_there(hub: Hub) -> None:
    piece = "acme/net/model-{:05}-of-00002.safetensors"
    hub.files = {piece.format(1): CONTENT, piece.format(2): CONTENT[:1000]}
    first = fetch(Weights(tag="V1", uri=f"hf:{piece.format(1)}"))  # as if killed before the second
    assert len(list(first.parent.iterdir())) == 1
    assert len(list(fetch(FOLDER).iterdir())) == 2


@pytest.mark.parametrize(("offline", "reached"), [("", "True"), ("1", "False")])
def test_hf_hub_offline_is_respected(hub: Hub, offline: str, reached: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from zoo.system.network import hub_reachable; print(hub_reachable())",
        ],
        env=os.environ | {"HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": offline},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == reached


def test_a_damaged_file_that_cannot_be_deleted_is_named(tmp_path: Path) -> None:
    def deletion() -> None:
        raise PermissionError(1, "Operation not permitted")

    with pytest.raises(WeightsError, match="sha256") as caught:
        _delete([tmp_path / "model"], deletion)
    assert "Operation not permitted" in caught.value.message


@pytest.mark.parametrize(
    ("name", "down", "expected", "words"),
    [
        ("hf/acme/none", 0, NameLookupError, "the Hub has no repository 'acme/none'"),
        ("hf/acme/net", 403, NameLookupError, "acme/net is a gated repository"),
        ("hf/acme/net", 500, WeightsError, r"fetching acme/net/config\.json failed: .*500"),
        ("hf/acme/weights", 0, NameLookupError, r"acme/weights .* no config\.json"),
        ("hf/acme/listed", 0, NameLookupError, r"listed/config\.json is not a JSON object"),
    ],
)
def test_a_name_of_the_hub_that_leads_to_no_network_is_said_in_words(
    hub: Hub, name: str, down: int, expected: type[ZooError], words: str
) -> None:
    hub.files = FILES | {"acme/weights/a.bin": b"x", "acme/listed/config.json": b"[]"}
    hub.down = down
    with pytest.raises(expected, match=words) as error:
        resolve(name)
    assert error.value.hint or "JSON" in error.value.message


def test_a_repository_that_holds_an_adapter_is_called_one_with_its_base(hub: Hub) -> None:
    with pytest.raises(NameLookupError, match=r"acme/net") as error:
        resolve("hf/acme/adapter")
    assert "merge_and_unload" in str(error.value.hint)
