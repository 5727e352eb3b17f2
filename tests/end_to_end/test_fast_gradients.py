"""Training on images computes weight gradients by matrix products, on processors that gain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from zoo.engine import convolutions
from zoo.engine.progress import Quiet


def test_training_uses_them_and_ends_with_the_same_weights(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[tuple[int, ...]] = []
    real = convolutions._of_weight

    def recorded(images: torch.Tensor, weight: torch.Tensor, *rest: Any) -> torch.Tensor:
        shapes.append(tuple(weight.shape))
        return real(images, weight, *rest)

    def train(processor: str) -> dict[str, torch.Tensor]:
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: processor)
        monkeypatch.setattr(convolutions, "_of_weight", recorded)
        options: dict[str, Any] = {"epochs": 1, "workers": 0, "report": False, "precision": "fp32"}
        options |= {"strategy": "full", "image_size": 96, "reporter": Quiet()}
        run = zoo.finetune("cnn", few, **options, output=tmp_path / processor)
        return run.backbone.state_dict()

    plain = train("AVX512")
    assert not shapes
    fast = train("AVX2")
    assert set(shapes) == {(64, 32, 3, 3)}
    assert all(torch.allclose(fast[n], plain[n], rtol=1e-3, atol=1e-5) for n in plain)
