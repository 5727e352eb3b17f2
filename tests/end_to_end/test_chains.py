"""What was learned on A starts B, and what was learned on B starts C."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import zoo
from tests.end_to_end.conftest import Zoo
from zoo.errors import RunError, WeightsError

Train = Callable[..., Path]


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def train(tmp_path: Path, zoo_cli: Zoo) -> Train:
    """``train("cnn", data, "a")``: a run in ``runs/a``, added to the zoo under its own name."""

    def run(backbone: str, data: Path, name: str, *options: object) -> Path:
        folder = tmp_path / "runs" / name
        done = zoo_cli(
            *("finetune", backbone, "--data", data, "--output", folder, "--workers", 0),
            *("--epochs", 1, "--no-report", *options),
        )
        assert done.code == 0, done.err
        assert zoo_cli("add", folder, "--name", name).code == 0
        return folder

    return run


@pytest.fixture
def plants(tmp_path: Path) -> Path:
    """Two classes that are none of those of ``photos``: stripes across, and stripes down."""
    generator = np.random.default_rng(1)
    for axis, name in enumerate(("across", "down")):
        folder = tmp_path / "plants" / name
        folder.mkdir(parents=True)
        for number in range(12):
            pixels = generator.integers(0, 90, (40, 40, 3), dtype=np.uint8)
            np.moveaxis(pixels, axis, 0)[::4] += 150
            Image.fromarray(pixels).save(folder / f"{number}.jpg")
    return tmp_path / "plants"


def record_of(run: Path) -> Any:
    return json.loads((run / "run.json").read_text())


def same_backbone(first: zoo.Backbone, second: zoo.Backbone) -> bool:
    others = second.net.state_dict()
    return all(torch.equal(tensor, others[name]) for name, tensor in first.net.state_dict().items())


# -- images ------------------------------------------------------------------------------------


def test_a_chain_of_three_with_other_classes_and_another_head(
    photos: Path, plants: Path, train: Train, zoo_cli: Zoo
) -> None:
    # A probe leaves the backbone as it was, so that each run shows what it started from.
    a = train("cnn", photos, "my-animals", "--image-size", 32)
    b = train("my-animals", plants, "my-plants", "--strategy", "probe", "--head", "mlp")
    c = train("my-plants", photos, "again", "--strategy", "probe")
    runs = [zoo.open_run(folder) for folder in (a, b, c)]
    assert [len(run.classes) for run in runs] == [3, 2, 3]
    assert [run.record["head"] for run in runs] == ["linear", "mlp", "linear"]
    assert {run.backbone_name for run in runs} == {"basics/cnn"}
    assert {run.spec.image_input.size for run in runs} == {32}, "that of A goes along"
    loaded = [run.load() for run in runs]
    assert same_backbone(loaded[0], loaded[1])
    assert same_backbone(loaded[1], loaded[2])
    origin = runs[1].record["origin"]
    assert origin == {
        "name": "my-animals",
        "run": str(a),
        "backbone": "basics/cnn",
        "sha256": runs[0].record["sha256"],
        "data": str(photos),
        "weights": None,
        "origin": None,
    }
    assert runs[0].record["origin"] is None
    assert runs[2].record["origin"]["name"] == "my-plants"
    assert runs[2].record["origin"]["origin"] == origin
    assert runs[2].record["weights"]["tag"] == "my-plants"


@pytest.fixture
def at_step_0(tmp_path: Path) -> Callable[[], dict[str, torch.Tensor]]:
    """What ``--surgery look:look`` has seen of the network before it trained."""
    (tmp_path / "look.py").write_text(
        "from safetensors.torch import save_file\n"
        "def look(backbone):\n"
        "    if backbone.training:  # and not when the run is opened again\n"
        "        net = backbone.net.state_dict()\n"
        "        save_file({k: v.clone() for k, v in net.items()}, 'start.safetensors')\n"
    )
    return lambda: load_file(tmp_path / "start.safetensors")


def test_training_starts_from_the_published_runs_values_to_the_bit(
    photos: Path,
    plants: Path,
    train: Train,
    zoo_cli: Zoo,
    at_step_0: Callable[[], dict[str, torch.Tensor]],
) -> None:
    a = train("cnn", photos, "my-animals", "--image-size", 32)
    done = zoo_cli(
        *("finetune", "--no-report", "my-animals", "--data", plants, "--epochs", 1, "--workers", 0),
        *("--strategy", "full", "--surgery", "look:look", "--output", "b"),
    )
    assert done.code == 0, done.err
    published = load_file(a / "model.safetensors")
    start = at_step_0()
    assert start.keys() == {key for key in published if not key.startswith("head.")}
    assert all(torch.equal(start[key], published[key]) for key in start)
    assert f"my-animals ({a}/model.safetensors)" in done.err
    assert record_of(Path("b"))["weights_notes"] == []
    trained = load_file("b/model.safetensors")
    assert not all(torch.equal(start[key], trained[key]) for key in start)  # the test can fail


@pytest.mark.parametrize("name", ["cnn", "timm/test_resnet", "torchvision/squeezenet1_1"])
def test_training_starts_from_the_values_of_a_file_and_says_what_it_lacks(
    name: str,
    plants: Path,
    tmp_path: Path,
    zoo_cli: Zoo,
    at_step_0: Callable[[], dict[str, torch.Tensor]],
) -> None:
    backbone = zoo.load(name, weights="none")
    backbone.replace_head(5)
    # Kept as their library has them; squeezenet's head is a convolution there.
    state = {k: v.detach().clone() for k, v in backbone.native_state_dict().items()}
    state[f"{backbone.head_path}.more.weight"] = torch.ones(3)  # a head of another kind
    save_file(state, tmp_path / "w.safetensors")
    done = zoo_cli(
        *(
            "finetune",
            "--no-report",
            name,
            "--weights",
            "w.safetensors",
            "--data",
            plants,
            "--image-size",
            64,
        ),
        *("--epochs", 1, "--workers", 0, "--strategy", "full", "--surgery", "look:look"),
        *("--output", "run"),
    )
    assert done.code == 0, done.err
    start, known = at_step_0(), backbone.net.state_dict()
    assert start.keys() == known.keys()
    assert all(torch.equal(start[key], known[key]) for key in start)
    (note,) = record_of(Path("run"))["weights_notes"]
    assert f"{backbone.head_path}.more.weight (3,)" in note
    assert note in " ".join(done.err.split())


def test_a_model_card_and_zoo_show_say_where_a_run_comes_from(
    photos: Path, plants: Path, train: Train, zoo_cli: Zoo
) -> None:
    a = train("cnn", photos, "my-animals", "--image-size", 32)
    b = train("my-animals", plants, "my-plants", "--image-size", 32, "--head", "mlp")
    story = (
        f"my-animals (basics/cnn, trained on {photos}), which started from random initialisation"
    )
    card = (b / "README.md").read_text().replace("\\", "")
    assert f"| started from | {story} |" in card
    assert "| license of those weights | none (trained from scratch) |" in card
    assert "| started from | random initialisation |" in (a / "README.md").read_text()
    shown = zoo_cli("show", "my-plants").out
    for fact in (
        f"run           {b}",
        f"trained on    {plants}",
        "outputs       across, down",
        f"started from  {story}",
        "conv2",
        "head: Sequential, 128 -> 2",
    ):
        assert fact in shown
    document = zoo_cli("show", "my-plants", "--json").json
    assert document["origin"] == record_of(b)["origin"]
    assert (document["alias"], document["classes"]) == ("my-plants", ["across", "down"])
    assert document["params"] == sum(p.numel() for p in zoo.load("my-plants").parameters())
    assert [stage["name"] for stage in document["stages"]] == ["conv1", "conv2", "linear"]


def test_load_gives_what_the_run_has_learned(photos: Path, train: Train) -> None:
    run = zoo.open_run(train("cnn", photos, "my-animals", "--image-size", 32))
    own, new = zoo.load("my-animals"), zoo.load("my-animals", classes=5)
    fresh = zoo.load("my-animals", weights="none")
    assert own.training, "as any other backbone that is loaded"
    assert same_backbone(own, new)
    assert not same_backbone(own, fresh)
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(own.eval()(pixels), run.load()(pixels))
        assert new(pixels).shape == (2, 5)


def test_a_start_from_a_folder_records_its_origin_too(
    photos: Path, plants: Path, train: Train
) -> None:
    a = train("cnn", photos, "my-animals", "--image-size", 32)
    for name, weights in (("b", a), ("c", a / "model.safetensors")):
        run = train("cnn", plants, name, "--weights", weights, "--image-size", 32)
        origin = record_of(run)["origin"]
        assert (origin["name"], origin["run"]) == (None, str(a))
        assert origin["sha256"] == record_of(a)["sha256"]


@pytest.mark.long
def test_a_published_run_keeps_the_contract(photos: Path, train: Train, zoo_cli: Zoo) -> None:
    train("cnn", photos, "my-animals", "--image-size", 32)
    checked = zoo_cli("check", "my-animals", "--quiet")
    assert checked.code == 0, checked.out
    assert " 0 failed" in checked.out


# -- what can go wrong ---------------------------------------------------------------------------


def test_without_its_folder_a_run_is_an_error_and_what_it_started_goes_on(
    photos: Path, plants: Path, train: Train, zoo_cli: Zoo
) -> None:
    a = train("cnn", photos, "my-animals", "--image-size", 32)
    b = train("my-animals", plants, "my-plants")
    shutil.rmtree(a)
    listed = zoo_cli("list")
    assert listed.code == 0
    assert listed.out.splitlines()[1].split() == ["my-animals", "unreadable"]
    assert listed.out.splitlines()[2].startswith("my-plants ")
    message = f"Error: 'my-animals' is published as the run {a}"
    for command in (("show",), ("finetune", "--data", plants, "--output", "x"), ("check",)):
        refused = zoo_cli(command[0], "my-animals", *command[1:])
        assert (refused.code, refused.out) == (1, ""), command
        assert message in refused.err
        assert "zoo add --remove my-animals" in refused.err
    assert not Path("x").exists()
    with pytest.raises(RunError, match="my-animals"):
        zoo.load("my-animals")
    assert zoo_cli("predict", b, plants / "down", "--json").code == 0
    assert zoo_cli("evaluate", b, "--data", plants).code == 0
    assert zoo_cli("show", "my-plants").code == 0
    train("my-plants", photos, "c")
    assert zoo_cli("add", "--remove", "my-animals").code == 0
    assert "my-animals" not in zoo_cli("list").out


def test_other_weights_than_the_run_wrote_start_nothing(
    photos: Path, plants: Path, train: Train, zoo_cli: Zoo
) -> None:
    a = train("cnn", photos, "my-animals", "--image-size", 32)
    other = train("cnn", photos, "other", "--image-size", 32, "--seed", 1)
    shutil.copy(other / "model.safetensors", a / "model.safetensors")
    shown = zoo_cli("show", "my-animals")
    assert (shown.code, shown.out) == (1, "")
    assert "sha256" in shown.err
    for start in (("my-animals",), ("cnn", "--weights", a)):
        refused = zoo_cli("finetune", *start, "--data", plants, "--output", "x")
        assert (refused.code, refused.out) == (1, "")
        assert "model.safetensors is damaged: its sha256 starts with" in refused.err
        assert f"--weights {a}" in " ".join(refused.err.split())
    for classes in (None, 3):
        with pytest.raises(WeightsError, match="is damaged"):
            zoo.load("my-animals", classes=classes)
    run = train("cnn", plants, "b", "--weights", a / "model.safetensors", "--image-size", 32)
    assert record_of(run)["origin"] is None, "nobody knows where that file comes from"


# -- texts ---------------------------------------------------------------------------------------


def table(path: Path, rows: Sequence[tuple[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    words = ("wonderful", "dreadful")
    rows = [(f"a {words[n % 2]} film about number {n}", ("good", "bad")[n % 2]) for n in range(60)]
    return table(tmp_path / "reviews.csv", rows)


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """Three classes, and words that do not occur in the reviews."""
    words = ("complaint", "question", "praise")
    rows = [(f"dear sirs, {words[n % 3]} {n}", words[n % 3]) for n in range(45)]
    return table(tmp_path / "letters.csv", rows)


def test_the_tokenizer_of_an_lstm_comes_along(
    reviews: Path, letters: Path, train: Train, zoo_cli: Zoo
) -> None:
    a = train("lstm", reviews, "my-reviews")
    b = train("my-reviews", letters, "my-letters", "--strategy", "probe")
    c = train("my-letters", reviews, "c", "--strategy", "probe", "--head", "mlp")
    tokenizer = (a / "tokenizer.json").read_bytes()
    assert (b / "tokenizer.json").read_bytes() == (c / "tokenizer.json").read_bytes() == tokenizer
    loaded = [zoo.open_run(folder).load() for folder in (a, b, c)]
    assert same_backbone(loaded[0], loaded[1])
    assert same_backbone(loaded[0], loaded[2])
    for classes in (None, 4):
        backbone = zoo.load("my-reviews", classes=classes)
        assert backbone.tokenizer is not None
        assert backbone.tokenizer.to_str(pretty=True).encode() == tokenizer
        assert backbone.tokenizer.get_vocab_size() == backbone.spec.text_input.vocab_size
    assert zoo_cli("list", "my-reviews", "--json").json[0]["params"] == sum(
        p.numel() for p in zoo.load("my-reviews").parameters()
    ), "with the vocabulary of A, not with the largest there may be"
    shutil.rmtree(a)
    rows = zoo.open_run(b).predict(["dear sirs, a complaint"])
    assert set(rows[0].probabilities) == {"complaint", "question", "praise"}


def test_without_its_tokenizer_an_lstm_starts_nothing(
    reviews: Path, letters: Path, train: Train, zoo_cli: Zoo
) -> None:
    file = train("lstm", reviews, "my-reviews") / "tokenizer.json"
    file.write_text("{half a")
    refused = zoo_cli("finetune", "my-reviews", "--data", letters, "--output", "x")
    assert (refused.code, refused.out) == (1, "")
    assert f"{file} cannot be read" in refused.err
    file.unlink()
    refused = zoo_cli("finetune", "my-reviews", "--data", letters, "--output", "x")
    assert refused.code == 1
    assert "has no tokenizer.json" in refused.err


@pytest.mark.parametrize("pooling", ["pooler", "mean"])
@pytest.mark.slow
def test_a_chain_of_berts_needs_neither_the_first_nor_the_run_before(
    tiny_bert: Path, reviews: Path, letters: Path, train: Train, pooling: str
) -> None:
    transformers = pytest.importorskip("transformers")
    a = train(f"path:{tiny_bert}", reviews, "my-reviews", "--pooling", pooling)
    shutil.rmtree(tiny_bert)
    b = train("my-reviews", letters, "my-letters", "--strategy", "probe")
    assert record_of(b)["spec"]["input"]["pooling"] == pooling
    assert record_of(b)["origin"]["backbone"] == f"path:{tiny_bert}"
    runs = [zoo.open_run(folder) for folder in (a, b)]
    assert same_backbone(runs[0].load(), runs[1].load())
    tokenizer = zoo.load("my-letters", classes=2).tokenizer
    assert tokenizer is not None
    shutil.rmtree(a)
    c = train("my-letters", reviews, "c", "--head", "mlp")
    texts = ["a wonderful film", "dear sirs, praise"]
    assert {row.label for row in zoo.open_run(c).predict(texts)} <= {"good", "bad"}
    plain = transformers.AutoTokenizer.from_pretrained(c)
    assert plain(texts[0])["input_ids"] == tokenizer.encode(texts[0]).ids
    assert record_of(c)["origin"]["origin"]["name"] == "my-reviews"
