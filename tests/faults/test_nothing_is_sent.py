"""What a run folder, or one of Transformers, names is not looked for on any network."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.end_to_end.conftest import Zoo
from tests.faults.test_hostile_runs import altered
from tests.faults.test_hostile_weights import copied, tiny_bert
from zoo.errors import WeightsError, ZooError
from zoo.system.network import reachable
from zoo.system.offline import NetworkRefused, no_network

ELSEWHERE = ("hf-hub:someone/else", "hf_hub:someone/else", "someone/else", "https://else.example/n")

_tried: list[str] = []
_watching = False


@cache
def _watch() -> None:
    """Note, in every thread, what is asked of any network; the process keeps it to its end."""

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if not _watching or event not in ("socket.connect", "socket.getaddrinfo"):
            return
        if isinstance(arguments[0], socket.socket) and arguments[0].family == socket.AF_UNIX:
            return
        _tried.append(f"{event} {arguments[1:] if event == 'socket.connect' else arguments}")

    with no_network():  # its hook goes first, so that what it refuses is not seen here
        pass
    sys.addaudithook(note)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What has been asked of any network; no address leads out of this machine."""
    global _watching
    _watch()
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    _tried.clear()
    _watching = True
    yield _tried
    _watching = False


def test_the_watch_sees_look_ups_and_connections_of_every_thread(watched: list[str]) -> None:
    def knock() -> None:
        with pytest.raises(OSError, match=r"refused|reach"):
            socket.create_connection(("127.0.0.1", 9), 1)

    thread = threading.Thread(target=knock)
    thread.start()
    thread.join()
    assert [each.split()[0] for each in watched] == ["socket.getaddrinfo", "socket.connect"]


def test_inside_of_the_block_no_host_is_asked_and_each_is_named() -> None:
    with no_network() as hosts:
        for ask in (
            lambda: socket.create_connection(("else.example", 443)),
            lambda: socket.socket().connect(("127.0.0.1", 9)),
            lambda: socket.gethostbyname("else.example"),
            lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
        ):
            with pytest.raises(NetworkRefused):
                ask()
        assert not reachable("https://else.example")
        one, other = socket.socketpair()
        one.sendall(b"among ourselves")
        assert other.recv(20) == b"among ourselves"
        one.close()
        other.close()
    assert hosts == ["else.example", "127.0.0.1", "else.example", "127.0.0.1"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert") / "bert")


def _record(run: Path) -> Any:
    return json.loads((run / "run.json").read_text())


@pytest.mark.parametrize(
    ("loader", "named"),
    [
        pytest.param(loader, named, marks=pytest.mark.slow if loader == "torchvision" else ())
        for named in ELSEWHERE
        for loader in ("timm", "torchvision", "basics")
    ],
)
def test_a_run_whose_architecture_lies_elsewhere_is_refused_and_nobody_is_asked(
    named: str,
    loader: str,
    run_of_photos: Path,
    few_photos: Path,
    tmp_path: Path,
    zoo_cli: Zoo,
    outside: Path,
    watched: list[str],
) -> None:
    run = copied(run_of_photos, tmp_path / "run")
    Path("registry.toml").write_text(f"[models.mine]\nrun = {json.dumps(str(run))}\n")
    spec = zoo.load(NETWORKS[loader], weights="none").spec.to_json()
    altered(run, "spec", to={**spec, "name": f"{loader}/{named}"})
    altered(run, "backbone", to=f"{loader}/{named}")
    for command in (
        ("predict", run, few_photos / "red" / "0.png"),
        ("finetune", "mine", "--data", few_photos, "--epochs", "1"),
        ("show", "mine"),
        ("report", run),
    ):
        done = zoo_cli(*command)
        assert watched == [], command
        assert "Traceback" not in done.err
        if loader == "timm" and command[0] in ("predict", "finetune"):
            assert done.code == 1
            assert f"{named!r} is not an architecture of timm" in done.err


NETWORKS = {"timm": "timm/resnet10t", "torchvision": "resnet18", "basics": "cnn"}


CONFIGS: dict[str, Any] = {
    "a backbone": {"backbone": "X", "use_pretrained_backbone": True, "use_timm_backbone": True},
    "a wrapper": {"model_type": "timm_wrapper", "architecture": "X", "hidden_size": 8},
    "a wrapped backbone": {"model_type": "timm_backbone", "backbone": "X", "hidden_size": 8},
    "a detector": {
        "model_type": "detr",
        "backbone": "X",
        "use_pretrained_backbone": True,
        "use_timm_backbone": True,
    },
    "a nested backbone": {
        "model_type": "dpt",
        "is_hybrid": True,
        "backbone_config": {"model_type": "timm_backbone", "backbone": "X"},
    },
    "a nested encoder": {
        "model_type": "vision-text-dual-encoder",
        "text_config": {"model_type": "bert", "_name_or_path": "X"},
        "vision_config": {"model_type": "timm_wrapper", "architecture": "X"},
    },
    "names": {"_name_or_path": "X", "name_or_path": "X", "tokenizer_class": "X"},
    "code": {"auto_map": {"AutoConfig": "X--code.Config", "AutoModel": "X--code.Model"}},
    "kernels": {"attn_implementation": "X", "_attn_implementation_internal": "X"},
    "a base": {"base_model_name_or_path": "X", "peft_type": "LORA"},
    "quantization": {"quantization_config": {"quant_method": "gptq", "tokenizer": "X"}},
}

BESIDE: dict[str, Any] = {
    "tokenizer_config.json": {
        "auto_map": {"AutoTokenizer": ["X--code.Tokenizer", None]},
        "tokenizer_class": "SomeoneTokenizer",
        "name_or_path": "X",
        "tokenizer_file": "X",
        "processor_class": "X",
    },
    "processor_config.json": {"processor_class": "X", "auto_map": {"AutoProcessor": "X--code.P"}},
    "preprocessor_config.json": {"image_processor_type": "X", "_name_or_path": "X"},
    "modules.json": [{"idx": 0, "name": "X", "path": "X", "type": "X.Transformer"}],
    "generation_config.json": {"_name_or_path": "X", "assistant": "X"},
    "model.safetensors.index.json": {"weight_map": {"X": "https://else.example/n.safetensors"}},
}


def _put(folder: Path, file: str, values: Any, name: str) -> None:
    """Lay ``values`` into a JSON file, with ``name`` for every X in it."""
    text = json.dumps(values).replace('"X', f'"{name}')
    path = folder / file
    old = json.loads(path.read_text()) if path.is_file() else None
    path.write_text(json.dumps({**old, **json.loads(text)}) if isinstance(old, dict) else text)


@pytest.mark.parametrize("name", ELSEWHERE[:3:2])
@pytest.mark.parametrize("what", [*CONFIGS, *BESIDE])
@pytest.mark.slow
def test_nobody_is_asked_for_what_a_folder_of_transformers_names(
    what: str, name: str, bert: Path, tmp_path: Path, watched: list[str]
) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "net"))
    if what in BESIDE:
        _put(folder, what, BESIDE[what], name)
    else:
        _put(folder, "config.json", CONFIGS[what], name)
    for weights in ("auto", "none"):
        with suppress(ZooError):
            zoo.load(f"path:{folder}", weights=weights)
    assert watched == []


def test_who_would_have_been_asked_is_reported(
    bert: Path, tmp_path: Path, watched: list[str]
) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "net"))
    _put(folder, "config.json", CONFIGS["a wrapper"], ELSEWHERE[0])
    with pytest.raises(WeightsError, match=r"(127\.0\.0\.1|huggingface\.co)") as told:
        zoo.load(f"path:{folder}")
    assert str(folder) in told.value.message
    assert watched == []


def test_a_report_does_not_ask_the_hub_for_the_data_that_a_run_names(
    run_of_photos: Path, tmp_path: Path, zoo_cli: Zoo, watched: list[str]
) -> None:
    run = copied(run_of_photos, tmp_path / "run")
    for data in ("hf:someone/else", "https://else.example/data.zip", "hf-hub:someone/else"):
        altered(run, "request", "data", to=data)
        altered(run, "data", "source", to=data)
        assert zoo_cli("report", run).code == 0
        assert watched == []
        assert "its data is not available" in (run / "report.html").read_text()
