"""A damaged tokenizer is told in a line that names its folder."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from tests.made_runs import made_run
from tests.unit.test_run_record import TEXTS
from zoo import TextInput, open_run
from zoo.errors import RunError, WeightsError
from zoo.modalities.text.tokenization import TextEncoder
from zoo.training.start import tokenizer_beside
from zoo_transformers.tokenization import _read

WORDS = {"[UNK]": 0, "a": 1}


def tokenizer(**changes: object) -> str:
    model = {"type": "WordLevel", "vocab": WORDS, "unk_token": "[UNK]"}
    return json.dumps({"version": "1.0", "added_tokens": [], "model": model, **changes})


BROKEN = {
    "cut": tokenizer()[:40],
    "empty": "",
    "a list": "[]",
    "a number": "7",
    "null": "null",
    "nested without an end": "[" * 100_000,
    "a model that is a list": tokenizer(model=[]),
    "added tokens that are numbers": tokenizer(added_tokens=[1]),
    # The library panics over these two, which is no Exception.
    "an empty map of characters": tokenizer(
        normalizer={"type": "Precompiled", "precompiled_charsmap": ""}
    ),
    "a map of characters that is cut": tokenizer(
        normalizer={"type": "Precompiled", "precompiled_charsmap": "////fw=="}
    ),
    "a negative id": tokenizer(model={"type": "WordLevel", "vocab": {"a": -1}, "unk_token": "a"}),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_damaged_tokenizer_is_an_error_that_names_its_folder(
    content: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}), encoding="utf-8")
    (tmp_path / "tokenizer.json").write_text(content, encoding="utf-8")
    with pytest.raises(WeightsError, match=r"the tokenizer of x in .*: .") as caught:
        _read(tmp_path, "x")
    assert str(tmp_path) in caught.value.message


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_run_with_a_damaged_tokenizer_is_an_error(content: str, tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run", TEXTS)
    (folder / "tokenizer.json").write_text(content, encoding="utf-8")
    with pytest.raises(RunError, match=r"tokenizer\.json"):
        _ = open_run(folder).tokenizer
    with pytest.raises(RunError, match=r"tokenizer\.json"):
        tokenizer_beside(folder / "model.safetensors")


def test_a_tokenizer_that_fails_at_its_work_is_an_error() -> None:
    charsmap = base64.b64encode(b"\x08" + bytes(3) + b"\xff" * 8).decode()
    broken = tokenizer(normalizer={"type": "Precompiled", "precompiled_charsmap": charsmap})
    encoder = TextEncoder(Tokenizer.from_str(broken), TextInput())
    with pytest.raises(WeightsError, match="failed to tokenize a text: index out of bounds"):
        encoder.tokens(["ab é"])
