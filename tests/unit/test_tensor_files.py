"""Writing tensors: what safetensors does not store as it is, and no copy of the rest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from zoo.system.tensors.files import write_tensors


def test_what_was_written_is_read(tmp_path: Path) -> None:
    whole = torch.arange(24.0).reshape(2, 3, 2, 2)
    tensors = {
        "plain": whole,
        "channels last": torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "tied": whole,
        "part": torch.arange(10.0)[3:7],
        "transposed": torch.rand(3, 5).T,
        "trained": torch.nn.Parameter(torch.rand(3)),
        "number": torch.tensor(7),
        "nothing": torch.empty(0),
        "nothing either": torch.empty(0, 3),
    }
    path = tmp_path / "some.safetensors"
    write_tensors(path, tensors, {"of": "a test"})
    read = safetensors.torch.load_file(path)
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(read[name], tensor), name


def test_only_what_cannot_be_stored_as_it_is_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: dict[str, Tensor] = {}

    def save(tensors: Mapping[str, Tensor], path: Path, **_: Any) -> None:
        written.update(tensors)
        path.touch()

    monkeypatch.setattr(safetensors.torch, "save_file", save)
    shared = torch.rand(4)
    odd = {"transposed": torch.rand(3, 5).T, "whole": shared, "half": shared[:2]}
    tensors = odd | {"plain": torch.rand(3)}
    write_tensors(tmp_path / "some.safetensors", tensors, {})
    copied = {
        name for name, tensor in tensors.items() if written[name].data_ptr() != tensor.data_ptr()
    }
    assert copied == odd.keys()
