"""The data of ``zoo finetune``: an argument, or ``--data``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Zoo


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for label, red in (("ant", 0), ("bee", 200)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i in range(6):
            file = tmp_path / "photos" / label / f"{i}.png"
            Image.new("RGB", (32, 32), (red + i, 5 * i, 90 + i)).save(file)
    return tmp_path / "photos"


def test_data_may_follow_the_backbone(zoo: Zoo, photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ("--epochs", "1", "--image-size", "32", "--no-report", "--output", str(run))
    assert zoo("finetune", "cnn", str(photos), *options).code == 0
    assert json.loads((run / "run.json").read_text())["classes"] == ["ant", "bee"]


def test_data_given_twice_is_refused(zoo: Zoo, photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = zoo("finetune", "cnn", str(photos), "--data", "other", "--output", str(run))
    assert result.code != 0
    assert f"data given twice: {photos} and --data other" in result.err
    assert not run.exists()


def test_a_resumed_run_takes_no_other_data(zoo: Zoo) -> None:
    result = zoo("finetune", "--resume", "run", "photos")
    assert result.code != 0
    assert "--resume does not accept photos" in result.err
