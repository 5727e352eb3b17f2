"""How a backbone is run; what it takes of memory, ``python -m benchmarks --only memory`` measures."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import zoo
from zoo.engine.forward import Forward
from zoo.system import memory


def test_what_earlier_batches_have_freed_goes_back_during_inference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given_back: list[int] = []
    monkeypatch.setattr(memory, "give_back", lambda: given_back.append(len(seen)))
    seen: list[int] = []
    for item in memory.trimmed(range(10), every=4):
        seen.append(item)
    assert seen == list(range(10))
    assert given_back == [3, 7]  # before the fourth, and the eighth
    backbone = zoo.load("cnn", weights="none")
    forward = Forward(backbone, device=torch.device("cpu"), precision="fp32")
    made: Any = ({"pixel_values": torch.rand(2, 3, 32, 32)} for _ in range(5))
    assert len(list(forward.batches(made))) == 5
    assert len(given_back) == 3


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
