"""A run that starts from a run keeps the head's rows of the classes that both have."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import zoo
from zoo.engine.progress import Quiet


class _Header(Quiet):
    def __init__(self) -> None:
        self.lines: dict[str, str] = {}

    def header(self, facts: Mapping[str, str]) -> None:
        self.lines |= facts


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["full", "bias"])
def test_rows_of_old_classes_start_the_next_run(
    strategy: str, photos: Path, tmp_path: Path
) -> None:
    options: Any = {"epochs": 1, "image_size": 32, "workers": 0, "report": False}
    first = zoo.finetune(
        "cnn", photos, output=tmp_path / "a", strategy="full", reporter=Quiet(), **options
    )
    names = sorted(path.name for path in photos.iterdir())
    for name, source in (("aardvark", names[0]), (names[1], names[1]), (names[2], names[2])):
        shutil.copytree(photos / source, tmp_path / "more" / name)
    header = _Header()
    second = zoo.finetune(
        *("cnn", tmp_path / "more"),
        output=tmp_path / "b",
        weights=str(tmp_path / "a"),
        strategy=strategy,
        lr=1e-9,
        reporter=header,
        **options,
    )
    assert header.lines["head"] == (
        f"kept the head's rows of 2 of 3 classes: {names[1]}, {names[2]}"
    )
    assert second.record["kept_rows"] == names[1:]
    old, new = first.backbone.head, second.backbone.head
    assert isinstance(old, nn.Linear)
    assert isinstance(new, nn.Linear)
    places = [second.classes.index(name) for name in names[1:]]
    origins = [first.classes.index(name) for name in names[1:]]
    torch.testing.assert_close(new.weight[places], old.weight[origins], atol=1e-6, rtol=0)
    again = zoo.finetune(  # an adapter run as the start, and the option that turns it off
        *("cnn", tmp_path / "more"),
        output=tmp_path / "c",
        weights=str(tmp_path / "b"),
        strategy="full",
        lr=1e-9,
        keep_head=False,
        reporter=Quiet(),
        **options,
    )
    assert again.record["kept_rows"] == []
    assert isinstance(again.backbone.head, nn.Linear)
    assert not torch.allclose(again.backbone.head.weight, new.weight, atol=1e-3)
