"""Files of weights that would run code, lie about themselves, or ask for more than there is."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import zoo
import zoo.contract.network.backbone  # declares what torchvision lacks here
from tests.end_to_end.conftest import Zoo
from tests.faults.malicious import KINDS, TENSORS, runs
from zoo.errors import RunError, WeightsError
from zoo.registry.registry import Registry
from zoo.weights.loading.load import read_state_dict

# -- code --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_malicious_files_are_what_they_claim(kind: str, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    content = KINDS[kind](marker)
    assert not marker.exists()
    runs(content, tmp_path / "file.pth")
    assert marker.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_malicious_file_never_runs(
    kind: str, marker: Path, tmp_path: Path, few_photos: Path, zoo_cli: Zoo, outside: Path
) -> None:
    content = KINDS[kind](marker)
    for name in ("weights.pth", "weights.pt", "weights.bin", "weights.safetensors", "weights"):
        file = tmp_path / name
        file.write_bytes(content)
        with pytest.raises(WeightsError, match=r"failed to read|contains code"):
            zoo.load("cnn", weights=str(file))
    done = zoo_cli("finetune", "cnn", "--data", few_photos, "--weights", tmp_path / "weights.pth")
    assert done.code == 1
    assert "contains code" in done.err
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_with_malicious_weights_never_runs_them(
    kind: str, marker: Path, tmp_path: Path, run_of_photos: Path, few_photos: Path
) -> None:
    run = copied(run_of_photos, tmp_path / "run")
    content = KINDS[kind](marker)
    (run / "model.safetensors").write_bytes(content)
    changed(run, sha256=hashlib.sha256(content).hexdigest())  # as its author would
    with pytest.raises(RunError, match="cannot be loaded"):
        zoo.open_run(run).predict([few_photos / "red" / "0.png"], workers=0)
    with pytest.raises(WeightsError):
        zoo.load("cnn", weights=str(run))


@pytest.mark.parametrize("kind", ["os.system", "names on the stack", "before torch 1.6"])
def test_a_folder_of_transformers_with_a_malicious_file_never_runs_it(
    kind: str, marker: Path, tmp_path: Path
) -> None:
    folder = tiny_bert(tmp_path / "bert")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(KINDS[kind](marker))
    with pytest.raises(WeightsError):
        zoo.load(f"path:{folder}")


def test_a_malicious_file_in_the_place_of_published_weights_never_runs(
    marker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    registry = Registry.discover()
    spec = registry.spec("torchvision/squeezenet1_1")
    uri = spec.weights[0].uri
    place = tmp_path / "hub" / "checkpoints" / uri.rpartition("/")[2]
    place.parent.mkdir(parents=True)
    place.write_bytes(KINDS["os.system"](marker))
    with pytest.raises(WeightsError, match="damaged"):
        zoo.load(spec.name, registry=registry)
    # Without a hash to compare with, what reads the file is on its own; timm has a reader too.
    for name in (spec.name, "timm/test_resnet"):
        spec = registry.spec(name)
        weights = replace(spec.weights[0], uri=str(place), sha256="")
        with pytest.raises(WeightsError, match="squeezenet"):
            zoo.build(spec, weights)


def test_a_pickle_of_plain_tensors_is_still_read(tmp_path: Path) -> None:
    for options in ({}, {"_use_new_zipfile_serialization": False}):
        torch.save({"state_dict": TENSORS, "epoch": 3}, tmp_path / "good.pth", **options)
        assert torch.equal(
            read_state_dict(tmp_path / "good.pth")["layer.weight"], TENSORS["layer.weight"]
        )


def test_code_inside_a_repository_is_refused_with_the_reason(
    marker: Path, tmp_path: Path, zoo_cli: Zoo, outside: Path
) -> None:
    folder = tiny_bert(tmp_path / "bert")
    code = f"open({str(marker)!r}, 'w').close()\n"
    for name in ("modeling_own.py", "configuration_own.py", "tokenization_own.py"):
        (folder / name).write_text(code, encoding="utf-8")
    auto_map = {"AutoConfig": "configuration_own.Own", "AutoModel": "modeling_own.Own"}
    own = {"model_type": "own", "vocab_size": 99, "hidden_size": 8, "auto_map": auto_map}
    (folder / "config.json").write_text(json.dumps({**own, "trust_remote_code": True}))
    for command in ("show", "finetune"):
        done = zoo_cli(command, f"path:{folder}")
        assert done.code == 1
        assert "needs code from its own repository" in done.err


def test_a_tokenizer_with_code_of_its_own_is_refused(marker: Path, tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "bert")
    (folder / "tokenization_own.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    own = {"auto_map": {"AutoTokenizer": ["tokenization_own.Own", None]}, "tokenizer_class": "Own"}
    (folder / "tokenizer_config.json").write_text(json.dumps(own))
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n")
    with pytest.raises(WeightsError, match="tokenizer") as caught:
        zoo.load(f"path:{folder}")
    assert "code" in caught.value.message


def test_a_kernel_that_a_config_names_is_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``attn_implementation`` may name a repository of compiled code."""
    folder = tiny_bert(tmp_path / "bert")
    config = json.loads((folder / "config.json").read_text())
    for key in ("attn_implementation", "_attn_implementation", "experts_implementation"):
        config[key] = "kernels-community/evil"
    (folder / "config.json").write_text(json.dumps(config))
    backbone = zoo.load(f"path:{folder}")
    assert "evil" not in str(backbone.net.config.to_dict())
    assert "evil" not in str(getattr(backbone.net.config, "_attn_implementation", ""))


# -- lies --------------------------------------------------------------------------------------


def header(entries: Mapping[str, Any], *, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with this header, which may say what it likes."""
    text = json.dumps(entries).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(shape: list[int], start: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


LIES: Mapping[str, bytes] = {
    "nothing": b"",
    "half a length": b"\x08\0\0",
    "a header longer than the file": header({}, length=10_000),
    "a header of 2**63 bytes": header({}, length=2**63),
    "no JSON": (9).to_bytes(8, "little") + b"not JSON!",
    "no object": (2).to_bytes(8, "little") + b"[]",
    "invalid UTF-8": (4).to_bytes(8, "little") + b"{\xff\xfe}",
    "100 GB of nothing": header({"a": entry([25_000_000_000], 0, 100_000_000_000)}),
    "a shape that its bytes do not fill": header({"a": entry([1000], 0, 8)}, data=bytes(8)),
    "a shape whose product overflows": header({"a": entry([2**40] * 3, 0, 8)}, data=bytes(8)),
    "a negative shape": header({"a": entry([-1], 0, 4)}, data=bytes(4)),
    "offsets behind the end": header({"a": entry([1], 4, 8)}, data=bytes(4)),
    "offsets the wrong way round": header({"a": entry([1], 4, 0)}, data=bytes(4)),
    "negative offsets": header({"a": entry([1], -4, 0)}, data=bytes(4)),
    "tensors that overlap": header({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, data=bytes(12)),
    "a hole between tensors": header(
        {"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, data=bytes(12)
    ),
    "an unknown type": header({"a": entry([1], 0, 4, "X99")}, data=bytes(4)),
    "no offsets": header({"a": {"dtype": "F32", "shape": [1]}}, data=bytes(4)),
    "a list for an entry": header({"a": [1, 2]}, data=bytes(4)),
    "metadata of numbers": header({"__metadata__": {"a": 1}, "b": entry([1], 0, 4)}, data=bytes(4)),
    "brackets without end": (100_000).to_bytes(8, "little") + b"[" * 100_000,
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_safetensors_header_is_named(
    lie: str, tmp_path: Path, run_of_photos: Path, few_photos: Path, zoo_cli: Zoo, outside: Path
) -> None:
    file = tmp_path / "lie.safetensors"
    file.write_bytes(LIES[lie])
    done = zoo_cli("finetune", "cnn", "--data", few_photos, "--weights", file)
    assert done.code == 1
    assert str(file) in done.err
    folder = tiny_bert(tmp_path / "bert")  # whose size is read from that header before torch is
    (folder / "model.safetensors").write_bytes(LIES[lie])
    assert zoo_cli("show", f"path:{folder}").code in (0, 1)
    with pytest.raises(WeightsError):
        zoo.load(f"path:{folder}")
    run = copied(run_of_photos, tmp_path / "run")
    (run / "model.safetensors").write_bytes(LIES[lie])
    with pytest.raises(RunError, match="cannot be loaded"):
        zoo.open_run(run).load()


def zipped(entries: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def saved(state: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def bomb() -> bytes:
    """1 GB of zeros in 1 MB: a weights file compressed as torch never does."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, protocol=2))
        with archive.open("archive/data/0", "w", force_zip64=True) as record:
            for _ in range(64):
                record.write(bytes(2**20))
    return buffer.getvalue()


class Bytes:
    """Unpickles as ``bytearray(count)``, which torch's careful reader lets a file ask for."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __reduce__(self) -> tuple[Any, ...]:
        return bytearray, (self._count,)


DEMANDS: Mapping[str, Callable[[], bytes]] = {
    "one number seen 100 GB times": lambda: saved({"a": torch.zeros(1).expand(25_000_000_000)}),
    "a tensor without storage": lambda: saved({"a": torch.empty(25_000_000_000, device="meta")}),
    "a small tensor without storage": lambda: saved({"a": torch.empty(2, device="meta")}),
    "a sparse tensor of 100 GB": lambda: saved(
        {"a": torch.sparse_coo_tensor([[0]], [1.0], (25_000_000_000,))}
    ),
    "bytes on demand": lambda: saved({"a": Bytes(10**15)}),
    "a zip bomb": bomb,
    "names that are numbers": lambda: saved({1: torch.zeros(1)}),
    "a zip without weights": lambda: zipped({"readme.txt": b"hello"}),
    "half a file": lambda: saved(TENSORS)[:-200],
    "a broken middle": lambda: (lambda s: s[:80] + b"\xff" * 40 + s[120:])(saved(TENSORS)),
}


@pytest.mark.parametrize("demand", DEMANDS)
def test_what_asks_for_more_than_it_has_is_named(
    demand: str, tmp_path: Path, few_photos: Path, zoo_cli: Zoo, outside: Path
) -> None:
    file = tmp_path / "demand.pth"
    file.write_bytes(DEMANDS[demand]())
    with pytest.raises(WeightsError, match=r"demand\.pth"):
        read_state_dict(file)
    done = zoo_cli("finetune", "cnn", "--data", few_photos, "--weights", file)
    assert done.code == 1
    assert str(file) in done.err
    for backbone in ("resnet18", "timm/resnet18"):
        with pytest.raises(WeightsError, match=r"demand\.pth"):
            zoo.load(backbone, weights=str(file))


# -- what the tests stand on -------------------------------------------------------------------


def copied(run: Path, to: Path) -> Path:
    return Path(shutil.copytree(run, to))


def changed(run: Path, **values: Any) -> None:
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, **values}))


def tiny_bert(folder: Path) -> Path:
    """A BERT of a few hundred parameters, as save_pretrained writes it."""
    from tokenizers import Tokenizer, models
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    sizes = {"vocab_size": 8, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    BertModel(BertConfig(**sizes, intermediate_size=8, max_position_embeddings=16)).save_pretrained(
        folder
    )
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"]
    plain = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "[UNK]"))
    PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="[PAD]").save_pretrained(folder)
    return folder


def test_the_tiny_bert_of_these_tests_loads(tmp_path: Path) -> None:
    assert zoo.load(f"path:{tiny_bert(tmp_path / 'bert')}").tokenizer is not None
    assert safetensors.torch.load_file(tmp_path / "bert" / "model.safetensors")
