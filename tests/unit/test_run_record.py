"""A finished run as a start for others: what is read of it, and what makes it unfit."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.made_runs import made_run
from zoo import open_run
from zoo.contract.spec import BackboneSpec, ImageInput, TextInput, Weights
from zoo.errors import RunError
from zoo.registry.run_record import lineage, read_record, read_run, starting_run
from zoo.training import record as records
from zoo.training.same_run import refuse_change

IMAGES = BackboneSpec(
    name="acme/net", modality="image", feature_dim=8, params=100, input=ImageInput(size=32),
    loader="nowhere:load", weights=(Weights(tag="v1", uri="/none", default=True),),
)  # fmt: skip
TEXTS = BackboneSpec(
    name="acme/words", modality="text", feature_dim=8, params=100,
    input=TextInput(own_tokenizer=False), loader="nowhere:load",
)  # fmt: skip


def test_a_finished_run_is_a_backbone_with_its_own_weights(tmp_path: Path) -> None:
    published = Weights(tag="v1", uri="/none", license="CC-BY-4.0").to_json()
    folder = made_run(tmp_path / "run", IMAGES, weights=published, params=88)
    run = read_run(folder, name="plants")
    assert (run.spec.name, run.spec.params, run.spec.input) == ("acme/net", 88, IMAGES.input)
    assert run.spec.weights == (run.weights,)
    weights = run.weights
    assert (weights.tag, weights.default, weights.classes) == ("plants", True, 2)
    assert weights.license == "CC-BY-4.0", "that of the weights it came from"
    assert weights.metrics == {"validation/accuracy": 91.25}, "in percent, as publishers state it"
    assert (run.classes, run.data) == (("fern", "moss"), "plants/")
    run.check_weights()


def test_a_run_without_an_accuracy_shows_its_other_metrics(tmp_path: Path) -> None:
    results = {"metrics": {"rmse": 1.5, "r2": 0.25, "loss": 0.5}}
    run = read_run(made_run(tmp_path / "run", IMAGES, results=results))
    assert run.weights.metrics == {"validation/rmse": 1.5, "validation/r2": 0.25}


def test_the_folder_is_absolute_whatever_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made_run(tmp_path / "runs" / "net-1", IMAGES)
    monkeypatch.chdir(tmp_path)
    run = read_run(Path("runs/../runs/net-1"))
    assert run.folder == folder
    assert run.weights.uri == str(folder / "model.safetensors")


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "12"},
        {"sha256": 7},
        {"classes": "fern"},
        {"classes": 3},
        {"spec": None},
        {"spec": {"name": "x"}},
        {"format": "1"},
        {"data": []},
        {"results": {"metrics": {"accuracy": "good"}}},
        {"weights": "v1"},
        {"params": "many"},
        {"origin": {"name": "animals"}},
        {"origin": "animals"},
        *({"lacks": key} for key in ("spec", "sha256", "results", "weights", "data", "task")),
        *({"lacks": key} for key in ("finished", "params", "origin", "surgery", "versions")),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = made_run(tmp_path / "run", IMAGES, **changes)
    with pytest.raises(RunError) as caught:
        read_run(folder)
    assert str(folder / "run.json") in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("content", ["{half a", "[]", "3"])
def test_a_damaged_record_is_an_error(tmp_path: Path, content: str) -> None:
    folder = made_run(tmp_path / "run", IMAGES)
    (folder / "run.json").write_text(content)
    with pytest.raises(RunError, match=r"run\.json"):
        read_run(folder)


def test_a_record_to_resume_from_has_what_was_asked_for(tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run", IMAGES, finished=False, compile="off", plugins={})
    with pytest.raises(RunError) as caught:
        read_record(folder, finished=False)
    assert str(folder / "run.json") in caught.value.message
    assert "lacks machine, request, surgery_sha256, track" in caught.value.message


def test_plugins_of_another_shape_are_an_error(tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run", IMAGES, plugins={"acme": "1.0"})
    with pytest.raises(RunError, match=r"run\.json is not valid: 'plugins' must hold") as told:
        read_record(folder)
    assert told.value.hint


def test_a_later_format_asks_for_an_upgrade(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="format 99") as caught:
        read_run(made_run(tmp_path / "run", IMAGES, format=99))
    assert "pip install -U zoo-finetune" in caught.value.hint


def test_a_folder_that_is_not_a_run_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, why in (("gone", "does not exist"), ("", "no run.json"), ("file", "no run.json")):
        with pytest.raises(RunError, match=f"{why}") as caught:
            read_run(tmp_path / name)
        assert "zoo finetune" in caught.value.hint


def test_a_run_without_its_weights_or_its_tokenizer_cannot_start_another(tmp_path: Path) -> None:
    folder = made_run(tmp_path / "pictures", IMAGES)
    (folder / "model.safetensors").unlink()
    with pytest.raises(RunError, match=r"has no model\.safetensors"):
        read_run(folder)
    folder = made_run(tmp_path / "texts", TEXTS)
    with pytest.raises(RunError, match=r"has no tokenizer\.json"):
        read_run(folder)
    (folder / "tokenizer.json").touch()
    assert read_run(folder).spec.name == "acme/words"


def test_other_weights_than_the_run_wrote_are_noticed(tmp_path: Path) -> None:
    run = read_run(made_run(tmp_path / "run", IMAGES))
    file = run.folder / "model.safetensors"
    file.write_bytes(b"something else")
    with pytest.raises(RunError, match="sha256") as caught:
        run.check_weights()
    assert f"--weights {file}" in caught.value.hint
    file.unlink()
    with pytest.raises(RunError, match="cannot be read: No such file"):
        run.check_weights()


def test_an_origin_is_recorded_with_its_own_origins(tmp_path: Path) -> None:
    published = Weights(tag="v1", uri="/none").to_json()
    first = read_run(made_run(tmp_path / "a", IMAGES, weights=published), name="animals")
    second = read_run(made_run(tmp_path / "b", IMAGES, origin=first.origin))
    assert first.origin["origin"] is None
    assert second.origin == {
        "name": None,
        "run": str(tmp_path / "b"),
        "backbone": "acme/net",
        "sha256": second.weights.sha256,
        "data": "plants/",
        "weights": None,
        "origin": first.origin,
    }
    assert json.loads(json.dumps(second.origin)) == second.origin
    assert lineage({"weights": None, "origin": second.origin}) == (
        "b (acme/net, trained on plants/), which started from "
        "animals (acme/net, trained on plants/), which started from the weights v1"
    )
    assert lineage({"weights": None, "origin": None}) == "random initialisation"
    assert lineage({"weights": published, "origin": None}) == "the weights v1"


def test_the_origin_is_found_by_name_by_folder_and_by_file(tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run", IMAGES)
    named, plain = read_run(folder, name="plants"), read_run(folder)
    digits = plain.weights.sha256
    assert starting_run(named.weights, digits, named) is named
    assert named.origin["name"] == "plants"
    file = Weights(tag="file", uri=plain.weights.uri)
    for weights in (plain.weights, file):
        found = starting_run(weights, digits, None)
        assert found is not None
        assert found.origin == plain.origin
    assert starting_run(None, "", named) is None
    assert starting_run(file, "0" * 64, None) is None, "the file is no longer what the run wrote"
    other = Weights(tag="v1", uri=str(tmp_path / "other.safetensors"))
    assert starting_run(other, digits, named) is None, "other weights were asked for"
    (folder / "run.json").write_text("{half a")
    assert starting_run(file, digits, None) is None, "a file needs no run around it"


def test_a_run_with_surgery_cannot_start_another(tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run", IMAGES, surgery="changes:widen")
    with pytest.raises(RunError, match="'changes:widen'") as caught:
        read_run(folder)
    assert "docs/plugins.md" in caught.value.hint


def test_a_run_of_other_versions_is_not_gone_on_with(tmp_path: Path) -> None:
    now = {
        "data": {"fingerprint": "same", "source": "plants/"},
        "weights": None,
        "versions": records.versions(),
        "plugins": {
            "acme": {"distribution": "zoo-acme", "version": "1", "opening": [], "training": []}
        },
    }
    torch = now["versions"]["torch"]
    with pytest.raises(RunError, match="was started with other versions: torch 1") as told:
        refuse_change(tmp_path, now | {"versions": now["versions"] | {"torch": "1.0"}}, now)
    assert told.value.message.endswith(f"now {torch}")
    refuse_change(tmp_path, now, now)


def test_a_run_with_a_damaged_tokenizer_cannot_be_used(tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run", TEXTS)
    (folder / "tokenizer.json").write_text("{half a")
    with pytest.raises(RunError, match=r"tokenizer\.json") as caught:
        _ = open_run(folder).tokenizer
    assert str(folder) in caught.value.message


@pytest.mark.parametrize("split", ["test", "validation"])
def test_a_split_that_the_data_do_not_have_is_named(
    split: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out = SimpleNamespace(to_evaluate=lambda trained_on: {"val": None}, notes=())
    monkeypatch.setattr("zoo.runs.evaluating.open_data", lambda *_, **__: held_out)
    run = open_run(made_run(tmp_path / "run", IMAGES))
    with pytest.raises(RunError, match=f"'{split}'") as caught:
        run.evaluate("photos", split=split)
    assert caught.value.hint == "It has: val."


def test_an_opened_run_stays_open_when_the_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_run(tmp_path / "runs" / "one", IMAGES)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    run = open_run("runs/one")
    assert run.folder == Path("runs/one")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run.folder == tmp_path / "runs" / "one"
    assert (run.folder / "run.json").is_file()
