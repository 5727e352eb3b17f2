"""Folders of Transformers whose config.json lies, and what may lie beside it."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.faults.test_hostile_weights import tiny_bert
from zoo.contract.spec import BackboneSpec
from zoo.errors import NameLookupError, WeightsError
from zoo_transformers import sizes


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert") / "bert")


@pytest.fixture
def folder(bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert, tmp_path / "net"))


@pytest.fixture
def little_memory() -> Iterator[None]:
    """So that what is allocated after all fails here, and not the machine."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("this system does not say how much memory a process has")
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


def says(folder: Path, **changes: Any) -> str:
    """The name of the network after changes of its config."""
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    return f"path:{folder}"


@pytest.mark.parametrize("weights", ["auto", "none"])
@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": 10**9},
        {"hidden_size": 10**10},
        {"vocab_size": 10**10},
        {"intermediate_size": 10**11},
        {"max_position_embeddings": 10**11},
        {"type_vocab_size": 10**11},
        {"hidden_act": "evil"},
        {"pad_token_id": 10**6},
        {"num_attention_heads": 3},
    ],
)
@pytest.mark.usefixtures("little_memory")
def test_a_network_that_cannot_be_is_refused_before_it_is_built(
    folder: Path, changes: dict[str, Any], weights: str
) -> None:
    with pytest.raises(WeightsError, match=r"parameters|failed to build") as caught:
        zoo.load(says(folder, **changes), weights=weights)
    assert str(folder) in caught.value.message
    assert "allocate" not in caught.value.message
    assert "config.json" in caught.value.hint


@pytest.mark.parametrize("value", [10**6, -1, 1.5, "many", [1], True])
@pytest.mark.parametrize("key", ["num_hidden_layers", "num_labels"])
def test_what_is_not_a_number_of_layers_or_labels_is_named(
    folder: Path, key: str, value: Any
) -> None:
    value = value * 10**6 if value == 10**6 else value
    with pytest.raises(NameLookupError, match=rf"config.json: .*{key}\b") as caught:
        zoo.load(says(folder, **{key: value}))
    assert str(value) in caught.value.message.replace(",", "")


def test_a_run_whose_spec_lies_is_refused_as_its_folder_is(folder: Path) -> None:
    spec = zoo.load(says(folder)).spec
    data = spec.to_json()
    data["config"]["num_hidden_layers"] = 10**6
    with pytest.raises(NameLookupError, match="1,000,000 in num_hidden_layers"):
        zoo.build(BackboneSpec.from_json(data), None)


def test_weights_of_a_larger_network_than_the_file_are_named_with_both_sizes(
    folder: Path,
) -> None:
    with pytest.raises(WeightsError, match=r"[\d,]+ parameters .* bytes"):
        zoo.load(says(folder, vocab_size=100_000))


def test_a_network_that_memory_does_not_hold_is_refused_without_weights_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "model.safetensors").unlink()
    name = says(folder, vocab_size=100_000)
    zoo.load(name, weights="none")
    monkeypatch.setattr(sizes, "of_memory", lambda: 3_200_000)
    with pytest.raises(WeightsError, match="3,200,000"):
        zoo.load(name, weights="none")


@pytest.mark.parametrize(
    "content",
    [
        "{half a",
        "[]",
        json.dumps({"peft_type": "LORA", "r": 10**9, "target_modules": ["query"]}),
        json.dumps({"peft_type": "LORA", "base_model_name_or_path": "/elsewhere", "r": "8"}),
    ],
)
def test_an_adapter_is_never_read(folder: Path, content: str) -> None:
    """The library would put it into the network, and read the network that it names."""
    (folder / "adapter_config.json").write_text(content)
    (folder / "adapter_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="PEFT adapter") as caught:
        zoo.load(f"path:{folder}")
    assert "merge_and_unload" in caught.value.hint
    zoo.load(f"path:{folder}", weights="none")


def test_a_token_without_an_embedding_is_reported_before_training(
    folder: Path, tmp_path: Path
) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["beyond"] = 8
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    table = tmp_path / "texts.csv"
    rows = [f"{'beyond' if number == 7 else 'a'},{'ny'[number % 2]}" for number in range(16)]
    table.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    with pytest.raises(WeightsError, match=r"token id 8 \('beyond'\).* only 8 tokens") as caught:
        zoo.finetune(f"path:{folder}", table, epochs=1, output=tmp_path / "run")
    assert "that the network was trained with" in caught.value.hint
    assert not (tmp_path / "run").exists()
