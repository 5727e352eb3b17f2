"""A run's weights load into the plain library and give the same outputs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import zoo
from tests.end_to_end.conftest import Zoo
from zoo.modalities.text.tokenization import TextEncoder
from zoo.system.tensors.torchvision_operators import declare_missing_operators

declare_missing_operators()  # torchvision, and with it timm, can be imported from here on

import timm
import torchvision
import transformers


@pytest.mark.parametrize("name", ["resnet18", "timm/resnet10t"])
def test_images(photos: Path, tmp_path: Path, name: str) -> None:
    run = zoo.finetune(
        name, photos, weights="none", image_size=32, epochs=1, workers=0, output=tmp_path / "run",
        report=False,
    )  # fmt: skip
    state = safetensors.torch.load_file(run.folder / "model.safetensors")
    plain = (
        torchvision.models.resnet18(num_classes=3)
        if name == "resnet18"
        else timm.create_model("resnet10t", num_classes=3)
    )
    plain.load_state_dict(state)
    pixels = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(plain.eval()(pixels), run.load()(pixels))


def texts_table(folder: Path) -> Path:
    rows = [
        {"text": f"film {n} was {'good' if n % 2 else 'bad'}", "label": n % 2} for n in range(16)
    ]
    table = folder / "texts.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return table


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["pooler", pytest.param("mean", marks=pytest.mark.long)])
def test_a_real_bert(minilm: Path, tmp_path: Path, zoo_cli: Zoo, pooling: str) -> None:
    done = zoo_cli(
        *("finetune", f"path:{minilm}", "--data", texts_table(tmp_path), "--pooling", pooling),
        *("--epochs", 1, "--no-report", "--output", tmp_path / "run"),
    )
    assert done.code == 0, done.err
    run = zoo.open_run(tmp_path / "run")
    texts = ["film 9 was good", "a much longer sentence about a film that was bad, so bad"]
    probabilities = np.array(
        [[p.probabilities[name] for name in run.classes] for p in run.predict(texts)]
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(run.folder)
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = _pooler_logits(run, batch) if pooling == "pooler" else _mean_logits(run, batch)
    np.testing.assert_allclose(logits.softmax(dim=1).numpy(), probabilities, atol=1e-5)


def _pooler_logits(run: zoo.Run, batch: transformers.BatchEncoding) -> torch.Tensor:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(run.folder).eval()
    assert model.config.id2label == dict(enumerate(run.classes))
    return model(**batch).logits


def _mean_logits(run: zoo.Run, batch: transformers.BatchEncoding) -> torch.Tensor:
    model, report = transformers.AutoModel.from_pretrained(run.folder, output_loading_info=True)
    assert not [key for key in report["missing_keys"] if "pooler" not in key]
    states = model.eval()(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    features = (states * mask).sum(1) / mask.sum(1)
    state = safetensors.torch.load_file(run.folder / "model.safetensors")
    return features @ state["zoo_head.weight"].T + state["zoo_head.bias"]


def test_the_saved_tokenizer_is_the_one_that_trained(minilm: Path, tmp_path: Path) -> None:
    backbone = zoo.load(f"path:{minilm}", classes=2)
    assert backbone.tokenizer is not None
    ids = TextEncoder(backbone.tokenizer, backbone.spec.text_input).encode(["A fine film"])
    plain = transformers.AutoTokenizer.from_pretrained(minilm)
    assert ids[0] == plain("A fine film")["input_ids"]
