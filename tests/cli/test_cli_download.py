"""``zoo download``, from hosts on this machine; and work without a network afterwards."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import safetensors.torch

from tests.cli.conftest import Zoo
from tests.faults import offline
from tests.faults.hosts import Host, Hub, only_hub, up

ROOT = Path(__file__).parents[2]
SOURCES = (ROOT, ROOT / "plugins")
CONTENT = b"as if these were parameters" * 1000


@pytest.fixture
def host() -> Iterator[Host]:
    """A host that has ``tiny.pth``."""
    with up(Host({"tiny.pth": CONTENT})) as host:
        yield host


@pytest.fixture
def published(install: Callable[..., Path], host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin with weights there: right ones, ones whose hash is another, and ones that are gone."""
    right = hashlib.sha256(CONTENT).hexdigest()
    monkeypatch.setenv("ZOO_PLUGINS", "acme")
    install(
        "acme",
        f"""
        import zoo
        from zoo import BackboneSpec, ImageInput, Weights

        def spec(name, file, sha256):
            weights = Weights(tag="v1", uri="{host.address}/" + file, sha256=sha256, default=True)
            return BackboneSpec(
                name=name, modality="image", feature_dim=8, params=100, input=ImageInput(size=32),
                loader="nowhere:load", weights=(weights,) if file else (),
            )

        @zoo.hookimpl
        def zoo_backbones():
            return [
                spec("right", "tiny.pth", "{right[:8]}"), spec("wrong", "tiny.pth", "00000000"),
                spec("gone", "gone.pth", ""), spec("bare", "", ""),
            ]
        """,
    )


def test_weights_are_fetched_once_and_found_without_a_network(
    zoo: Zoo, published: None, host: Host, tmp_path: Path
) -> None:
    (row,) = zoo("download", "right", "--json").document
    assert Path(row["path"]).read_bytes() == CONTENT
    assert Path(row["path"]).is_relative_to(tmp_path / "TORCH_HOME")
    assert (row["name"], row["weights"], row["bytes"]) == ("acme/right", "v1", len(CONTENT))
    host.files = {}
    again = zoo("download", "acme/right.v1")
    assert again.code == 0, again.err
    assert again.out.splitlines()[1].split() == ["acme/right", "v1", "27", "kB", row["path"]]
    assert len(host.asked) == 1


def test_what_cannot_be_had_is_reported_and_the_others_are_fetched(
    zoo: Zoo, published: None, tmp_path: Path
) -> None:
    done = zoo("download", "wrong", "gone", "bare", "right", "nosuch")
    assert done.code == 1
    assert [line.split()[:2] for line in done.out.splitlines()[1:]] == [
        ["acme/bare", "none"],
        ["acme/right", "v1"],
    ]
    assert "tiny.pth does not match and the download was deleted" in done.err
    assert "Error: gone: 127.0.0.1:" in done.err
    assert "Error: nosuch: no backbone is called 'nosuch'" in done.err
    held = {path.name for path in (tmp_path / "TORCH_HOME").rglob("*") if path.is_file()}
    assert {name for name in held if not name.endswith(".lock")} == {"tiny.pth"}


def test_fetching_imports_neither_torch_nor_the_hubs_client() -> None:
    code = (
        "import sys, zoo.weights.find; print({'torch', 'huggingface_hub', 'rich'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


@pytest.fixture
def weights_of_a_cnn(tmp_path: Path) -> Path:
    """What zoo's small CNN has learned somewhere, as a file."""
    import zoo

    file = tmp_path / "own.safetensors"
    net = zoo.load("basics/cnn", weights="none")
    safetensors.torch.save_file(net.native_state_dict(), file)
    return file


def _publish(install: Callable[..., Path], **uris: str) -> None:
    """A plugin with zoo's small CNN by several names, with weights at ``uris``."""
    install(
        "acme",
        f"""
        from dataclasses import replace

        import zoo
        from zoo import Weights
        from zoo_basics import plugin as basics

        @zoo.hookimpl
        def zoo_backbones():
            cnn, _ = basics.zoo_backbones()
            for name, uri in {uris!r}.items():
                yield replace(cnn, name=name, weights=(Weights(tag="v1", uri=uri, default=True),))
        """,
    )


@pytest.mark.slow
def test_cached_and_local_weights_work_without_a_network(
    zoo: Zoo,
    install: Callable[..., Path],
    weights_of_a_cnn: Path,
    host: Host,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = weights_of_a_cnn.read_bytes()
    host.files = {"cnn.safetensors": content}
    with only_hub(Hub({"acme/cnn/model.safetensors": content}), monkeypatch):
        web, hub = f"{host.address}/cnn.safetensors", "hf:acme/cnn/model.safetensors"
        _publish(install, web=web, hub=hub)
        done = zoo("download", "acme/web", "acme/hub")
        assert done.code == 0, done.err
        offline.cut_off(monkeypatch.setattr)
        for number, (name, wish) in enumerate(
            [("acme/web", "auto"), ("acme/hub", "auto"), ("basics/cnn", weights_of_a_cnn)]
        ):
            run = tmp_path / f"run{number}"
            options = ("--classes", 2, "--epochs", 1, "--strategy", "probe", "--workers", 0)
            done = zoo("finetune", name, "--weights", wish, *options, "--output", run)
            assert done.code == 0, done.err
            assert (run / "model.safetensors").is_file()
            digits = hashlib.sha256(content).hexdigest()
            assert digits in (run / "run.json").read_text()
        with pytest.raises(offline.Attempted):
            socket.create_connection(("127.0.0.1", 9))


@pytest.mark.long
def test_a_machine_is_prepared_and_then_has_no_network(
    install: Callable[..., Path], weights_of_a_cnn: Path, tmp_path: Path
) -> None:
    """As on a cluster: ``zoo download`` where there is a network, the fine-tune where there is none."""
    host = Host({"cnn.safetensors": weights_of_a_cnn.read_bytes()})
    with up(host), up(Hub({f"acme/bert/{k}": v for k, v in _tiny_bert(tmp_path).items()})) as hub:
        _publish(install, web=f"{host.address}/cnn.safetensors")
        env = os.environ | {
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(tmp_path / "hf"),
            "TORCH_HOME": str(tmp_path / "torch"),
            "PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], *map(str, SOURCES)]),
        }
        env.pop("HF_HUB_CACHE")

        def run(*command: str) -> None:
            done = subprocess.run(
                [sys.executable, *command], env=env, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr

        run("-m", "zoo", "download", "acme/web", "hf/acme/bert")
        assert (tmp_path / "torch" / "hub" / "checkpoints" / "cnn.safetensors").is_file()
        assert (tmp_path / "hf" / "hub" / "models--acme--bert" / "refs" / "main").is_file()
        asked = len(host.asked), len(hub.asked)
        options = ("--classes", "2", "--epochs", "1", "--strategy", "probe")
        run("-m", "tests.faults.offline", "finetune", "acme/web", *options)
        run("-m", "tests.faults.offline", "finetune", "hf/acme/bert", *options, "--workers", "0")
        assert (len(host.asked), len(hub.asked)) == asked


def _tiny_bert(folder: Path) -> dict[str, bytes]:
    """A BERT of a few thousand parameters, as ``save_pretrained`` leaves it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz"]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, sep_token="[SEP]", **special)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    BertModel(config).save_pretrained(folder / "bert")
    fast.save_pretrained(folder / "bert")
    return {file.name: file.read_bytes() for file in (folder / "bert").iterdir()}
