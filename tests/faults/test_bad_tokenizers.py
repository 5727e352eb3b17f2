"""A damaged tokenizer is told in a line that names its folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zoo.errors import WeightsError
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
    "a negative id": tokenizer(model={"type": "WordLevel", "vocab": {"a": -1}, "unk_token": "a"}),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_damaged_tokenizer_is_an_error_that_names_its_folder(
    content: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}), encoding="utf-8")
    (tmp_path / "tokenizer.json").write_text(content, encoding="utf-8")
    with pytest.raises(WeightsError, match=r"the tokenizer of x in .* cannot be read: .") as caught:
        _read(tmp_path, "x")
    assert str(tmp_path) in caught.value.message
