"""Every training option under every strategy, for images and texts: it has an effect or is refused.

The options are those of the table: a new one is swept too, once it has another value below.
"""

from __future__ import annotations

import gc
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.engine.progress import Quiet
from zoo.engine.recipe import Recipe
from zoo.engine.strategies import STRATEGIES
from zoo.errors import UsageError
from zoo.registry.registry import Registry
from zoo.runs.request import OPTIONS as TABLE

NOT_ABOUT_TRAINING = {
    *("data", "classes", "text_column", "label_column", "task", "val_split", "test_split"),
    *("bad_files", "quoting", "dedupe", "value_range"),  # which samples there are: the data's tests
    *("group_column", "group_pattern", "group_table"),  # test_data_groups.py
    "corrections",  # test_data_corrections.py
    "folds",  # test_folds.py
    "input",  # of a plugin's kind of data: test_audio.py
    *(
        "strategy",
        "preset",  # other defaults: test_presets.py
        "keep_head",  # of a run that training starts from: test_kept_rows.py
        "time_limit",  # test_time_limits.py
        "merge",  # what is saved: test_adapter_runs.py
        "device",
        "workers",
        "cache_images",
        "compile",
        "precision",
        "activation_checkpointing",
    ),  # how fast: little may change
}
OTHER: Mapping[str, Any] = {
    "head": "mlp",
    "weights": "none",
    "freeze_until": {"image": "conv1", "text": "embedding"},
    "freeze": {"image": ["conv2"], "text": ["embedding"]},
    "unfreeze": {"image": ["conv1"], "text": ["embedding"]},
    "lora_rank": 2,
    "lora_alpha": 64,
    "lora_dropout": 0.5,
    "epochs": 2,
    "lr": 0.02,
    "layer_decay": 0.3,
    "head_solver": "adamw",
    "cached_views": 2,
    "batch_size": 5,
    "accumulate": 2,
    "batch_norm": "batch",
    "schedule": "one-cycle",
    "optimizer": "sgd",
    "warmup": 0.6,
    "max_grad_norm": 0.001,
    "patience": 1,
    "weight_decay": 0.5,
    "dropout": 0.5,
    "label_smoothing": 0.3,
    "mixup": 1.0,
    "cutmix": 1.0,
    "augment": "trivial",
    "l2sp": 1.0,
    "ema": 0.9,
    "class_weights": True,
    "balanced": True,
    "focal": 2.0,
    "image_size": 20,
    "channels": 1,
    "flip": False,
    "random_crop": False,
    "resize": "pad",
    "max_length": 3,
    "pooling": "last",
    "metric": "loss",
    "loss": "generalized-cross-entropy",
    "private": 4.0,
    "private_delta": 0.01,
    "seed": 7,
    "augment_on": "device",
}
"""A value of each option that is not the default, by modality where it names layers."""

WITH: Mapping[str, Mapping[str, Any]] = {
    "patience": {"epochs": 9, "lr": 0.05},  # some epochs without a better one
    "private_delta": {"private": 4.0},
    "unfreeze": {"freeze_until": {"image": "conv2", "text": "embedding"}},
}
"""What an option needs beside it to have something to do."""

OPTIONS = [name for name in TABLE if name not in NOT_ABOUT_TRAINING]
CASES: dict[str, dict[str, Any]] = {
    **{name: {"strategy": name} for name in STRATEGIES},
    "probe in steps": {"strategy": "probe", "head_solver": "adamw"},
}
IN_CI = {"full"}
"""The others train its phases, or a choice of parameters: './check --long' sweeps them."""


@dataclass(frozen=True)
class Trained:
    """What a run has left: its record, its epochs, its weights' hash."""

    record: dict[str, Any]
    epochs: list[dict[str, Any]]
    weights: str


@dataclass
class World:
    """Small noisy data of one modality, weights to start from, and a place for runs."""

    modality: str
    data: Path
    start: Path
    folder: Path
    registry: Registry
    count: int = 0

    def train(self, **options: Any) -> Trained:
        """Fine-tune a small network."""
        self.count += 1
        usual: dict[str, Any] = {"weights": str(self.start), "precision": "fp32", "compile": "off"}
        usual |= {"val_split": 0.4, "output": self.folder / str(self.count)}
        if self.modality == "image":
            usual |= {"workers": 0, "cache_images": True, "image_size": 16}
        if options.get("strategy") != "probe":
            usual |= {"epochs": 3, "batch_size": 8}
        run = zoo.finetune(
            "cnn" if self.modality == "image" else "lstm",
            self.data,
            **usual | options,
            registry=self.registry,
            reporter=Quiet(),
            report=False,
        )
        record = json.loads((run.folder / "run.json").read_text())
        lines = (run.folder / "metrics.jsonl").read_text().splitlines()
        epochs = [json.loads(line) for line in lines]
        return Trained(record, epochs, record["sha256"])


@pytest.fixture(scope="module", params=["image", "text"])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    root = tmp_path_factory.mktemp(request.param)
    data = _images(root / "data") if request.param == "image" else _texts(root / "data.csv")
    made = World(request.param, data, root / "start", root, Registry.discover())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "collect", lambda *_: 0)  # half of the time of so small a run
        made.train(strategy="full", epochs=1, weights="none", output=made.start)
        yield made


def _images(root: Path) -> Path:
    """Twice as many wide images of one class as of the other, and little to tell them by."""
    drawn = np.random.default_rng(0)
    for name, count, light in (("common", 16, 0), ("rare", 8, 12)):
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = drawn.integers(0, 200, (20, 28, 3), dtype=np.uint8) + np.uint8(light)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def _texts(path: Path) -> Path:
    """Twice as many texts of one class as of the other, of unequal length."""
    drawn = random.Random(0)
    rows = []
    for number in range(24):
        words = [f"w{drawn.randrange(12)}" for _ in range(drawn.randrange(4, 9))]
        if drawn.random() < 0.3:
            words.append("seldom" if number % 3 == 0 else "often")
        rows.append(f"{' '.join(words)},{'rare' if number % 3 == 0 else 'common'}")
    path.write_text("\n".join(["text,label", *rows]))
    return path


def of(modality: str, value: Any) -> Any:
    """A value, or that for the modality."""
    return value[modality] if isinstance(value, dict) else value


def test_every_hyperparameter_and_option_of_training_has_a_value_to_be_swept_with() -> None:
    assert {*OTHER} == {*OPTIONS}, "give it a value in OTHER, or name it in NOT_ABOUT_TRAINING"
    hyperparameters = set(Recipe.__dataclass_fields__)
    derived = {"probe_epochs", "probe_lr", "probe_batch_size", "fit_memory", "base_width"}
    assert hyperparameters - derived <= {*OPTIONS, *NOT_ABOUT_TRAINING}


@pytest.mark.slow(1)
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=() if case in IN_CI else pytest.mark.long) for case in CASES]
)
def test_an_option_changes_what_is_learned_or_is_refused_by_its_name(
    world: World, case: str
) -> None:
    plain, faults = world.train(**CASES[case]), []
    for option in OPTIONS:
        if option in CASES[case]:
            continue
        beside = {k: of(world.modality, v) for k, v in WITH.get(option, {}).items()}
        value = of(world.modality, OTHER[option])
        try:
            usual = world.train(**CASES[case] | beside) if beside else plain
            changed = world.train(**CASES[case] | beside | {option: value})
        except UsageError as error:
            named = {option, *beside} if option in WITH else {option}
            if not any(_names(error, name) for name in named):
                faults.append(f"{option}: refused as {error.message}")
            continue
        faults += [f"{option}: {fault}" for fault in _faults(option, usual, changed)]
    assert not faults, "\n".join(faults)


def _names(error: UsageError, option: str) -> bool:
    return bool(re.search(rf"\b{option}\b", str(error)))


def _faults(option: str, usual: Trained, changed: Trained) -> Iterator[str]:
    """What is wrong where a run with an option is set beside one without it."""
    if option == "metric":
        best = min(changed.epochs, key=lambda row: row["loss"])
        if best["epoch"] != changed.record["results"]["best_epoch"]:
            yield f"epoch {best['epoch']} has the least loss, and another is kept"
        return
    if usual.weights == changed.weights and _course(usual.epochs) == _course(changed.epochs):
        yield "no effect"
    name, first = option, changed.record["phases"][0]
    if name not in Recipe.__dataclass_fields__ or name in ("epochs", "lr", "patience"):
        return
    # The settings that the record has for the first phase are those that change it. Later phases
    # start from there, and would differ either way.
    before, after = (
        _course([row for row in trained.epochs if row["phase"] == first["name"]])
        for trained in (usual, changed)
    )
    if (_computing(usual) != _computing(changed)) != (before != after):
        what = "changes nothing" if before == after else "changes it"
        yield f"{what} in {first['name']}, and the record has {first['settings'].get(name)}"


def _computing(trained: Trained) -> dict[str, Any]:
    """The settings of the first phase but for the metric, which chooses among its epochs."""
    settings: dict[str, Any] = trained.record["phases"][0]["settings"]
    return {name: value for name, value in settings.items() if name != "metric"}


def _course(epochs: Sequence[Mapping[str, Any]]) -> list[tuple[float, ...]]:
    return [(row.get("train_loss", 0.0), row["loss"], row["accuracy"]) for row in epochs]
