"""Presets: other defaults, which the user's options replace, and only for what takes them."""

from __future__ import annotations

from pathlib import Path

import pytest

import zoo
from zoo.engine.presets import PRESETS
from zoo.engine.recipe import Recipe
from zoo.errors import UsageError
from zoo.runs.request import Request


class Lines:
    """Keeps the header of a fine-tune."""

    def __init__(self) -> None:
        self.facts: dict[str, str] = {}

    def header(self, facts):
        self.facts |= facts

    def note(self, text):
        pass

    def steps(self, what, total):
        from contextlib import nullcontext

        return nullcontext(lambda: None)

    def reading(self, loss, speed):
        pass

    def epoch(self, record, epochs):
        pass


def test_a_preset_replaces_defaults_and_is_replaced_by_options():
    best = Recipe.default("image", pretrained=True, preset="best")
    usual = Recipe.default("image", pretrained=True)
    assert (best.epochs, best.augment, best.ema) == (20, "trivial", 0.99)
    assert best.lr == usual.lr
    given = Request.from_options("cnn", None, {"preset": "best", "epochs": 7}).recipe(best)
    assert (given.epochs, given.ema) == (7, 0.99)


def test_fast_is_a_probe_with_weights_and_a_short_training_without():
    assert Recipe.default("text", pretrained=True, preset="fast").strategy == "probe"
    scratch = Recipe.default("text", pretrained=False, preset="fast")
    assert (scratch.strategy, scratch.epochs) == ("full", 3)
    lora = Recipe.default("image", pretrained=True, preset="fast", strategy="lora")
    assert lora.strategy == "lora"


def test_balanced_is_the_default():
    for modality in ("image", "text"):
        for pretrained in (True, False):
            usual = Recipe.default(modality, pretrained=pretrained)
            assert Recipe.default(modality, pretrained=pretrained, preset="balanced") == usual


@pytest.mark.parametrize("modality", ["image", "text"])
@pytest.mark.parametrize("name", PRESETS)
def test_texts_get_no_augmentation_of_images(name, modality):
    recipe = Recipe.default(modality, pretrained=True, preset=name)
    assert recipe.augment == ("trivial" if (name, modality) == ("best", "image") else "none")


def test_a_run_says_and_records_its_preset(tmp_path: Path):
    data = [("good film", "yes"), ("bad film", "no")] * 10
    lines = Lines()
    run = zoo.finetune(
        "lstm",
        data,
        preset="fast",
        epochs=1,
        output=tmp_path / "run",
        report=False,
        reporter=lines,
        precision="fp32",
    )
    assert lines.facts["preset"] == "fast: given: --epochs 1 instead of 3"
    assert run.record["request"]["preset"] == "fast"
    assert len(run.epochs()) == 1


def test_an_unknown_preset_is_an_error():
    with pytest.raises(UsageError, match="preset must be one of fast, balanced, best"):
        Request.from_options("cnn", None, {"preset": "quick"})


def test_the_page_lists_every_preset():
    page = (Path(__file__).parents[2] / "docs" / "finetuning.md").read_text(encoding="utf-8")
    for name, preset in PRESETS.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}`"))
        for values in (preset.pretrained, preset.scratch):
            for option, value in values.items():
                assert f"--{option} {value}" in row
