"""How a backbone is run; what it takes of memory, ``python -m benchmarks --only memory`` measures."""

from __future__ import annotations

import pytest
import torch

import zoo
from zoo.engine import forward as forward_module
from zoo.engine.forward import Forward


def test_what_batches_have_freed_goes_back_during_inference_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given_back = []
    monkeypatch.setattr(forward_module, "give_back", lambda: given_back.append(len(placed)))
    backbone = zoo.load("cnn", weights="none")
    forward = Forward(backbone, device=torch.device("cpu"), precision="fp32")
    batch, placed = {"pixel_values": torch.rand(2, 3, 32, 32)}, []
    for _ in range(10):
        placed.append(forward.place(batch))  # as training does
    assert given_back == []
    with forward.inference(100):
        for _ in range(10):
            placed.append(forward.features(batch))
    assert given_back == [13, 17]  # before the fourth, and the eighth
    for _ in range(10):
        placed.append(forward.features(batch))
    assert given_back == [13, 17]


def test_answers_are_computed_in_float32_whatever_precision_trains() -> None:
    torch.manual_seed(0)
    backbone = zoo.load("cnn", weights="none", classes=2)
    exact, rough = (
        Forward(backbone, device=torch.device("cpu"), precision=precision)
        for precision in ("fp32", "bf16")
    )
    batch = {"pixel_values": torch.rand(4, 3, 32, 32)}
    assert torch.allclose(rough.logits(batch), exact.logits(batch), rtol=1e-5, atol=1e-6)
    assert torch.allclose(rough.features(batch, exact=True), exact.features(batch), atol=1e-6)
    assert not torch.allclose(rough.features(batch), exact.features(batch), atol=1e-6)
