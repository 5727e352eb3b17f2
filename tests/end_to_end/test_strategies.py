"""Every strategy on every kind of network: it trains what it says, and the run opens again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

import zoo
from tests.end_to_end.conftest import Zoo
from zoo.engine.progress import Quiet
from zoo.engine.strategies import STRATEGIES, STRENGTHS

IMAGES = {
    "resnet18": 32,
    "vgg16_bn": 32,
    "timm/vit_tiny_patch16_224": 32,
    "timm/convnext_atto": 32,
    "timm/efficientnet_lite0": 32,
}
NOT_FOR_AN_LSTM = ("dora", "ia3")
"""Strategies with no layer to adapt in an LSTM."""


def _in_ci(name: str, strategy: str) -> bool:
    if name == "resnet18":
        return strategy in ("two-stage", "lora", "norm")
    return strategy == "lora" and name != "vgg16_bn"


def _cases() -> list[Any]:
    """Every network with every strategy; CI has minutes for some on one network, and LoRA on others.

    What LoRA adapts depends on the network; the other strategies go by its stages, which the
    contract's checks freeze one after the other.
    """
    return [
        pytest.param(name, strategy, marks=() if _in_ci(name, strategy) else pytest.mark.long)
        for name in IMAGES
        for strategy in STRATEGIES
    ]


@pytest.mark.slow(1)
@pytest.mark.parametrize(("name", "strategy"), _cases())
def test_every_strategy_runs_on_networks_for_images(
    few: Path, tmp_path: Path, name: str, strategy: str
) -> None:
    run = zoo.finetune(
        name,
        few,
        weights="none",
        strategy=strategy,
        epochs=1,
        batch_size=4,
        image_size=IMAGES[name],
        workers=0,
        output=tmp_path / "run",
        reporter=Quiet(),
        report=False,
    )
    again = run.evaluate(few, split="val", workers=0)["val"]
    assert again.metrics == run.metrics


def test_an_lstm_has_no_layers_for_some_adapters(tmp_path: Path) -> None:
    for strategy in NOT_FOR_AN_LSTM:
        with pytest.raises(zoo.UsageError, match="basics/lstm"):
            zoo.finetune(
                "lstm", classes=2, strategy=strategy, output=tmp_path / "run", report=False
            )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_runs_on_the_small_networks(
    few: Path, tmp_path: Path, strategy: str
) -> None:
    small = {"cnn": few, "lstm": write_texts(tmp_path / "texts.csv")}
    if strategy in NOT_FOR_AN_LSTM:
        del small["lstm"]
    for name, data in small.items():
        run = zoo.finetune(
            name, data, strategy=strategy, epochs=1, batch_size=8, workers=0,
            output=tmp_path / name, reporter=Quiet(), report=False,
        )  # fmt: skip
        assert np.isfinite(run.metrics["loss"])
        assert zoo.open_run(run.folder).metrics == run.metrics


KINDS_OF_TEXT = {
    "bert": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2},
}


def _text_cases() -> Iterator[Any]:
    for kind in KINDS_OF_TEXT:
        for strategy in STRATEGIES:
            daily = kind == "bert" and strategy in ("two-stage", "gradual", "lora")
            in_ci = kind == "bert" or strategy == "lora"
            mark = pytest.mark.slow if in_ci else pytest.mark.long
            yield pytest.param(kind, strategy, marks=() if daily else mark)


@pytest.mark.parametrize(("kind", "strategy"), list(_text_cases()))
def test_every_strategy_runs_on_networks_for_texts(
    tmp_path: Path, kind: str, strategy: str
) -> None:
    texts = write_texts(tmp_path / "texts.csv")
    run = zoo.finetune(
        f"path:{pretrained(tmp_path / 'pretrained', kind, KINDS_OF_TEXT[kind])}",
        texts,
        strategy=strategy,
        epochs=1,
        batch_size=8,
        workers=0,
        output=tmp_path / "run",
        reporter=Quiet(),
        report=False,
    )
    again = zoo.open_run(run.folder).evaluate(texts, split="val", workers=0)["val"]
    assert again.metrics == run.metrics


def write_texts(path: Path) -> Path:
    rows = [f"w{n % 7} w{n % 5} {'good' if n % 2 else 'bad'},{n % 2}" for n in range(40)]
    path.write_text("\n".join(["text,label", *rows]))
    return path


def pretrained(folder: Path, kind: str, sizes: dict[str, int]) -> Path:
    """A folder of save_pretrained with a small network and a tokenizer of whole words."""
    import tokenizers
    import transformers

    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "good", "bad", *(f"w{n}" for n in range(7))]
    ids = {word: number for number, word in enumerate(words)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(folder)
    config = transformers.AutoConfig.for_model(
        kind, vocab_size=len(words), max_position_embeddings=16, pad_token_id=0, **sizes
    )
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    return folder


def start_and_end(strategy: str, tmp_path: Path, few: Path, **options: object) -> dict[str, bool]:
    """For each tensor of ``cnn``, whether a strategy has changed it."""
    before = zoo.finetune(
        "cnn", few, strategy="probe", epochs=1, workers=0, image_size=32,
        output=tmp_path / "start", reporter=Quiet(), report=False,
    )  # fmt: skip
    after = zoo.finetune(
        "cnn", few, strategy=strategy, weights=str(before.folder), epochs=2, lr=1e-2, workers=0,
        batch_size=4, image_size=32, output=tmp_path / "end", reporter=Quiet(), report=False, **options,
    )  # fmt: skip
    one, other = (
        zoo.load("cnn", weights=str(run.folder)).native_state_dict() for run in (before, after)
    )
    assert one.keys() == other.keys()
    return {name: not torch.equal(one[name], other[name]) for name in one if "num_b" not in name}


@pytest.mark.parametrize(
    ("strategy", "options", "changed"),
    [
        ("probe", {}, {"head"}),
        ("bias", {}, {"conv1.1.bias", "conv2.1.bias", "linear.1.bias", "head", "running"}),
        (
            "norm",
            {},
            {"conv1.1.weight", "conv1.1.bias", "conv2.1.weight", "conv2.1.bias", "head", "running"},
        ),
        ("lora", {}, {"conv1.0", "conv2.0", "linear.1.weight", "head"}),
        ("lora", {"freeze_until": "conv2"}, {"linear.1.weight", "head"}),
        ("full", {"freeze_until": "conv2"}, {"linear.1", "head"}),
        ("full", {"freeze": ["linear", "conv1"]}, {"conv2", "head"}),
        ("full", {"freeze_until": "linear", "unfreeze": ["conv2.0"]}, {"conv2.0", "head"}),
    ],
)
def test_a_strategy_changes_what_it_says_and_nothing_else(
    strategy: str, options: dict[str, object], changed: set[str], tmp_path: Path, few: Path
) -> None:
    for name, differs in start_and_end(strategy, tmp_path, few, **options).items():
        meant = any(name.startswith(c) or (c == "running" and c in name) for c in changed)
        assert differs == meant, name


def test_gradual_unfreezes_from_the_head_down_and_keeps_the_optimisers_state() -> None:
    from zoo.engine.recipe import Recipe
    from zoo.engine.trainable import choose_trained

    backbone = zoo.load("cnn", classes=2)
    recipe = Recipe.default("image", pretrained=False, strategy="gradual")
    phase = list(STRATEGIES["gradual"](recipe, ()))[-1]
    seen = []
    for done in (0.0, 0.24, 0.25, 0.49, 0.5, 1.0):
        choose_trained(backbone, phase, recipe, done=done)
        stages = [
            stage.name
            for stage in backbone.stages()
            if all(p.requires_grad for p in backbone.stage_parameters(stage.name).values())
        ]
        seen.append(len(stages))
        assert stages == [s.name for s in backbone.stages()][-len(stages) :]
    assert seen == [1, 1, 2, 2, 3, 3]


def test_the_head_by_lbfgs_is_as_good_as_scikit_learns(tmp_path: Path) -> None:
    run = zoo.finetune(
        "cnn",
        classes=3,
        strategy="probe",
        head_solver="lbfgs",
        workers=0,
        output=tmp_path / "run",
        reporter=Quiet(),
        report=False,
    )
    epochs = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    losses = [epoch["train_loss"] for epoch in epochs]
    assert len(epochs) == len(STRENGTHS)
    assert losses == sorted(losses, reverse=True)  # the weaker the regularisation, the smaller
    adam = zoo.finetune(
        "cnn", classes=3, strategy="probe", head_solver="adamw",
        workers=0, output=tmp_path / "a", reporter=Quiet(), report=False,
    )  # fmt: skip
    assert run.metrics["accuracy"] >= adam.metrics["accuracy"]


def test_two_stage_goes_on_from_the_best_solution(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for number in range(40):  # nothing can be learned, so that the weakest regularisation is worst
        for name in ("heads", "tails"):
            (tmp_path / "noise" / name).mkdir(parents=True, exist_ok=True)
            noise = Image.fromarray(generator.integers(0, 255, (32, 32, 3), dtype=np.uint8))
            noise.save(tmp_path / "noise" / name / f"{number}.png")
    run = zoo.finetune(
        "cnn", tmp_path / "noise", weights="none", strategy="two-stage", epochs=1, lr=1e-12,
        image_size=32, workers=0, output=tmp_path / "run", reporter=Quiet(), report=False,
    )  # fmt: skip
    *solved, full = [
        json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()
    ]
    best = [epoch for epoch in solved if epoch["best"]][-1]
    assert best is not solved[-1]
    assert full["loss"] == pytest.approx(best["loss"], rel=1e-2)  # BatchNorm's statistics move
    assert full["loss"] < solved[-1]["loss"]


@pytest.mark.parametrize("strategy", ["two-stage", "gradual"])
def test_what_unfreezes_later_does_not_change_an_earlier_best(
    few: Path, tmp_path: Path, strategy: str
) -> None:
    misleading = tmp_path / "misleading"  # the more is learned, the worse it gets
    shutil.copytree(few / "train", misleading / "train")
    for name, other in (("red", "green"), ("green", "red")):
        shutil.copytree(few / "val" / name, misleading / "val" / other)

    def trained(strategy: str) -> zoo.Run:
        return zoo.finetune(
            "cnn", misleading, weights="none", strategy=strategy, head_solver="lbfgs",
            image_size=32, workers=0, output=tmp_path / strategy, reporter=Quiet(), report=False,
        )  # fmt: skip

    probe, both = trained("probe"), trained(strategy)
    assert both.record["results"]["best_epoch"] == probe.record["results"]["best_epoch"]
    files = [safetensors.torch.load_file(run.folder / "model.safetensors") for run in (probe, both)]
    assert all(torch.equal(files[1][name], tensor) for name, tensor in files[0].items())


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
def test_a_head_sees_some_views_of_each_image(tmp_path: Path, few: Path, solver: str) -> None:
    def probed(views: int, name: str) -> tuple[zoo.Run, list[float]]:
        run = zoo.finetune(
            "cnn", few, weights="none", strategy="probe", head_solver=solver, cached_views=views,
            image_size=32, workers=0, output=tmp_path / name, reporter=Quiet(), report=False,
        )  # fmt: skip
        lines = (run.folder / "metrics.jsonl").read_text().splitlines()
        return run, [json.loads(line)["train_loss"] for line in lines]

    plain, three = probed(0, "plain"), probed(3, "three")
    assert probed(3, "again")[1] == three[1]  # the views are seeded
    assert three[1] != plain[1]
    if solver == "lbfgs":
        assert probed(1, "one")[1][0] != three[1][0]  # all views count at once
    again = three[0].evaluate(few, split="val", workers=0)["val"]
    assert again.metrics == three[0].metrics


def test_the_record_says_what_chose_the_epoch_and_which_settings_each_phase_used(
    few: Path, tmp_path: Path
) -> None:
    run = zoo.finetune(
        "cnn", few, weights="none", strategy="two-stage", epochs=1, class_weights=True, ema=0.9,
        image_size=32, workers=0, output=tmp_path / "run", reporter=Quiet(), report=False,
    )  # fmt: skip
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    best = lines[run.record["results"]["best_epoch"] - 1]
    assert run.task.metric == run.record["recipe"]["metric"] == "balanced_accuracy"
    assert best["balanced_accuracy"] == max(line["balanced_accuracy"] for line in lines)
    assert [line.get("strength") for line in lines] == [*STRENGTHS, None]
    assert ["lr" in line for line in lines] == [False] * len(STRENGTHS) + [True]
    probe, full = run.record["phases"]
    assert probe["solver"] == "lbfgs"
    assert full["settings"]["ema"] == 0.9
    assert not {"ema", "batch_size", "weight_decay"} & probe["settings"].keys()
    assert probe["settings"]["class_weights"] is full["settings"]["class_weights"] is True


def test_a_probe_in_steps_says_that_it_is_not_solved_for_and_why(
    few: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    asked = ("finetune", "cnn", "--data", few, "--image-size", 32, "--strategy", "probe")
    told = zoo_cli(*asked, "--epochs", 1, "--workers", 0, "--output", tmp_path / "run").err
    assert "AdamW, because of --epochs" in told
    assert zoo_cli(*asked, "--ema", 0.9).code == 1
