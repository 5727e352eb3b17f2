"""What a user asks for, kept so that it can be asked again from elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.contract.spec import BackboneSpec, ImageInput, TextInput
from zoo.data.samples import Splits
from zoo.engine.progress import Quiet
from zoo.errors import RunError, UsageError, ZooError
from zoo.modalities import IMAGE, all_modalities
from zoo.runs.request import OPTIONS, Request
from zoo.runs.requested_data import open_requested
from zoo.tasks import tasks_for


def test_a_request_becomes_json_and_back(tmp_path: Path) -> None:
    request = Request(
        backbone="cnn", data=str(tmp_path), overrides={"epochs": 3, "freeze": ("conv1", "conv2")}
    )
    assert Request.from_json(request.to_json()) == request


def test_paths_are_kept_absolute_and_names_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("cnn", "photos", "bert"):
        Path(name).mkdir()
    kept = Request(backbone="cnn", data="photos", weights="none").to_json()
    assert (kept["backbone"], kept["data"], kept["weights"]) == (
        *("cnn", str(tmp_path / "photos")),
        "none",
    )
    named = Request(backbone="path:bert", data="hf:imdb").to_json()
    assert (named["backbone"], named["data"]) == (f"path:{tmp_path / 'bert'}", "hf:imdb")


@pytest.mark.parametrize(
    "data",
    [
        *(None, {}, {"overrides": {}}, {"overrides": 3, "backbone": "cnn"}),
        {"overrides": {}, "backbone": "cnn", "an option of another zoo": 1},
    ],
)
def test_a_damaged_request_is_reported(data: object) -> None:
    with pytest.raises(RunError, match=r"run\.json"):
        Request.from_json(data)


def test_values_that_are_not_valid_are_reported_at_once() -> None:
    with pytest.raises(UsageError, match=r"val_split must be in \(0, 1\), got 2"):
        Request.from_options("cnn", None, {"val_split": 2})
    with pytest.raises(UsageError, match=r"lr.*0.*0"):
        Request.from_options("cnn", None, {"lr": 0.0})
    with pytest.raises(UsageError, match=r"value_range.*9.*3"):
        Request.from_options("cnn", None, {"value_range": (9, 3)})


def test_an_unknown_option_is_reported_with_the_closest() -> None:
    with pytest.raises(UsageError, match=r"'lerning_rate'.*Closest: lr"):
        Request.from_options("cnn", None, {"lerning_rate": 1})
    with pytest.raises(UsageError, match=r"'batchsize'.*Closest: batch_size"):
        Request.from_options("cnn", None, {"batchsize": 1})
    with pytest.raises(UsageError, match="unknown option 'probe_lr'"):  # a field, and no option
        Request.from_options("cnn", None, {"probe_lr": 1})


def test_options_are_kept_as_plain_values_and_none_is_the_default() -> None:
    request = Request.from_options(
        "cnn",
        Path("photos"),
        {"freeze": ["a", "b"], "epochs": np.int64(3), "lr": None, "classes": 4},
    )
    assert request.overrides == {"freeze": ("a", "b"), "epochs": 3}
    assert type(request.overrides["epochs"]) is int
    assert (request.data, request.classes) == ("photos", 4)
    named = Request.from_options("cnn", None, {"data": "photos", "weights": Path("w.pth")})
    assert (named.data, named.weights) == ("photos", "w.pth")


INPUTS = {"image": ImageInput(), "text": TextInput(vocab_size=9)}


@pytest.mark.parametrize(
    ("modality", "options", "message"),
    [
        ("text", {"mixup": 0.2}, "mixup is for images, and acme takes texts"),
        ("text", {"cached_views": 2}, "cached_views is for images, and acme takes texts"),
        ("text", {"image_size": 32}, "image_size is for images"),
        ("image", {"max_length": 32}, "max_length is for texts, and acme takes images"),
        ("image", {"pooling": "mean"}, "pooling is for texts"),
        ("image", {"input": {"size": 32}}, "^input"),
        ("text", {"augment": "none", "mixup": 0.0, "max_length": 32, "pooling": "cls"}, None),
        ("image", {"augment": "trivial", "mixup": 0.2, "image_size": 32}, None),
    ],
)
def test_options_of_the_other_modality_are_refused(
    modality: str, options: dict[str, object], message: str | None
) -> None:
    request = Request.from_options("acme", None, options)
    given = BackboneSpec(name="acme", input=INPUTS[modality], loader="acme:load")
    if message is None:
        request.refuse_for(given)
        return
    with pytest.raises(UsageError, match=message):
        request.refuse_for(given)


def opened(request: Request) -> Splits:
    return open_requested(request, IMAGE, tasks_for(request.task))


def test_the_options_of_modalities_are_in_the_table() -> None:
    assert {name for each in all_modalities() for name in each.options} <= {*OPTIONS}


@pytest.mark.parametrize("task", ["multi-label", "regression"])
def test_the_demo_data_have_one_task(task: str) -> None:
    with pytest.raises(UsageError, match=f"task.*{task}"):
        opened(Request(backbone="acme", task=task))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("text_column", "body"),
        ("label_column", "stars"),
        ("val_split", 0.5),
        ("bad_files", "skip"),
        ("dedupe", True),
        ("corrections", "corrections.csv"),
        ("quoting", "none"),
    ],
)
def test_options_about_data_are_refused_for_the_demo_data(option: str, value: object) -> None:
    with pytest.raises(UsageError, match=option) as error:
        opened(Request(backbone="acme", **{option: value}))
    assert "--data PATH" in error.value.hint


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for split, count in (("train", 4), ("val", 2)):
        for shade, name in enumerate("ab"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(count):
                image = Image.new("RGB", (8, 8), (100 * shade, 20 * number, len(split)))
                image.save(tmp_path / split / name / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize("option", ["text_column", "label_column"])
def test_a_column_is_refused_where_there_is_no_table(folders: Path, option: str) -> None:
    with pytest.raises(UsageError, match=f'{option}="body"') as error:
        opened(Request(backbone="acme", data=str(folders), **{option: "body"}))
    assert "--data" in error.value.hint


def test_a_share_to_hold_out_is_said_not_to_be_used_where_a_split_is_there(folders: Path) -> None:
    splits = opened(Request(backbone="acme", data=str(folders), val_split=0.4))
    assert len(splits.train) == 8
    assert any("--val-split" in note for note in splits.notes)
    usual = opened(Request(backbone="acme", data=str(folders)))
    assert not any("--val-split" in note for note in usual.notes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metric": "acuracy"}, "metric 'acuracy' .*Did you mean 'accuracy'"),
        ({"metric": "rmse", "task": "single-label"}, "'rmse' is not a metric of single-label data"),
        ({"metric": "top_k:0"}, 'metric="top_k:0": the number must be'),
        ({"loss": "hubber"}, "loss 'hubber' .*Did you mean 'huber'"),
        ({"loss": "huber", "task": "multi-label"}, "'huber' is not a loss for multi-label data"),
        ({"augment": "trivail"}, "'trivail'.*Did you mean 'trivial'"),
        ({"task": "regresion"}, "'regresion'.*Did you mean 'regression'"),
    ],
)
def test_names_that_no_task_knows_are_refused_before_the_data_is_read(
    options: dict[str, object], words: str
) -> None:
    with pytest.raises(ZooError, match=words):
        zoo.finetune("cnn", "/nowhere/photos", reporter=Quiet(), **options)  # type: ignore[arg-type]
    with pytest.raises(ZooError, match="/nowhere/photos"):
        zoo.finetune("cnn", "/nowhere/photos", metric="rmse", loss="huber", reporter=Quiet())
