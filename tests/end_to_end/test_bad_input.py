"""Every mistake gets a clear error, exit code 1, no traceback, and leaves nothing behind."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

import zoo
from tests.end_to_end.conftest import Outcome, Zoo
from tests.made_runs import made_run
from tests.unit.test_run_record import IMAGES
from zoo.errors import UsageError

Refused = Callable[..., Outcome]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zoo_cli: Zoo) -> Refused:
    """Run ``zoo`` in an empty folder; it must fail with these words and leave the folder empty."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def run(*arguments: object, says: tuple[str, ...]) -> Outcome:
        done = zoo_cli(*arguments)
        assert done.code == 1, (done.code, done.err)
        assert done.out == ""
        message = " ".join(done.err.split())
        assert message.count("Error:") == 1
        for words in says:
            assert words in message
        assert list(here.iterdir()) == []
        return done

    return run


def test_an_unknown_backbone_names_the_closest(refused: Refused) -> None:
    refused("finetune", "resnet81", says=("'resnet81'", "Closest: resnet18", "zoo list"))
    refused("finetune", "torchvision/resnet81", says=("torchvision/resnet18",))


def test_an_unknown_plugin_names_the_known_ones(refused: Refused) -> None:
    refused("show", "torchvison/resnet18", says=("Did you mean 'torchvision'", "zoo plugins"))


def test_a_wrong_number_of_classes_is_found_before_any_weights_load(
    refused: Refused, photos: Path
) -> None:
    # resnet18's weights are not here: an attempt to load them would be another error.
    refused("finetune", "resnet18", "--data", photos, "--classes", 5, says=("5", "3", "blue"))


def test_an_empty_class_is_named(refused: Refused, photos: Path) -> None:
    (photos / "yellow").mkdir()
    refused("finetune", "cnn", "--data", photos, says=("yellow",))


def test_one_class_alone_is_refused(refused: Refused, photos: Path, tmp_path: Path) -> None:
    only = tmp_path / "only"
    only.mkdir()
    (photos / "red").rename(only / "red")
    refused("finetune", "cnn", "--data", only, says=("red",))


def test_an_empty_folder_is_refused(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused("finetune", "cnn", "--data", tmp_path / "empty", says=("empty",))
    refused("finetune", "cnn", "--data", tmp_path / "absent", says=("no file or folder",))


def test_no_readable_image_is_refused(refused: Refused, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "broken" / name).mkdir(parents=True)
        (tmp_path / "broken" / name / "1.jpg").write_bytes(b"no image")
    refused("finetune", "cnn", "--data", tmp_path / "broken", says=("1.jpg",))
    refused(
        *("finetune", "cnn", "--data", tmp_path / "broken", "--bad-files", "skip"),
        says=("no readable inputs",),
    )


def test_damaged_images_are_listed_by_path(
    refused: Refused, photos: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    whole = (photos / "red" / "1.jpg").read_bytes()
    (photos / "red" / "1.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "blue" / "2.jpg").write_bytes(b"")
    refused(
        *("finetune", "cnn", "--data", photos),
        says=("red/1.jpg", "blue/2.jpg", "--bad-files skip"),
    )
    done = zoo_cli(
        *("finetune", "--no-report", "cnn", "--data", photos, "--bad-files", "skip", "--epochs", 1),
        *("--image-size", 32, "--output", tmp_path / "run", "--json"),
    )
    assert done.code == 0, done.err
    assert len(done.json["skipped"]) == 2


def test_a_table_without_labels_names_the_columns_it_has(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("headline,stars\ngood,1\nbad,0\n")
    refused("finetune", "lstm", "--data", tmp_path / "table.csv", says=("headline", "stars"))


def test_empty_texts_are_named_by_row(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("text,label\ngood,1\n,0\nbad,0\nfine,1\n")
    refused("finetune", "lstm", "--data", tmp_path / "table.csv", says=("row 2",))


def test_a_label_that_training_lacks_is_named(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "train.csv").write_text("text,label\ngood,yes\nbad,no\nfine,yes\nawful,no\n")
    (tmp_path / "t" / "val.csv").write_text("text,label\ngood,perhaps\n")
    refused("finetune", "lstm", "--data", tmp_path / "t", says=("perhaps",))


def test_a_class_that_training_lacks_is_named(refused: Refused, photos: Path) -> None:
    (photos / "train").mkdir()
    (photos / "val" / "yellow").mkdir(parents=True)
    for name in ("red", "green", "blue"):
        (photos / name).rename(photos / "train" / name)
    (photos / "train" / "red" / "0.jpg").rename(photos / "val" / "yellow" / "0.jpg")
    refused("finetune", "cnn", "--data", photos, says=("yellow",))


def test_an_output_folder_that_exists_is_kept(
    refused: Refused, photos: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "note.txt").write_text("mine")
    refused("finetune", "cnn", "--data", photos, "--output", kept, says=("exists", "--output"))
    assert [path.name for path in kept.iterdir()] == ["note.txt"]


def test_an_unknown_stage_names_the_stages(refused: Refused, photos: Path) -> None:
    refused(
        *("finetune", "resnet18", "--data", photos, "--weights", "none"),
        *("--freeze-until", "layer9"),
        says=("'layer9'", "layer1, layer2, layer3, layer4"),
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--lr", "0"),
        ("--lr", "nan"),
        ("--epochs", "-1"),
        ("--val-split", "2"),
        ("--batch-size", "0"),
        ("--classes", "1"),
        ("--classes", "11"),
        ("--image-size", "0"),
        ("--weight-decay", "-1"),
        ("--workers", "-2"),
        ("--seed", "-1"),
    ],
)
def test_impossible_numbers_are_named(refused: Refused, option: str, value: str) -> None:
    refused("finetune", "cnn", option, value, says=(value, "must be" if value != "11" else "10"))


def test_an_unknown_strategy_or_head_names_the_known_ones(refused: Refused) -> None:
    refused("finetune", "cnn", "--strategy", "prob", says=("Did you mean 'probe'", "two-stage"))
    refused("finetune", "cnn", "--head", "liner", says=("Did you mean 'linear'", "mlp"))


def test_a_text_option_that_is_not_a_number_is_wrong_usage(zoo_cli: Zoo) -> None:
    assert zoo_cli("finetune", "cnn", "--epochs", "many").code == 2


def test_weights_of_another_architecture_say_which_names_differ(
    refused: Refused, photos: Path, tmp_path: Path
) -> None:
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"layer.weight": torch.zeros(3)}, path)
    refused(
        *("finetune", "resnet18", "--data", photos, "--weights", path),
        says=("missing: conv1.weight", "unknown: layer.weight"),
    )


def test_missing_weights_with_data_name_the_remedies(
    refused: Refused, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    refused(
        *("finetune", "resnet18", "--data", photos),
        says=("--weights PATH", "--weights none", str(tmp_path / "torch")),
    )


def test_a_folder_that_is_not_a_run_is_refused(refused: Refused, tmp_path: Path) -> None:
    for command in (("predict", tmp_path, "x.jpg"), ("evaluate", tmp_path, "--data", tmp_path)):
        refused(*command, says=("no run.json", "zoo finetune"))


def test_a_damaged_run_is_refused(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    refused("predict", tmp_path, "x.jpg", says=("run.json",))
    (tmp_path / "run.json").write_text("{}")
    refused("predict", tmp_path, "x.jpg", says=("lacks",))


def test_an_image_given_to_a_text_run_is_refused(
    refused: Refused, photos: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    run = tmp_path / "run"
    done = zoo_cli("finetune", "--no-report", "lstm", "--epochs", 1, "--output", run)
    assert done.code == 0, done.err
    refused("predict", run, photos / "red" / "0.jpg", says=("takes texts", "0.jpg"))
    refused("finetune", "lstm", "--data", photos, says=("takes texts",))


def test_a_text_given_to_an_image_run_is_refused(
    refused: Refused, photos: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    run = tmp_path / "run"
    done = zoo_cli(
        *(
            "finetune",
            "--no-report",
            "cnn",
            "--data",
            photos,
            "--epochs",
            1,
            "--image-size",
            16,
            "--output",
            run,
        )
    )
    assert done.code == 0, done.err
    refused("predict", run, "a lovely film", says=("a lovely film",))


def test_an_empty_standard_input_and_an_unknown_output_are_reported(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made_run(tmp_path / "run", IMAGES)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b" \n\n")))
    refused("predict", run, "-", says=("standard input is empty", "images"))
    refused("predict", run, "x", "--output", "y.txt", says=("y.txt", ".csv"))


def test_sizes_that_a_network_does_not_take_name_the_nearest(refused: Refused) -> None:
    for arguments, words in (
        (
            ("alexnet", "--image-size", 10),
            ("at least 63", "alexnet", "got 10"),
        ),
        (
            ("bert-base-uncased", "--max-length", 9999),
            ("got 9999", "hf/bert-base-uncased", "512"),
        ),
        (
            ("cnn", "--surgery", "zoo.engine.surgery:__doc__"),
            ("is not a function", "MODULE:FUNCTION"),
        ),
    ):
        refused("finetune", *arguments, "--weights", "none", says=words)


def test_an_option_that_a_range_test_does_not_have_is_named() -> None:
    with pytest.raises(UsageError, match="unknown option 'rates'"):
        zoo.find_lr("cnn", rates=3)
