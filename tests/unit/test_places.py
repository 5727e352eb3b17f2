"""Where weights lie on this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from zoo import Weights
from zoo.system import paths
from zoo.weights import local_weights

VARIABLES = (
    "ZOO_CACHE",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "TORCH_HOME",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def _touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def _find(uri: str) -> Path | None:
    return local_weights.cached_file(Weights(tag="t", uri=uri))


def test_the_caches_of_torch_and_of_the_hub_are_where_these_put_them(home: Path) -> None:
    code = "from huggingface_hub import constants; print(constants.HF_HUB_CACHE)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    hub = Path(result.stdout.strip())
    assert paths.torch_folder() == Path(torch.hub.get_dir()) / "checkpoints"
    assert paths.hub_folder() == hub == home / ".cache" / "huggingface" / "hub"


@pytest.mark.parametrize(
    ("variables", "function", "wanted"),
    [
        ({"ZOO_CACHE": "~/own"}, paths.cache_folder, "own"),
        ({"ZOO_CACHE": "", "XDG_CACHE_HOME": "~/x"}, paths.cache_folder, "x/zoo"),
        ({"XDG_CONFIG_HOME": "~/x"}, paths.config_folder, "x/zoo"),
        ({"TORCH_HOME": "~/t"}, paths.torch_folder, "t/hub/checkpoints"),
        ({"XDG_CACHE_HOME": "~/x"}, paths.torch_folder, "x/torch/hub/checkpoints"),
        ({"HF_HUB_CACHE": "$HOME/h"}, paths.hub_folder, "h"),
        ({"HUGGINGFACE_HUB_CACHE": "~/h"}, paths.hub_folder, "h"),
        ({"HF_HOME": "~/h"}, paths.hub_folder, "h/hub"),
        ({"XDG_CACHE_HOME": "~/x"}, paths.hub_folder, "x/huggingface/hub"),
    ],
)
def test_variables_move_the_folders(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    function: object,
    wanted: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert callable(function)
    assert function() == home / wanted


@pytest.mark.parametrize("tail", ["", "?download=true", "#main"])
def test_a_downloaded_file_is_found_by_its_name(tail: str) -> None:
    uri = f"https://download.pytorch.org/models/resnet18-f37072fd.pth{tail}"
    assert _find(uri) is None
    path = _touch(paths.torch_folder() / "resnet18-f37072fd.pth")
    assert _find(uri) == path


def test_a_local_file_is_found_where_it_is(home: Path) -> None:
    assert _find("~/x.pth") is None
    assert _find(str(_touch(home / "x.pth"))) == home / "x.pth"
    assert _find("~/x.pth") == home / "x.pth"


def test_a_file_of_the_hub_is_found_in_the_snapshot_of_main_first() -> None:
    repo = paths.hub_folder() / "models--org--name"
    _touch(repo / "snapshots" / "aaa" / "model.safetensors")
    newest = _touch(repo / "snapshots" / "bbb" / "model.safetensors")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("bbb")
    assert _find("hf:org/name/model.safetensors") == newest
    assert _find("hf:org/name") == newest.parent
    (repo / "refs" / "main").write_text("ccc")
    assert _find("hf:org/name") == repo / "snapshots" / "aaa"
    assert _find("hf:org/name/other.safetensors") is None
    assert _find("hf:org/other") is None


def test_a_snapshot_without_weights_does_not_count() -> None:
    snapshot = paths.hub_folder() / "models--org--name" / "snapshots" / "aaa"
    _touch(snapshot / "config.json")
    assert _find("hf:org/name") is None
    (snapshot / "model.safetensors").symlink_to(snapshot / "blob-that-was-deleted")
    assert _find("hf:org/name") is None
    _touch(snapshot / "pytorch_model.bin")
    assert _find("hf:org/name") == snapshot


def test_a_shelf_lists_a_folder_once_for_many_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[Path] = []
    listing = local_weights._listing
    monkeypatch.setattr(
        local_weights, "_listing", lambda folder: listed.append(folder) or listing(folder)
    )
    once = local_weights.LocalWeights()
    for number in range(50):
        assert once.find(f"https://x.y/{number}.pth") is None
        assert once.find(f"hf:timm/net{number}/model.safetensors") is None
    assert listed == [paths.torch_folder(), paths.hub_folder()]


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("hf:org/name", ("org/name", None)),
        ("hf:org/name/file.bin", ("org/name", "file.bin")),
        ("hf:org/name/sub/file.bin", ("org/name", "sub/file.bin")),
        ("hf:gpt2", ("gpt2", None)),
    ],
)
def test_an_address_of_the_hub_is_taken_apart(uri: str, parts: tuple[str, str | None]) -> None:
    assert local_weights.hub_parts(uri) == parts
