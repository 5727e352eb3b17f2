"""``zoo check`` of heads, strategies and other things: what a fine-tune or a reopened run would run into."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

import zoo
from zoo.contract.adapters import AdapterKind, AdapterOptions
from zoo.contract.extensions import (
    AugmentationSpec,
    ExporterSpec,
    LossSpec,
    Metric,
    MetricInput,
    OptimizerSpec,
)
from zoo.contract.network.backbone import Backbone
from zoo.contract.readers import ReaderSpec
from zoo.engine import adapters
from zoo.engine.chosen_strategy import STRATEGY
from zoo.engine.heads import HEAD
from zoo.engine.optimizers import OPTIMIZER, OPTIMIZERS, find_optimizer
from zoo.engine.strategies import Phase
from zoo.errors import ContractError, PluginError, RunError
from zoo.export.exporters import EXPORTER, EXPORTERS
from zoo.modalities.augmentations import AUGMENTATION, AUGMENTATIONS
from zoo.modalities.files.functions import FileFunctions
from zoo.registry.offers import Offer, OfferKind
from zoo.tasks.losses import LOSS, LOSSES
from zoo.tasks.metric_table import METRICS
from zoo.tasks.metrics import METRIC
from zoo.testing.checks import NotApplicable
from zoo.testing.offered import exporters
from zoo.testing.offered.augmentations import check_augmentation
from zoo.testing.offered.checks import (
    adapters_can_be_trained,
    augmentations_can_be_repeated,
    exports_match_the_run,
    functions_can_be_imported,
    heads_can_be_trained,
    losses_can_be_trained,
    metrics_have_sensible_values,
    optimizers_lower_a_loss_and_resume,
    readers_give_tables,
    strategies_make_valid_phases,
)
from zoo.testing.offered.losses import check_loss
from zoo.testing.offered.metrics import check_metric
from zoo.testing.offered.modalities import check_files
from zoo.testing.offered.optimizers import check_optimizer
from zoo.weights.adapter_kinds import ADAPTERS
from zoo.weights.find_adapter import ADAPTER


def offering(kind: OfferKind, thing: Callable[..., Any]) -> Any:
    offer = Offer(kind=kind, bare="odd", plugin="acme", given=thing)
    source = SimpleNamespace(name="acme")
    return SimpleNamespace(offers=lambda wanted: [offer] if wanted is kind else [], source=source)


class Forgets(nn.Module):
    """Projects at random, and keeps the projection out of its state."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.projection = torch.randn(width, 8)
        self.last = nn.Linear(8, outputs)

    def forward(self, features: Tensor) -> Tensor:
        return self.last(features @ self.projection)  # type: ignore[no-any-return]


class OfBatch(nn.Linear):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features - features.mean(0))


@pytest.mark.parametrize(
    ("head", "fact"),
    [
        (Forgets, "does not hold all its values"),
        (OfBatch, "a sample alone has other outputs"),
        (
            lambda _, outputs: nn.Linear(512, outputs).requires_grad_(False),
            "no parameter takes a gradient",
        ),
        (lambda width, _: nn.Linear(width, 3), "expected"),
    ],
)
def test_a_head_that_a_run_cannot_use_fails(head: Callable[..., Any], fact: str) -> None:
    with pytest.raises(AssertionError, match=fact):
        heads_can_be_trained(offering(HEAD, head))
    heads_can_be_trained(offering(HEAD, nn.Linear))


def test_a_strategy_must_do_with_one_stage() -> None:
    def top(recipe: Any, stages: tuple[str, ...], count: str | None = None) -> list[Phase]:
        until = stages[-2] if count is None else stages[-1]
        return [Phase(name="top", epochs=recipe.epochs, lr=recipe.lr, freeze_until=until)]

    with pytest.raises(AssertionError, match="'acme/odd' raised IndexError"):
        strategies_make_valid_phases(offering(STRATEGY, top))
    strategies_make_valid_phases(offering(STRATEGY, lambda recipe, stages, count: 1 / 0))
    strategies_make_valid_phases(
        offering(STRATEGY, lambda recipe, stages: [Phase(name="a", epochs=1, lr=recipe.lr)])
    )


def test_functions_that_are_not_there_are_found() -> None:
    there = Metric(title="there", measures={"single-label": "zoo.tasks.measures:auroc"})
    functions_can_be_imported(offering(METRIC, there))  # type: ignore[arg-type]
    gone = Metric(title="gone", measures={"single-label": "zoo.tasks.measures:no_such"})
    lost = LossSpec(formula="a_module_that_nobody_has:loss", tasks=("regression",))
    for kind, thing in ((METRIC, gone), (LOSS, lost)):
        with pytest.raises(AssertionError, match="acme/odd"):
            functions_can_be_imported(offering(kind, thing))  # type: ignore[arg-type]


def errors(given: MetricInput) -> float:
    return float((given.predicted != given.labels).mean())


def by_place(given: MetricInput) -> float:
    return float((np.arange(len(given.labels)) * (given.predicted == given.labels)).mean())


def unexplained(given: MetricInput) -> float:
    return math.nan if len(given.classes) > 2 else errors(given)


def explained(given: MetricInput) -> float:
    if len(given.classes) > 2:
        given.remark("it is for two classes")
        return math.nan
    return errors(given)


@pytest.mark.parametrize(
    ("measure", "higher", "fact"),
    [
        (
            errors,
            True,
            r"higher=True, but .* not that of a perfect prediction: 0, and 0\.\d+ for a",
        ),
        (by_place, True, "for the same samples in another order"),
        (unexplained, False, "NaN for a perfect prediction .* without a reason"),
        (lambda given: math.inf, False, "inf for a perfect prediction"),
        (lambda given: 1.0, True, "the same value for perfect, wrong and random"),
        (lambda given: given.nothing, True, "raised AttributeError"),
        (lambda given: None, True, "returned None, not a number"),
    ],
)
def test_a_metric_with_wrong_values_fails(measure: Any, higher: bool, fact: str) -> None:
    metric = Metric(title="odd", measures={"single-label": measure}, higher=higher)
    with pytest.raises(AssertionError, match=f"metric 'acme/odd'.*{fact}"):
        metrics_have_sensible_values(offering(METRIC, metric))  # type: ignore[arg-type]


def test_a_metric_with_sensible_values_passes() -> None:
    for measure in (errors, explained):
        metric = Metric(title="right", measures={"single-label": measure}, higher=False)
        metrics_have_sensible_values(offering(METRIC, metric))  # type: ignore[arg-type]
    misspelt = Metric(title="odd", measures={"single-labels": errors})
    with pytest.raises(AssertionError, match="no task is called 'single-labels'"):
        metrics_have_sensible_values(offering(METRIC, misspelt))  # type: ignore[arg-type]


def in_numpy(logits: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    return functional.cross_entropy(logits.detach(), targets, reduction="none")


def upside_down(logits: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    return -functional.cross_entropy(logits, targets, reduction="none")


def logarithm(logits: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    return (logits.clamp(min=0).log() * -1).mean(dim=1)


def no_shares(logits: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    return functional.cross_entropy(
        logits, targets.long().reshape(len(logits), -1)[:, 0], reduction="none"
    )


@pytest.mark.parametrize(
    ("formula", "options", "fact"),
    [
        (in_numpy, (), "no gradient reaches the logits"),
        (upside_down, (), "for right predictions on single-label data with 2 classes, not lower"),
        (logarithm, (), "inf for right predictions"),
        (lambda logits, targets, weights: logits.mean(), (), "returned a tensor of shape"),
        (no_shares, (), "another value for shares"),
        (upside_down, ("focal",), "not lower"),
        (
            LOSSES["generalized-cross-entropy"].formula,
            ("focal",),
            "unexpected keyword argument 'focal'",
        ),
        (LOSSES["generalized-cross-entropy"].formula, ("gamma",), "no option called 'gamma'"),
    ],
)
def test_a_loss_that_does_not_train_fails(
    formula: Any, options: tuple[str, ...], fact: str
) -> None:
    loss = LossSpec(formula=formula, tasks=("single-label",), options=options)
    with pytest.raises(AssertionError, match=f"loss 'acme/odd'.*{fact}"):
        losses_can_be_trained(offering(LOSS, loss))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", LOSSES)
def test_the_losses_of_zoo_train(name: str) -> None:
    check_loss(Offer(kind=LOSS, bare=name, plugin="", given=LOSSES[name]))


class Remembers(torch.optim.SGD):
    """Slows down with the number of its steps, which it keeps to itself."""

    steps = 0

    def step(self, closure: Any = None) -> Any:
        self.steps += 1
        for group in self.param_groups:
            group["lr"] /= self.steps
        return super().step(closure)


@pytest.mark.parametrize(
    ("make", "fact"),
    [
        (Remembers, "a run that is stopped and resumed ends with other values"),
        (lambda groups: torch.optim.SGD(groups, maximize=True), "the loss rises"),
    ],
)
def test_an_optimizer_that_does_not_lower_a_loss_or_resume_fails(make: Any, fact: str) -> None:
    with pytest.raises(AssertionError, match=f"optimizer 'acme/odd'.*{fact}"):
        optimizers_lower_a_loss_and_resume(offering(OPTIMIZER, OptimizerSpec(make=make)))  # type: ignore[arg-type]


def test_what_is_no_optimizer_is_its_plugins_error() -> None:
    offer = Offer(kind=OPTIMIZER, bare="odd", plugin="acme", given=OptimizerSpec(make=len))
    with pytest.raises(PluginError, match=r"made 2, not a torch\.optim\.Optimizer"):
        check_optimizer(offer)


@pytest.mark.parametrize("name", [*OPTIMIZERS, "timm/lion", "timm/lamb", "timm/lars"])
def test_the_optimizers_of_torch_and_timm_lower_a_loss_and_resume(name: str) -> None:
    check_optimizer(find_optimizer(name))


@pytest.mark.slow(1)
def test_all_optimizers_of_timm_lower_a_loss_and_resume() -> None:
    for name in pytest.importorskip("zoo_timm.optimizers").NAMES:
        check_optimizer(find_optimizer(f"timm/{name}"))


def lora(**changes: Any) -> Callable[[AdapterOptions, str], Any]:
    def config(options: AdapterOptions, layers: str) -> Any:
        from peft import LoraConfig

        return LoraConfig(r=options.rank, target_modules=layers, **changes)

    return config


@pytest.mark.parametrize(
    ("adapter", "fact"),
    [
        (
            {"config": lora(bias="all")},
            r"a step, besides the adapter's, changed \d+ tensors: .*bias",
        ),
        ({"config": lora(init_lora_weights=False)}, "adding adapters changes the features"),
        ({"config": lambda options, layers: options.nothing}, "raised AttributeError"),
        ({"parameters": lambda net: ["nothing.here"]}, "no stage called 'nothing.here'"),
        ({"parameters": lambda net: sys.exit(3)}, "raised SystemExit: 3"),
    ],
)
def test_an_adapter_that_a_run_cannot_use_fails(adapter: dict[str, Any], fact: str) -> None:
    kind = AdapterKind(title="odd", **adapter)
    with pytest.raises(AssertionError, match=f"adapter 'acme/odd'.*{fact}"):
        adapters_can_be_trained(offering(ADAPTER, kind))  # type: ignore[arg-type]


def test_adapters_that_fit_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ADAPTERS.values():
        adapters_can_be_trained(offering(ADAPTER, kind))  # type: ignore[arg-type]
    of_ids = AdapterKind(title="of ids", config=lora(), layers=("Embedding",))
    adapters_can_be_trained(offering(ADAPTER, of_ids))  # type: ignore[arg-type]
    nowhere = AdapterKind(title="nowhere", config=lora(), layers=("Conv3d",))
    with pytest.raises(NotApplicable, match="fits no layer"):
        adapters_can_be_trained(offering(ADAPTER, nowhere))  # type: ignore[arg-type]
    merge = adapters.merge
    monkeypatch.setattr(adapters, "merge", lambda backbone: (merge(backbone), spoil(backbone)))
    with pytest.raises(AssertionError, match="merging the adapters changes"):
        adapters_can_be_trained(offering(ADAPTER, ADAPTERS["lora"]))  # type: ignore[arg-type]


def spoil(backbone: Backbone) -> None:
    with torch.no_grad():
        next(backbone.net.parameters()).mul_(2)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> zoo.Run:
    return exporters._run(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture
def made_once(run: zoo.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporters, "_run", lambda folder: run)


def write_zeros(run: zoo.Run, backbone: Backbone, inputs: Any, folder: Path) -> None:
    (folder / "zeros").write_text("2")


def run_zeros(folder: Path) -> Any:
    return lambda batch: torch.zeros(
        len(batch["pixel_values"]), int((folder / "zeros").read_text())
    )


def refuse(run: zoo.Run, *_: object) -> None:
    raise RunError("only for texts", hint="Use another format.")


@pytest.mark.usefixtures("made_once")
def test_an_export_that_answers_otherwise_than_the_run_fails() -> None:
    zeros = ExporterSpec(write=write_zeros, run=run_zeros, model="zeros")
    with pytest.raises(AssertionError, match="outputs of export format 'acme/odd' differ"):
        exports_match_the_run(offering(EXPORTER, zeros))  # type: ignore[arg-type]
    lost = replace(zeros, model="ones")
    with pytest.raises(AssertionError, match="export format 'acme/odd' did not write ones"):
        exports_match_the_run(offering(EXPORTER, lost))  # type: ignore[arg-type]
    exports_match_the_run(offering(EXPORTER, EXPORTERS["torch-export"]))  # type: ignore[arg-type]


@pytest.mark.usefixtures("made_once")
@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"write": refuse}, "'acme/odd': only for texts"),
        ({"run": "", "not_compared": "it is compiled for a phone"}, "compiled for a phone"),
        ({"requires": ("a_module_that_nobody_has",)}, "acme/odd needs a_module_that_nobody_has"),
    ],
)
def test_an_export_that_cannot_be_compared_says_why(changes: dict[str, Any], fact: str) -> None:
    zeros = ExporterSpec(write=write_zeros, run=run_zeros, model="zeros")
    with pytest.raises(NotApplicable, match=fact):
        exports_match_the_run(offering(EXPORTER, replace(zeros, **changes)))  # type: ignore[arg-type]
    functions_can_be_imported(offering(EXPORTER, replace(zeros, **changes)))  # type: ignore[arg-type]


def test_an_exporter_can_be_run_or_says_why_not() -> None:
    for changes in ({}, {"run": run_zeros, "not_compared": "why"}):
        with pytest.raises(ContractError, match="either 'run' or 'not_compared'"):
            ExporterSpec(write=write_zeros, model="zeros", **changes)  # type: ignore[arg-type]


def darker(image: Image.Image, flip: bool) -> Image.Image:
    return image.point(lambda value: value * 0.5)


def noisy(image: Image.Image, flip: bool) -> Image.Image:
    pixels = np.asarray(image) + np.random.normal(0, 9, np.asarray(image).shape)
    return Image.fromarray(pixels.astype(np.asarray(image).dtype))


def in_place(image: Image.Image, flip: bool) -> Image.Image:
    image.paste(0, (0, 0, 4, 4))
    return image


def infinite(image: Image.Image, flip: bool) -> Image.Image:
    return Image.fromarray(np.log(np.asarray(image) * 0)) if image.mode == "F" else image


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize(
    ("apply", "modality", "fact"),
    [
        (in_place, "image", "changes the image that it is given"),
        (infinite, "image", "pixels are not finite"),
        (lambda image, flip: noisy_by(np.random.default_rng(), image), "image", "from one seed"),
        (
            lambda image, flip: image.resize((9, 9)),
            "image",
            "not an image of mode RGB and size 32 x",
        ),
        (lambda image, flip: image.convert("L"), "image", "not an image of mode RGB"),
        (lambda image: image, "image", "unexpected keyword argument 'flip'"),
        (darker, "text", "is for texts, which have no --augment"),
        (darker, "smell", "no modality is called 'smell'"),
    ],
)
def test_an_augmentation_that_cannot_be_trained_with_fails(
    apply: Any, modality: str, fact: str
) -> None:
    odd = AugmentationSpec(apply=apply, modality=modality)
    with pytest.raises(AssertionError, match=f"augmentation 'acme/odd'.*{fact}"):
        augmentations_can_be_repeated(offering(AUGMENTATION, odd))  # type: ignore[arg-type]


def noisy_by(random: np.random.Generator, image: Image.Image) -> Image.Image:
    pixels = np.asarray(image)
    return Image.fromarray((pixels + random.normal(0, 9, pixels.shape)).astype(pixels.dtype))


def shifted(images: torch.Tensor, flip: bool, draw: Any) -> torch.Tensor:
    amount = torch.from_numpy((draw(1) * 99).astype(np.uint8)).to(images.device)
    return images // 2 + amount.view(-1, 1, 1, 1)


def shifted_alike(images: torch.Tensor, flip: bool, draw: Any) -> torch.Tensor:
    return images // 2 + int(draw(1)[0, 0] * 99)


def shifted_in_place(images: torch.Tensor, flip: bool, draw: Any) -> torch.Tensor:
    return images.sub_(images // 2)


@pytest.mark.parametrize(
    ("apply_batch", "fact"),
    [
        (shifted_alike, "differently in another batch"),
        (shifted_in_place, "changes the images that it is given"),
        (lambda images, flip, draw: images.float(), "returned .*float32.*, not a tensor of"),
        (lambda images, flip, draw: images[:, :, 1:], "not a tensor of torch.uint8"),
        (lambda images, flip: images, "unexpected keyword argument 'draw'"),
        ("zoo:absent", "has no attribute 'absent'"),
    ],
)
def test_an_augmentation_of_batches_that_cannot_be_trained_with_fails(
    apply_batch: Any, fact: str
) -> None:
    odd = AugmentationSpec(apply=darker, apply_batch=apply_batch)
    with pytest.raises(AssertionError, match=f"augmentation 'acme/odd'.*{fact}"):
        augmentations_can_be_repeated(offering(AUGMENTATION, odd))  # type: ignore[arg-type]
    right = AugmentationSpec(apply=darker, apply_batch=shifted)
    augmentations_can_be_repeated(offering(AUGMENTATION, right))  # type: ignore[arg-type]


def test_augmentations_that_can_be_repeated_pass() -> None:
    for apply in (darker, noisy):
        right = AugmentationSpec(apply=apply)
        augmentations_can_be_repeated(offering(AUGMENTATION, right))  # type: ignore[arg-type]
    own = AUGMENTATIONS["trivial"]
    check_augmentation(Offer(kind=AUGMENTATION, bare="trivial", plugin="", given=own))


def read_cards(path: Path) -> dict[str, list[Any]]:
    rows = [line.split(": ", 1) for line in path.read_text().splitlines()]
    return {"label": [label for label, _ in rows], "text": [text for _, text in rows]}


def read_numbers(path: Path) -> dict[str, list[float]]:
    return {"label": [1.0], "size": [float(path.read_text())]}


def read_later(path: Path) -> dict[str, list[float]]:
    return {"label": [1.0], "size": [next(COUNT)]}


def read_text(path: Path) -> str:
    return path.read_text()


COUNT = itertools.count(0.5)


def read_source(source: str) -> dict[str, list[dict[str, str]]]:
    return {"train": [{"text": source, "label": "good"}]}


def reading(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Any:
    reader = ReaderSpec(name="odd", plugin="acme", **changes)
    monkeypatch.setattr(
        "zoo.testing.offered.checks.registered_readers", lambda: dict.fromkeys(reader.keys, reader)
    )
    return SimpleNamespace(source=SimpleNamespace(name="acme"))


@pytest.mark.parametrize(
    ("read", "example", "fact"),
    [
        (read_cards, "good", "ValueError"),
        (read_cards, "package:zoo/py.typed", "no rows"),
        (read_numbers, "inf", "values of 'size' are not finite"),
        (read_later, "1", "other data the second time"),
        (read_text, "text", "the reader returned str, not a table"),
    ],
)
def test_a_reader_that_does_not_give_tables_fails(
    read: Any, example: str, fact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = reading(monkeypatch, read=read, example=example, suffixes=(".acme", ".card"))
    with pytest.raises(AssertionError, match=f"reader 'acme/odd'.*{fact}"):
        readers_give_tables(odd)


def test_readers_that_give_tables_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "good: I liked it\nbad: dull"
    readers_give_tables(reading(monkeypatch, read=read_cards, example=text, suffixes=(".acme",)))
    readers_give_tables(reading(monkeypatch, read=read_source, example="acme:all", scheme="acme"))
    with pytest.raises(NotApplicable, match="'acme/odd' states no example"):
        readers_give_tables(reading(monkeypatch, read=read_cards, suffixes=(".acme",)))


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"read": lambda raw: np.zeros(64)}, "'read' takes an empty file"),
        ({"demo_classes": ("rising", "level")}, "make_demo yields 0 series of 'level'"),
        ({"prepare": lambda series, given, generator: torch.randn(64)}, "other values"),
        ({"prepare": lambda series, given, generator: torch.full((64,), np.nan)}, "not finite"),
        ({"prepare": lambda series, given, generator: torch.zeros(7)}, r"\(7,\) rather than"),
        ({"read": lambda raw: series(raw) + isinstance(raw, str)}, "for a file than for its bytes"),
    ],
)
def test_a_modality_that_cannot_be_trained_on_fails(changes: dict[str, Any], fact: str) -> None:
    check_files(SERIES, 64)  # type: ignore[arg-type]
    with pytest.raises((AssertionError, PluginError), match=fact):
        check_files(replace(SERIES, **changes), 64)  # type: ignore[arg-type]


def series(raw: Any) -> Any:
    text = raw.decode() if isinstance(raw, bytes) else Path(raw).read_text()
    if not text:
        raise ValueError("it is empty")
    return np.array(text.split(), dtype=np.float32)


def prepared(values: Any, given: Any, generator: Any) -> Tensor:
    noise = 0 if generator is None else generator.standard_normal(64)
    return torch.from_numpy((values + noise).astype(np.float32))


SERIES = FileFunctions(
    name="series",
    noun="series",
    nouns="series",
    endings=(".series",),
    main_input="values",
    shape=lambda given: (64,),
    in_words=str,
    read=series,
    prepare=prepared,
    demo_classes=("rising",),
    make_demo=lambda seed: [(b" ".join(b"%d" % n for n in range(64)), "rising")] * 3,
    encode=bytes,
)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.measures])
def test_the_metrics_of_zoo_have_sensible_values(name: str) -> None:
    check_metric(Offer(kind=METRIC, bare=name, plugin="", given=METRICS[name]))
