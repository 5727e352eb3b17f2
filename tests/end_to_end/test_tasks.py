"""Several labels, numbers, and pairs of texts, by the commands that a user types."""

from __future__ import annotations

import csv
import json
import random
import shlex
import subprocess
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import zoo
from tests.end_to_end.conftest import Zoo
from tests.end_to_end.test_bad_input import Refused, refused
from zoo.errors import UsageError
from zoo.system.tensors.torchvision_operators import declare_missing_operators

__all__ = ["refused"]

COLOURS = ("red", "green", "blue")
WORDS = {"sport": ("goal", "match"), "food": ("soup", "bread"), "music": ("song", "band")}
NUMBERS = ("one", "two", "three", "four")

Trained = Callable[..., tuple[Path, Any]]


@pytest.fixture
def trained(tmp_path: Path, zoo_cli: Zoo) -> Trained:
    """Fine-tune with ``--json``; gives the run folder and the document."""

    def train(*arguments: object) -> tuple[Path, Any]:
        folder = tmp_path / f"run-{len(list(tmp_path.glob('run-*')))}"
        done = zoo_cli("finetune", *arguments, "--no-report", "--output", folder, "--json")
        assert done.code == 0, done.err
        return folder, done.json

    return train


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def coloured(tmp_path: Path) -> Path:
    """Images of up to three coloured squares, with their names, how many, and the first's side."""
    draw, rows = random.Random(0), []
    for number in range(120):
        pixels = np.zeros((24, 24, 3), dtype=np.uint8)
        names = draw.sample(COLOURS, draw.randint(0, 3))
        for name in names:
            pixels[..., COLOURS.index(name)] = draw.randint(170, 250)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append((f"{number}.png", ";".join(names), 1000 + 50 * len(names), "red" in names))
    return write_csv(tmp_path / "images.csv", ("file_name", "labels", "price", "warm"), rows)


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    draw, rows = random.Random(0), []
    for _ in range(240):
        topics = draw.sample(list(WORDS), draw.randint(0, 2))
        words = ["the", "and", *(draw.choice(WORDS[topic]) for topic in topics for _ in range(3))]
        draw.shuffle(words)
        rows.append({"text": " ".join(words), "labels": topics})
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def counted(tmp_path: Path) -> Path:
    draw, rows = random.Random(0), []
    for _ in range(240):
        words = [draw.randrange(len(NUMBERS)) for _ in range(3)]
        text = " ".join(NUMBERS[word] for word in words)
        rows.append((text, 1000 + 100 * sum(words), words.count(0)))
    return write_csv(tmp_path / "numbers.csv", ("text", "price", "ones"), rows)


@pytest.fixture
def paired(tmp_path: Path) -> Path:
    """Whether the first text of two has the cat: both texts together have the same words."""
    draw, rows = random.Random(0), []
    for _ in range(240):
        animals = draw.sample(("cat", "dog"), 2)
        first, second = (f"{draw.choice(('a', 'the'))} {animal} runs" for animal in animals)
        rows.append((first, second, ("second", "first")[animals[0] == "cat"]))
    return write_csv(tmp_path / "pairs.csv", ("premise", "hypothesis", "label"), rows)


PAIR = ("--text-column", "premise", "--text-column", "hypothesis")


# -- several labels ----------------------------------------------------------------------------


def test_images_with_several_labels(trained: Trained, zoo_cli: Zoo, coloured: Path) -> None:
    run, said = trained("cnn", "--data", coloured, "--image-size", 16, "--epochs", 8)
    assert said["classes"] == ["blue", "green", "red"]
    assert list(said["metrics"]) == ["map", "accuracy", "macro_f1", "micro_f1", "loss"]
    assert said["metrics"]["map"] > 0.95
    evaluated = zoo_cli("evaluate", run, "--data", coloured, "--json").json
    assert evaluated["splits"]["val"] == pytest.approx(said["metrics"])
    assert set(evaluated["per_class"]["red"]) == {
        *("precision", "recall", "f1", "support", "average_precision")
    }
    assert "confusion" not in evaluated
    (row,) = zoo_cli("predict", run, coloured.parent / "0.png", "--json").json
    assert row["labels"] == [name for name, p in row["probabilities"].items() if p >= 0.5]


def test_texts_with_several_labels(trained: Trained, zoo_cli: Zoo, tagged: Path) -> None:
    run, said = trained("lstm", "--data", tagged, "--epochs", 12, "--lr", 0.01)
    assert said["metrics"]["macro_f1"] > 0.9
    kept = pq.read_table(run / "predictions.parquet").to_pylist()
    assert len(kept) == 48
    assert set(kept[0]) == {"input", "labels", "predicted", "probabilities"}
    exact = [set(row["labels"]) == set(row["predicted"]) for row in kept]
    assert sum(exact) / len(exact) == pytest.approx(said["metrics"]["accuracy"])
    shown = zoo_cli("evaluate", run, "--data", tagged)
    assert "average_precision" in shown.out
    assert "(48 samples" in shown.out


def test_labels_reach_a_threshold_in_every_output(
    trained: Trained, zoo_cli: Zoo, tagged: Path, tmp_path: Path
) -> None:
    run, _ = trained("lstm", "--data", tagged, "--epochs", 1)

    def labels(*thresholds: object) -> list[list[str]]:
        given = [part for threshold in thresholds for part in ("--threshold", threshold)]
        done = zoo_cli("predict", run, tagged, *given, "--json")
        return [row["labels"] for row in done.json]

    assert all(len(row) == 3 for row in labels(0))
    assert not any(labels(1))
    assert all(row == ["food"] for row in labels(1, "food=0"))
    assert all(set(row) == {"sport", "music"} for row in labels(0, "food=1"))
    fitted = json.loads((run / "calibration.json").read_text())["thresholds"]
    assert labels("f1") == labels(*(f"{name}={p}" for name, p in fitted.items()))
    assert zoo_cli("predict", run, tagged, "--threshold", 1).out.splitlines()[0].endswith("\t-")
    (row, *_) = zoo_cli("predict", run, tagged, "--top-k", 1, "--json").json
    assert len(row["probabilities"]) == 1
    for name in ("out.csv", "out.parquet"):
        out = tmp_path / name
        assert zoo_cli("predict", run, tagged, "--threshold", 0, "--output", out).code == 0
    (first, *_) = csv.DictReader((tmp_path / "out.csv").open())
    assert set(first) == {"input", "labels", *(f"p({topic})" for topic in WORDS)}
    assert sorted(first["labels"].split("|")) == sorted(WORDS)
    assert len(pq.read_table(tmp_path / "out.parquet")["labels"][0].as_py()) == 3


def test_prediction_sets_cover_and_unusual_inputs_are_rejected(
    trained: Trained, zoo_cli: Zoo, paired: Path, tmp_path: Path
) -> None:
    run, _ = trained("lstm", "--data", paired, *PAIR, "--epochs", 1)
    kept = pq.read_table(run / "predictions.parquet").to_pylist()
    rows = [(row["input_1"], row["input_2"], row["label"]) for row in kept]
    val = write_csv(tmp_path / "val.csv", ("premise", "hypothesis", "label"), rows)
    asked = ("--coverage", 0.75, "--reject", 0.25)
    found = zoo_cli("predict", run, val, *asked, "--json").json
    sets = [row["prediction_set"] for row in found]
    inside = [true in each for (*_, true), each in zip(rows, sets, strict=True)]
    names = zoo.open_run(run).classes  # the scores are those before the temperature
    true_scores = [row["probabilities"][names.index(row["label"])] for row in kept]
    least = sorted(true_scores, reverse=True)[36]  # rank ceil(49 * 0.75) = 37 of 48
    assert inside == [p >= least - 1e-5 for p in true_scores]
    assert sets == [
        [name for name, p in row["probabilities"].items() if name in row["prediction_set"]]
        for row in found
    ]
    rejected = [row["rejected"] for row in found]
    assert 0 < sum(rejected) <= 11  # beyond the same rank, where texts that are equal tie
    assert [row["ood"] > 0.75 for row in found] == rejected
    lines = zoo_cli("predict", run, val, *asked).out.splitlines()
    assert [line.endswith("\trejected") for line in lines] == rejected
    assert zoo_cli("predict", run, val, *asked, "--output", tmp_path / "out.csv").code == 0
    table = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert [row["prediction_set"] for row in table] == ["|".join(each) for each in sets]
    assert [row["rejected"] for row in table] == [str(each) for each in rejected]


@pytest.mark.parametrize(
    "task", ["multi-label", pytest.param("regression", marks=pytest.mark.slow)]
)
def test_the_head_alone_is_solved_for(
    task: str, trained: Trained, coloured: Path, zoo_cli: Zoo
) -> None:
    columns = ("--label-column", "labels" if task == "multi-label" else "price")
    run, said = trained(
        *("resnet18", "--weights", "none", "--data", coloured, "--image-size", 16),
        *("--task", task, *columns, "--strategy", "probe", "--head-solver", "lbfgs"),
    )
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["train_loss"] for line in lines]
    assert losses[-1] < 0.5 * losses[0]
    assert min(after for _, after in pairwise(losses)) > 0
    metric = "map" if task == "multi-label" else "r2"
    assert said["metrics"][metric] > 0.8


# -- numbers -----------------------------------------------------------------------------------


def test_numbers_of_images(trained: Trained, zoo_cli: Zoo, coloured: Path) -> None:
    run, said = trained(
        *("cnn", "--data", coloured, "--task", "regression", "--label-column", "price"),
        *("--image-size", 16, "--epochs", 8),
    )
    assert (said["task"], said["classes"]) == ("regression", ["price"])
    assert list(said["metrics"]) == ["mae", "rmse", "r2", "loss"]
    assert said["metrics"]["r2"] > 0.7
    rows = zoo_cli("predict", run, coloured, "--json").json
    truth = [float(row["price"]) for row in csv.DictReader(coloured.open())]
    errors = [row["values"]["price"] - wanted for row, wanted in zip(rows, truth, strict=True)]
    assert np.abs(errors).mean() < 30, "in the user's units, where the mean is 1,075"


def test_several_numbers_of_texts(
    trained: Trained, zoo_cli: Zoo, counted: Path, tmp_path: Path
) -> None:
    run, said = trained(
        *("lstm", "--data", counted, "--task", "regression", "--epochs", 15, "--lr", 0.01),
        *("--label-column", "price", "--label-column", "ones"),
    )
    assert said["metrics"]["r2"] > 0.8
    evaluated = zoo_cli("evaluate", run, "--data", counted, "--json").json
    assert evaluated["metrics"] == pytest.approx(said["metrics"])
    assert list(evaluated["per_class"]) == ["price", "ones"]
    assert set(evaluated["per_class"]["ones"]) == {"mae", "rmse", "r2"}
    kept = pq.read_table(run / "predictions.parquet").to_pylist()
    errors = np.array([np.subtract(row["values"], row["predicted"]) for row in kept])
    assert (errors**2).mean(axis=0) ** 0.5 == pytest.approx(
        [row["rmse"] for row in evaluated["per_class"].values()]
    )
    out = tmp_path / "out.csv"
    assert zoo_cli("predict", run, counted, "--output", out).code == 0
    (first, *_) = csv.DictReader(out.open())
    assert set(first) == {"input", "predicted(price)", "predicted(ones)"}
    widest = np.sort(np.abs(errors), axis=0)[int(np.ceil((len(errors) + 1) * 0.8)) - 1]
    asked = (run, counted, "--coverage", 0.8)
    (row, *_) = zoo_cli("predict", *asked, "--json").json
    for name, half in zip(("price", "ones"), widest, strict=True):
        ends = [row["values"][name] - half, row["values"][name] + half]
        assert row["intervals"][name] == pytest.approx(ends, rel=1e-5)
    assert zoo_cli("predict", *asked, "--output", out).code == 0
    (first, *_) = csv.DictReader(out.open())
    assert float(first["low(ones)"]) == pytest.approx(row["intervals"]["ones"][0])
    assert float(first["high(price)"]) == pytest.approx(row["intervals"]["price"][1])
    assert " [" in zoo_cli("predict", *asked).out.splitlines()[0]
    shown = zoo_cli("predict", run, counted).out.splitlines()[0]
    assert shown.split("\t")[1].startswith("price 1")
    card = (run / "README.md").read_text()
    assert "R² (validation)" in card
    task = json.loads((run / "run.json").read_text())["task"]
    assert f"price = {task['mean'][0]:.9g} + {task['std'][0]:.9g} × output" in card


def test_a_run_on_numbers_of_pairs_is_repeated_from_its_record(
    trained: Trained, zoo_cli: Zoo, paired: Path, tmp_path: Path
) -> None:
    rows = list(csv.DictReader(paired.open()))
    numbered = [(r["premise"], r["hypothesis"], i % 7, -i) for i, r in enumerate(rows)]
    data = write_csv(tmp_path / "n.csv", ("premise", "hypothesis", "x", "y"), numbered)
    columns = ("--label-column", "x", "--label-column", "y")
    run, _ = trained("lstm", "--data", data, "--task", "regression", *columns, *PAIR, "--epochs", 1)
    done = zoo_cli("rerun", run, "--output", tmp_path / "again", "--json")
    assert done.code == 0, done.err
    records = [
        json.loads((folder / "run.json").read_text()) for folder in (run, tmp_path / "again")
    ]
    assert records[0]["sha256"] == records[1]["sha256"]
    assert records[0]["data"] == records[1]["data"]


# -- pairs -------------------------------------------------------------------------------------


def test_pairs_of_texts(
    trained: Trained, zoo_cli: Zoo, paired: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run, said = trained("lstm", "--data", paired, *PAIR, "--epochs", 10, "--lr", 0.01)
    assert said["metrics"]["accuracy"] > 0.9, "the order of the texts tells"
    evaluated = zoo_cli("evaluate", run, "--data", paired, "--json").json
    assert evaluated["metrics"] == said["metrics"]
    rows = zoo_cli("predict", run, paired, "--json").json
    assert rows[0]["input"] == pq_pair(paired, 0)
    texts = tmp_path / "texts"
    texts.write_text("a cat runs\ta dog runs\n\na dog runs\ta cat runs\n")
    with texts.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        said_of = zoo_cli("predict", run, "-", "--json").json
    assert [row["label"] for row in said_of[::2]] == ["first", "second"]
    assert said_of[1]["input"] == ["", ""]
    in_python = zoo.open_run(run).predict([("a cat runs", "a dog runs")])
    assert in_python[0].to_json()["input"] == said_of[0]["input"]
    assert in_python[0].probabilities == pytest.approx(said_of[0]["probabilities"], abs=1e-5)  # type: ignore[union-attr]
    out = tmp_path / "out.csv"
    assert zoo_cli("predict", run, paired, "--output", out).code == 0
    (first, *_) = csv.DictReader(out.open())
    assert [first["input_1"], first["input_2"]] == pq_pair(paired, 0)
    kept = pq.read_table(run / "predictions.parquet")
    assert {"input_1", "input_2", "label", "predicted"} <= set(kept.column_names)


def pq_pair(table: Path, row: int) -> list[str]:
    found = list(csv.DictReader(table.open()))[row]
    return [found["premise"], found["hypothesis"]]


def test_the_next_command_of_a_run_on_pairs_can_be_typed(trained: Trained, paired: Path) -> None:
    run, _ = trained("lstm", "--data", paired, *PAIR, "--epochs", 1)
    command = zoo.open_run(run).next_command()
    assert command.startswith("printf '%s\\t%s\\n' ")
    given, _, predict = command.partition(" | ")
    made = subprocess.run(["bash", "-c", given], capture_output=True, text=True, check=True)
    example = json.loads((run / "run.json").read_text())["example"]
    assert made.stdout == "\t".join(example) + "\n"
    assert shlex.split(predict) == ["zoo", "predict", str(run), "-"]


@pytest.fixture
def tiny_bert(tmp_path: Path) -> Path:
    """A random BERT of two layers with a tokenizer of its own, as ``save_pretrained`` writes it."""
    declare_missing_operators()  # Transformers imports torchvision
    from transformers import BertConfig, BertModel, BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *["a", "the", "cat", "dog", "runs"]]
    folder = tmp_path / "tiny-bert"
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)
    BertTokenizer({word: i for i, word in enumerate(words)}).save_pretrained(folder)
    return folder


def test_bert_gets_the_token_types_of_a_pair(
    trained: Trained, zoo_cli: Zoo, paired: Path, tiny_bert: Path
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    run, said = trained(
        *(f"path:{tiny_bert}", "--data", paired, *PAIR, "--strategy", "full", "--epochs", 8),
        *("--pooling", "pooler", "--lr", 0.003, "--precision", "fp32"),
    )
    assert said["metrics"]["accuracy"] > 0.9
    rows = zoo_cli("predict", run, paired, "--json").json[:8]
    model = AutoModelForSequenceClassification.from_pretrained(run).eval()
    tokenizer = AutoTokenizer.from_pretrained(run)
    firsts, seconds = ([row["input"][place] for row in rows] for place in (0, 1))
    batch = tokenizer(firsts, seconds, padding=True, return_tensors="pt")
    assert batch["token_type_ids"].any()
    warmth = zoo.open_run(run).temperature
    with torch.no_grad():
        plain = (model(**batch).logits / warmth).softmax(dim=1)
        batch["token_type_ids"] = torch.zeros_like(batch["token_type_ids"])
        untold = (model(**batch).logits / warmth).softmax(dim=1)
    ours = torch.tensor([[row["probabilities"][c] for c in said["classes"]] for row in rows])
    assert (ours - plain).abs().max() < 1e-5
    assert (ours - untold).abs().max() > 4e-5


# -- what cannot be ----------------------------------------------------------------------------


def test_options_that_do_not_fit_the_task(
    refused: Refused, trained: Trained, counted: Path, tagged: Path
) -> None:
    numbers = ("--task", "regression", "--label-column", "price")
    refused(
        *("finetune", "lstm", "--data", counted, *numbers, "--focal", 2),
        says=("--focal 2 is not supported", "'squared-error'", "Remove --focal"),
    )
    refused(
        *("finetune", "lstm", "--data", counted, *numbers, "--balanced"),
        says=("--balanced needs classes", "--balanced"),
    )
    refused("finetune", "cnn", "--task", "regression", says=("demo data", "--data PATH"))
    run, _ = trained("lstm", "--data", counted, *numbers, "--epochs", 1)
    refused("predict", run, counted, "--top-k", 2, says=("--top-k",))
    refused("predict", run, counted, "--threshold", 0.5, says=("is regression", "--threshold"))
    refused(
        "predict", run, counted, "--coverage", 0.99, says=("more held-out samples", "--val-split")
    )
    (run / "calibration.json").unlink()
    refused("predict", run, counted, "--coverage", 0.9, says=("calibration.json", "at least 20"))
    refused("evaluate", run, "--data", tagged, says=("no column 'price'",))
    run, _ = trained("lstm", "--data", tagged, "--epochs", 1)
    refused(
        "predict", run, tagged, "--threshold", 1.5, says=("--threshold must be in [0, 1], got 1.5",)
    )
    for options, says in (
        (("--threshold", "fod=0.5"), ("no class 'fod'", "food")),
        (("--threshold", "food=high"), ("must be a probability, 'f1', or cost:R", "got 'high'")),
        (("--threshold", "food=cost:0"), ("R above 0, got 'cost:0'",)),
        (("--threshold", 0.2, "--threshold", 0.3), ("is a second one for all classes",)),
        (("--coverage", 1.2), ("--coverage must be between 0 and 1, got 1.2",)),
        (("--coverage", "nan"), ("--coverage must be between 0 and 1, got nan",)),
        (("--coverage", 0.9), ("multi-label", "Leave --coverage out")),
        (("--reject", 0), ("--reject must be between 0 and 1, got 0",)),
        (("--reject", 0.001), ("more held-out samples than the 48", "--val-split")),
    ):
        refused("predict", run, tagged, *options, says=says)
    with pytest.raises(UsageError, match="got 'best'"):
        zoo.open_run(run).predict(["a text"], threshold="best")
    with pytest.raises(UsageError, match=r"threshold must be .* got nan"):
        zoo.open_run(run).predict(["a text"], threshold=float("nan"))


def test_numbers_taken_for_classes_suggest_regression(refused: Refused, counted: Path) -> None:
    rows = [(f"text {i}", i * 1.5) for i in range(40)]
    write_csv(counted, ("text", "label"), rows)
    refused("finetune", "lstm", "--data", counted, says=("40 distinct values", "--task regression"))


def test_numbers_that_are_none_are_named_by_row(refused: Refused, counted: Path) -> None:
    rows = [*[(f"text {i}", i) for i in range(9)], ("text", "many"), ("text", "inf")]
    write_csv(counted, ("text", "label"), rows)
    refused(
        *("finetune", "lstm", "--data", counted, "--task", "regression"),
        says=("row 10: 'many'", "row 11: 'inf'", "not finite"),
    )


def test_what_is_not_a_pair_on_standard_input(
    refused: Refused,
    trained: Trained,
    paired: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, _ = trained("lstm", "--data", paired, *PAIR, "--epochs", 1)
    (tmp_path / "texts").write_text("a cat\ta dog\nonly one text\n")
    with (tmp_path / "texts").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        refused("predict", run, "-", says=("line 2", "'only one text'", "tab"))
    refused("predict", run, "a text", says=("takes text pairs, but input 1 is not",))


def test_pairs_cannot_begin_with_a_tokenizer_of_single_texts(
    refused: Refused, trained: Trained, tagged: Path, paired: Path
) -> None:
    run, _ = trained("lstm", "--data", tagged, "--epochs", 1)
    refused(
        *("finetune", "lstm", "--data", paired, *PAIR, "--weights", run),
        says=("no separator between the two texts", "--weights none"),
    )


def test_an_unknown_task_is_refused_with_those_there_are(refused: Refused) -> None:
    refused("finetune", "cnn", "--task", "ranking", says=("'ranking'", "regression"))
