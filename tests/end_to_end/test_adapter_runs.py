"""Runs that hold an adapter and the name of their base, and not the whole network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

import zoo
from tests.end_to_end.conftest import Zoo
from zoo.engine.progress import Quiet
from zoo.errors import NameLookupError, RunError, UsageError, WeightsError

KINDS = (
    "lora",
    "ia3",
    "bias",
    "basics/lokr",
    pytest.param("loha", marks=pytest.mark.slow),
    pytest.param("dora", marks=pytest.mark.slow),
    pytest.param("norm", marks=pytest.mark.slow),
)
PIXELS = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def train(few: Path, folder: Path, **options: Any) -> zoo.Run:
    return zoo.finetune(
        options.pop("backbone", "cnn"),
        few,
        output=folder,
        epochs=1,
        image_size=32,
        report=False,
        workers=0,
        reporter=Quiet(),
        **options,
    )


@pytest.fixture(scope="module")
def base(few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole network, to start adapters from."""
    return train(few, tmp_path_factory.mktemp("base") / "whole").folder


@pytest.fixture(scope="module")
def lora(few: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lora") / "lora"
    return train(few, folder, weights=str(base), strategy="lora").folder


def logits(run: zoo.Run) -> Tensor:
    with torch.no_grad():
        outputs: Tensor = run.backbone.eval()(PIXELS)
    return outputs


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_run_reopens_to_the_same_logits_to_the_bit(
    kind: str, few: Path, base: Path, tmp_path: Path
) -> None:
    run = train(few, tmp_path / "run", weights=str(base), strategy=kind)
    written = {"adapter.safetensors", "feature_bank.safetensors"}
    assert {file.name for file in run.folder.glob("*.safetensors")} == written
    opened = zoo.open_run(run.folder)
    assert torch.equal(logits(opened), logits(run))
    assert not torch.equal(logits(opened), logits(zoo.open_run(base)))
    record = json.loads((run.folder / "run.json").read_text())["adapter"]
    whole = json.loads((base / "run.json").read_text())
    assert record["kind"].rpartition("/")[2] == kind.rpartition("/")[2]
    assert record["base"] == {
        "backbone": "basics/cnn",
        "weights": "run",
        "sha256": whole["sha256"],
        "file": str(base / "model.safetensors"),
    }
    small = (run.folder / "adapter.safetensors").stat().st_size
    assert small < (base / "model.safetensors").stat().st_size / 2


def test_a_chain_of_adapters_is_put_together_link_by_link(
    few: Path, lora: Path, tmp_path: Path
) -> None:
    second = train(few, tmp_path / "second", weights=str(lora), strategy="bias")
    assert torch.equal(logits(zoo.open_run(second.folder)), logits(second))
    changed = safetensors.torch.load_file(second.folder / "adapter.safetensors")
    assert all(name.startswith(("base.", "head.")) for name in changed)
    whole = train(few, tmp_path / "third", weights=str(second.folder), strategy="full")
    assert (whole.folder / "model.safetensors").is_file()


def test_merging_at_once_saves_the_whole_network(few: Path, base: Path, tmp_path: Path) -> None:
    run = train(few, tmp_path / "merged", weights=str(base), strategy="lora", merge=True)
    assert not (run.folder / "adapter.safetensors").exists()
    assert torch.equal(logits(zoo.open_run(run.folder)), logits(run))
    with pytest.raises(UsageError, match="merge has no effect"):
        train(few, tmp_path / "full", weights=str(base), strategy="full", merge=True)
    assert not (tmp_path / "full").exists()


def moved(lora: Path, tmp_path: Path, **base: str) -> Path:
    """A copy of an adapter run, whose record states another base."""
    folder = tmp_path / "moved"
    shutil.copytree(lora, folder)
    record = json.loads((folder / "run.json").read_text())
    record["adapter"]["base"] |= base
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def test_an_adapter_of_another_base_is_refused(lora: Path, base: Path, tmp_path: Path) -> None:
    folder = moved(lora, tmp_path, sha256="0" * 64)
    with pytest.raises(RunError, match="000000000000") as caught:
        zoo.open_run(folder).load()
    assert json.loads((base / "run.json").read_text())["sha256"][:12] in str(caught.value)
    assert "--base" in caught.value.hint


def test_a_base_that_is_not_there_can_be_named_or_published(
    lora: Path, base: Path, tmp_path: Path
) -> None:
    folder = moved(lora, tmp_path, file=str(tmp_path / "gone" / "model.safetensors"))
    with pytest.raises(RunError, match="gone") as caught:
        zoo.open_run(folder).load()
    assert "zoo add" in caught.value.hint
    assert "--base" in caught.value.hint
    expected = logits(zoo.open_run(lora))
    assert torch.equal(logits(zoo.open_run(folder, base=base)), expected)
    from zoo.registry.publishing import publish

    publish("their-base", base, registry=zoo.Registry.discover())
    assert torch.equal(logits(zoo.open_run(folder)), expected)


def test_published_weights_are_found_in_the_catalogue_only(lora: Path, tmp_path: Path) -> None:
    folder = moved(lora, tmp_path, file="", backbone="basics/cnn", weights="secret")
    with pytest.raises(RunError, match="'secret' of basics/cnn"):
        zoo.open_run(folder).load()


def damaged(lora: Path, tmp_path: Path, change: Any) -> Path:
    folder = tmp_path / "damaged"
    shutil.copytree(lora, folder)
    record = json.loads((folder / "run.json").read_text())
    tensors = safetensors.torch.load_file(folder / "adapter.safetensors")
    change(tensors, record)
    safetensors.torch.save_file(tensors, folder / "adapter.safetensors")
    from zoo.system.files import sha256_of

    record["sha256"] = sha256_of(folder / "adapter.safetensors")
    (folder / "run.json").write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda tensors, _: tensors.update(extra=torch.ones(1)), "1 unknown: extra"),
        (lambda tensors, _: tensors.pop("head.bias"), "1 missing: bias"),
        (lambda _, record: record["adapter"].update(layers=["conv9"]), "1 layers are not there"),
        (lambda _, record: record["adapter"]["options"].update(rank=10**9), "rank 1000000000"),
        (lambda _, record: record["adapter"]["options"].update(rank=4), "of another shape"),
        (lambda _, record: record["adapter"].update(kind=3), "not a str"),
        (lambda _, record: record.update(adapter=[]), "damaged"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_by_name(
    change: Any, match: str, lora: Path, tmp_path: Path
) -> None:
    folder = damaged(lora, tmp_path, change)
    with pytest.raises(RunError, match=match):
        zoo.open_run(folder).load()


def test_a_damaged_or_missing_file_is_refused(lora: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(lora, folder)
    file = folder / "adapter.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(RunError, match="has changed since the run"):
        zoo.open_run(folder).load()
    file.unlink()
    with pytest.raises(RunError, match=r"there is no .*adapter\.safetensors"):
        zoo.open_run(folder).load()


def test_an_adapter_of_an_unknown_kind_names_it(lora: Path, tmp_path: Path) -> None:
    folder = damaged(lora, tmp_path, lambda _, record: record["adapter"].update(kind="acme/odd"))
    with pytest.raises(NameLookupError, match="acme/odd"):
        zoo.open_run(folder).load()


def test_an_adapter_on_itself_is_refused(lora: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    file = folder / "adapter.safetensors"
    base = {"file": str(file)}
    damaged(lora, tmp_path, lambda _, record: record["adapter"]["base"].update(base))
    record = json.loads((folder / "run.json").read_text())
    record["adapter"]["base"]["sha256"] = record["sha256"]
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match="that adapter itself"):
        zoo.open_run(folder).load()


# -- merging, listing ------------------------------------------------------------------------


def test_a_merged_run_is_whole_and_says_the_same(
    lora: Path, base: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    folder = tmp_path / "whole"
    done = zoo_cli("merge", lora, "--output", folder, "--base", base, "--json").json
    assert done["run"] == str(folder)
    assert not (folder / "adapter.safetensors").exists()
    merged = zoo.open_run(folder)
    assert merged.record["sha256"] == done["sha256"]
    difference = (logits(merged) - logits(zoo.open_run(lora))).abs().max()
    assert difference <= 1e-6
    again = zoo_cli("merge", folder)
    assert (again.code, "holds a whole network" in again.err) == (1, True), again.err
    assert not (tmp_path / "whole-merged").exists()


def test_merging_leaves_nothing_where_it_fails(
    lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("zoo.runs.merging.write_model", full)
        with pytest.raises(RunError, match="No space left"):
            zoo.merge_run(lora, tmp_path / "whole")
    assert not (tmp_path / "whole").exists()
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        zoo.merge_run(lora, file / "whole")
    folder = moved(lora, tmp_path, sha256="0" * 64)
    with pytest.raises(RunError, match="does not fit"):
        zoo.merge_run(folder, tmp_path / "whole")
    assert not (tmp_path / "whole").exists()


def test_adapters_are_listed_by_the_backbone_that_they_fit(
    lora: Path, tmp_path: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert zoo_cli("adapters").out == ""
    shutil.copytree(lora, tmp_path / "runs" / "cnn-1")
    shutil.copytree(lora, tmp_path / "runs" / "cnn-2")
    (tmp_path / "runs" / "cnn-2" / "run.json").write_text("{")
    assert zoo_cli("add", lora, "--name", "my-adapter").code == 0
    result = zoo_cli("adapters", "cnn", "--json")
    listed = {each["name"]: each for each in result.json}
    assert listed.keys() == {None, "my-adapter"}
    assert listed[None]["run"] == str(tmp_path / "runs" / "cnn-1")
    assert (listed[None]["backbone"], listed[None]["kind"]) == ("basics/cnn", "lora")
    assert listed[None]["bytes"] == (lora / "adapter.safetensors").stat().st_size
    assert "omitted" in result.err
    assert "runs/cnn-1" in zoo_cli("adapters").out
    assert zoo_cli("adapters", "resnet*", "--json").json == []
    assert torch.equal(zoo.load("my-adapter").eval()(PIXELS), logits(zoo.merge_run(lora, "x")))
    assert "no adapter runs of resnet*" in zoo_cli("adapters", "resnet*").err


def test_the_name_of_a_run_stands_for_its_folder(
    lora: Path, tmp_path: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(lora, tmp_path / "runs" / "cnn-1")
    assert zoo_cli("add", "runs/cnn-1", "--name", "named").code == 0
    run = zoo.open_run("named")
    assert (run.folder, run.name) == (tmp_path / "runs" / "cnn-1", "named")
    assert list(zoo.load_predictors([run, "runs/cnn-1"], device="cpu")) == ["named", "cnn-1"]
    merged = zoo_cli("merge", "runs/cnn-1")
    assert "run: runs/cnn-1-merged" in merged.out, merged.err
    assert zoo_cli("report", "named").code == 0
    shutil.rmtree(tmp_path / "runs" / "cnn-1")
    gone = zoo_cli("report", "named")
    assert (gone.code, "zoo add --remove named" in gone.err) == (1, True), gone.err


# -- several adapters on one base ------------------------------------------------------------


def test_adapters_of_every_kind_share_one_base_and_are_switched_to_the_bit(
    few: Path, base: Path, lora: Path, tmp_path: Path
) -> None:
    norm = train(few, tmp_path / "norm", weights=str(base), strategy="norm")
    ia3 = train(few, tmp_path / "ia3", weights=str(base), strategy="ia3", seed=1)
    runs = {"lora": zoo.open_run(lora), "norm": norm, "ia3": ia3}
    alone = {name: logits(zoo.open_run(run.folder)) for name, run in runs.items()}
    adapters = zoo.load_adapters([lora, norm.folder, str(ia3.folder)], device="cpu")
    assert adapters.names == ("lora", "norm", "ia3")
    assert (len(adapters), adapters.current) == (3, "lora")
    shared = {p.data_ptr() for p in adapters.backbone.net.parameters()}
    with torch.no_grad():
        for name in ("norm", "lora", "ia3", "ia3", "norm"):
            assert torch.equal(adapters.use(name)(PIXELS), alone[name]), name
    assert shared == {p.data_ptr() for p in adapters.use("lora").net.parameters()}
    assert adapters.run("norm").record == norm.record
    with pytest.raises(NameLookupError, match=r"'lore'.*lora"):
        adapters.use("lore")


def test_predictors_of_one_base_answer_as_the_runs(
    few: Path, base: Path, lora: Path, tmp_path: Path
) -> None:
    bias = train(few, tmp_path / "bias", weights=str(base), strategy="bias")
    runs = [zoo.open_run(folder) for folder in (lora, base, bias.folder)]
    predictors = zoo.load_predictors(runs, device="cpu")
    image = Image.open(next(few.rglob("*.png")))
    for run, (name, predictor) in zip(runs, predictors.items(), strict=True):
        assert name == run.folder.name
        alone = run.predictor(device="cpu")
        assert np.array_equal(
            predictor.outputs([predictor.prepare(image)]), alone.outputs([alone.prepare(image)])
        )
        path = next(few.rglob("*.png"))
        (predicted,), (expected,) = predictor.predict([str(path)]), run.predict([path])
        assert predicted.input == expected.input == str(path)
        assert predicted.probabilities == pytest.approx(expected.probabilities, abs=1e-6)
        assert predictor.predict(image)[0].label == expected.label
    assert predictor.predict([]) == []
    with pytest.raises(UsageError, match="two runs are called 'lora'"):
        zoo.load_predictors([lora, lora])


def test_what_cannot_share_a_base_is_refused(
    few: Path, lora: Path, base: Path, tmp_path: Path
) -> None:
    other = moved(lora, tmp_path, sha256="0" * 64)
    with pytest.raises(UsageError, match="000000000000"):
        zoo.load_adapters([lora, other])
    with pytest.raises(RunError, match="holds no adapter"):
        zoo.load_adapters([base])
    with pytest.raises(RunError, match="does not fit"):
        zoo.load_adapters([other])
    with pytest.raises(UsageError, match="two runs are called 'lora'"):
        zoo.load_adapters([lora, str(lora)])
    with pytest.raises(UsageError, match="no runs"):
        zoo.load_adapters([])


# -- PEFT's own folders ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def peft(lora: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter run, exported for PEFT."""
    folder = tmp_path_factory.mktemp("peft") / "folder"
    exported = zoo.export_run(lora, format="peft", output=folder)
    assert exported.difference <= 1e-6
    return folder


def published_base(base: Path) -> str:
    from zoo.registry.publishing import publish

    publish("the-base", base, registry=zoo.Registry.discover(), replace=True)
    return "the-base"


def test_an_exported_adapter_is_read_by_peft_and_by_zoo(
    peft: Path, lora: Path, base: Path, few: Path, tmp_path: Path
) -> None:
    from peft import PeftModel

    run = zoo.open_run(lora)
    plain = zoo.open_run(base).load()
    PeftModel.from_pretrained(plain.net, peft)
    with torch.no_grad():
        wanted = run.load().features(PIXELS)
        torch.testing.assert_close(plain.eval().features(PIXELS), wanted)
        again = zoo.load(published_base(base), weights=str(peft), classes=2)
        torch.testing.assert_close(again.eval().features(PIXELS), wanted)
    started = train(few, tmp_path / "started", backbone="the-base", weights=str(peft),
                    strategy="bias")  # fmt: skip
    assert torch.equal(logits(zoo.open_run(started.folder)), logits(started))


def test_only_adapters_of_peft_are_exported_for_it(few: Path, base: Path, tmp_path: Path) -> None:
    bias = train(few, tmp_path / "bias", weights=str(base), strategy="bias")
    for run, why in ((base, "holds a whole network"), (bias, "not of PEFT's layers")):
        with pytest.raises(RunError, match=why):
            zoo.export_run(run, format="peft", output=tmp_path / "peft")
    assert not (tmp_path / "peft").exists()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"peft_type": "XLORA"}, "peft_type is 'XLORA'"),
        ({"r": 10**9}, "r = 1000000000 is not valid"),
        ({"target_modules": "(a+)+$"}, "list of names"),
        ({"target_modules": ["conv7"]}, "no layers called conv7"),
        ({"layer_replication": [[0, 9]]}, "layer_replication"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
        ({"auto_map": {"AutoModel": "evil.Model"}}, "auto_map"),
        ({"r": 2}, "of another shape"),
    ],
)
def test_unknown_or_hostile_settings_of_peft_are_refused(
    change: dict[str, Any], why: str, peft: Path, base: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "hostile"
    shutil.copytree(peft, folder)
    config = json.loads((folder / "adapter_config.json").read_text()) | change
    (folder / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=why):
        zoo.load(published_base(base), weights=str(folder), classes=2)


def test_damaged_folders_of_peft_are_refused(peft: Path, base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(peft, folder)
    name = published_base(base)
    with pytest.raises(WeightsError, match="has no published weights"):
        zoo.load("cnn", weights=str(folder), classes=2)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(WeightsError, match="pickles"):
        zoo.load(name, weights=str(folder), classes=2)
    for text in ("[]", "{", '"'):
        (folder / "adapter_config.json").write_text(text)
        with pytest.raises(WeightsError, match="cannot be used"):
            zoo.load(name, weights=str(folder), classes=2)
