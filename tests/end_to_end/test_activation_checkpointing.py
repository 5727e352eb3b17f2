"""Activation checkpointing: the same run with less memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import zoo
from zoo.contract.network.recomputing import recomputed, repeated_blocks
from zoo.engine.progress import Quiet
from zoo.errors import UsageError


def train(data: Path, folder: Path, name: str = "resnet18", **options: Any) -> zoo.Run:
    usual: dict[str, Any] = {"epochs": 1, "strategy": "full", "batch_size": 4, "image_size": 32}
    usual |= {"workers": 0, "weights": "none", "report": False, "reporter": Quiet()}
    return zoo.finetune(name, data, **usual | options, output=folder)


@pytest.mark.slow
def test_a_run_ends_with_the_same_weights_and_statistics(few: Path, tmp_path: Path) -> None:
    plain = train(few, tmp_path / "plain", precision="fp32")
    again = train(few, tmp_path / "again", precision="fp32", activation_checkpointing=True)
    expected, found = plain.backbone.state_dict(), again.backbone.state_dict()
    assert all(torch.allclose(found[n], expected[n], rtol=1e-6, atol=1e-6) for n in expected)
    assert again.record["recipe"]["activation_checkpointing"] is True


def test_what_has_nothing_to_compute_again_is_refused(few: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="basics/cnn has no repeated blocks"):
        train(few, tmp_path / "run", "cnn", activation_checkpointing=True)
    with pytest.raises(UsageError, match="does not work with"):
        train(few, tmp_path / "run", activation_checkpointing=True, compile="on")


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Sequential(nn.Linear(4, 64), nn.Dropout(0.5), nn.BatchNorm1d(64))
        self.last = nn.Linear(64, 4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.last(self.parts(inputs).relu())
        return inputs + outputs


def test_the_blocks_of_stages_are_found() -> None:
    stages = nn.Sequential(nn.Sequential(Block(), Block()), nn.Sequential(Block()), Block())
    single, other = stages[1], stages[2]
    found = repeated_blocks(nn.ModuleDict({"stages": stages}))
    assert found == [*stages[0], single, other]  # type: ignore[misc]


def test_gradients_are_equal_and_only_the_inputs_of_blocks_are_kept() -> None:
    torch.manual_seed(0)
    net = nn.ModuleDict({"blocks": nn.Sequential(*(Block() for _ in range(6)))})
    state, inputs = {k: v.clone() for k, v in net.state_dict().items()}, torch.randn(8, 4)
    blocks = repeated_blocks(net)
    assert blocks == list(net["blocks"].children())  # type: ignore[operator]
    results = []
    for chosen in ([], blocks):
        net.load_state_dict(state)
        net.zero_grad()
        kept: dict[int, int] = {}

        def keep(tensor: torch.Tensor, kept: dict[int, int] = kept) -> torch.Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        torch.manual_seed(1)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x), recomputed(chosen):
            loss = net["blocks"](inputs).square().sum()  # type: ignore[operator]
        loss.backward()
        found = [p.grad for p in net.parameters()] + [b.clone() for b in net.buffers()]
        results.append((found, sum(kept.values())))
    (expected, most), (found, few) = results
    assert all(torch.equal(e, f) for e, f in zip(expected, found, strict=True))
    assert few < most / 10
    assert "forward" not in vars(blocks[0])
