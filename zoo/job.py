"""One fine-tune from request to run folder: open the data, build, train, write."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator

from zoo.backbone import Backbone, build
from zoo.cores import usable_cores
from zoo.data import Samples, Splits, demo_data, open_data, train_tokenizer
from zoo.data.reports import BadFiles
from zoo.engine.device import choose_device
from zoo.engine.feed import PLAIN_BATCH, Feed
from zoo.engine.forward import Forward
from zoo.engine.loop import Feeds, Fitted, Setting, fit
from zoo.engine.precision import resolve_precision
from zoo.engine.progress import Reporter
from zoo.engine.recipe import Recipe
from zoo.engine.strategies import Phase, find_strategy
from zoo.errors import ContractError, RunError, UsageError, WeightsUnavailable
from zoo.heads import make_head
from zoo.places import cache_folder
from zoo.registry import Registry, Resolved
from zoo.run import Run
from zoo.run_folder import TOKENIZER, free_folder, refuse_existing, write_run
from zoo.run_record import origin_of
from zoo.spec import BackboneSpec, Pooling, Weights
from zoo.version import __version__
from zoo.weights import choose, fetch, file_sha256

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SCRATCH_SIZE = 96
"""Height and width, in pixels, on which networks of any size train from random parameters."""

TEXT_LENGTH = 512
"""Tokens that texts are cut to, where the network would take more."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for; the fields are the arguments of :func:`zoo.finetune`."""

    backbone: str
    data: str | Path | None
    classes: int | None
    strategy: str | None
    freeze_until: str | None
    head: str
    epochs: int | None
    lr: float | None
    batch_size: int | None
    weight_decay: float | None
    weights: str
    precision: str
    image_size: int | None
    max_length: int | None
    pooling: Pooling | None
    text_column: str | None
    label_column: str | None
    val_split: float
    bad_files: BadFiles
    seed: int
    output: Path | None
    device: str
    workers: int | None

    def __post_init__(self) -> None:
        if not 0 < self.val_split < 1:
            raise UsageError(
                f"--val-split {self.val_split:g} cannot be", hint="Give a share between 0 and 1."
            )
        for option, least in (("classes", 2), ("image_size", 1), ("max_length", 1), ("workers", 0)):
            value = getattr(self, option)
            if value is not None and value < least:
                name = option.replace("_", "-")
                raise UsageError(f"--{name} {value} cannot be", hint=f"Give {least} or more.")
        self.recipe(Recipe.default("image", pretrained=False))

    def recipe(self, default: Recipe) -> Recipe:
        """The default recipe with what the user asked for.

        Raises:
            UsageError: A number that cannot be.
        """
        return default.changed(
            strategy=self.strategy,
            epochs=self.epochs,
            lr=self.lr,
            batch_size=self.batch_size,
            weight_decay=self.weight_decay,
            freeze_until=self.freeze_until,
            seed=self.seed,
        )


@dataclass(frozen=True, kw_only=True)
class Start:
    """What training starts from: a backbone that fits the data, and its weights."""

    backbone: Backbone
    weights: Weights | None
    sha256: str
    tokenizer: Tokenizer | None
    origin: Mapping[str, Any] | None


def run(request: Request, registry: Registry, reporter: Reporter) -> Run:
    """Carry out ``request``.

    Raises:
        ZooError: Anything that the user can put right; nothing has been written then.
    """
    resolved = registry.resolve(request.backbone)
    folder = request.output or free_folder(_short(request.backbone))
    refuse_existing(folder)
    if request.strategy:
        find_strategy(request.strategy, registry)  # a misspelt one is told before the data open
    device = choose_device(request.device)
    precision = resolve_precision(request.precision, device)
    splits = _open(request, resolved.spec)
    with torch.random.fork_rng():
        torch.manual_seed(request.seed)
        start = _start(request, resolved, splits, reporter)
        recipe = request.recipe(_default_recipe(start, splits))
        phases = find_strategy(recipe.strategy, registry)(recipe)
        head = make_head(
            request.head, start.backbone.spec.feature_dim, len(splits.classes), registry=registry
        )
        start.backbone.replace_head(head)
        if recipe.freeze_until:
            start.backbone.stage_parameters(recipe.freeze_until)  # there must be such a stage
        forward = Forward(start.backbone, device=device, precision=precision)
        reporter.header(_header(start, splits, recipe, phases, forward))
        setting = Setting(
            forward=forward,
            feeds=_feeds(request, start, splits, recipe),
            recipe=recipe,
            accelerator=Accelerator(cpu=device.type == "cpu"),
            cache=cache_folder() / "features",
            reporter=reporter,
        )
        try:
            fitted = fit(setting, phases)
        except ContractError as error:
            registry.judge(resolved.spec.plugin, error.message)
            raise
    assert splits.val is not None
    write_run(
        folder,
        record=_record(request, start, splits, recipe, forward, fitted),
        backbone=start.backbone.cpu(),
        history=fitted.history,
        tokenizer=start.tokenizer,
        val=splits.val,
        logits=fitted.logits,
    )
    return Run(folder)


def wish(resolved: Resolved, weights: str) -> str:
    """Which weights are meant: an explicit wish goes before the tag in the name."""
    return resolved.weights if weights == "auto" else weights


def for_weights(spec: BackboneSpec, weights: Weights | None) -> BackboneSpec:
    """The spec with the input that these weights were trained on."""
    return replace(spec, input=weights.input) if weights and weights.input else spec


# -- data --------------------------------------------------------------------------------------


def _open(request: Request, spec: BackboneSpec) -> Splits:
    if request.data is None:
        return demo_data(spec.modality, classes=request.classes, seed=request.seed)
    return open_data(
        request.data,
        modality=spec.modality,
        need="train",
        classes=request.classes,
        val_split=request.val_split,
        seed=request.seed,
        text_column=request.text_column,
        label_column=request.label_column,
        bad_files=request.bad_files,
    )


def _feeds(request: Request, start: Start, splits: Splits, recipe: Recipe) -> Feeds:
    feed = Feed(
        spec=start.backbone.spec,
        tokenizer=start.tokenizer,
        workers=request.workers,
        flip=splits.flip,
        min_scale=splits.min_scale,
        seed=recipe.seed,
        pin=torch.cuda.is_available(),
    )
    train, val = splits.train, splits.val
    assert train.labels is not None
    assert val is not None
    assert val.labels is not None

    return Feeds(
        train=feed.shuffled(train, batch_size=recipe.batch_size),
        plain_train=lambda: feed.plain(train),
        val=feed.plain(val),
        train_labels=train.labels,
        val_labels=val.labels,
        key=splits.fingerprint,
    )


# -- backbone ----------------------------------------------------------------------------------


def _start(request: Request, resolved: Resolved, splits: Splits, reporter: Reporter) -> Start:
    weights = choose(resolved.spec, wish(resolved, request.weights))
    path = None
    if weights is not None:
        try:
            path = fetch(weights)
        except WeightsUnavailable as error:
            if request.data is not None:
                raise
            reporter.note(f"{error.message}: the demo trains from random parameters instead")
            weights = None
    spec = _fitted_spec(request, for_weights(resolved.spec, weights), splits, weights)
    tokenizer = None
    if spec.modality == "text" and not spec.text_input.own_tokenizer:
        spec, tokenizer = _with_tokenizer(spec, splits.train, path)
    backbone = build(spec, weights)
    if spec.modality == "text" and tokenizer is None and backbone.tokenizer is None:
        # Random parameters, and the published tokenizer is out of reach: it has nothing to fit.
        spec, tokenizer = _with_tokenizer(spec, splits.train, path)
        backbone = build(spec, weights)
    sha256 = file_sha256(path) if path else ""
    return Start(
        backbone=backbone,
        weights=weights,
        sha256=sha256,
        tokenizer=tokenizer or backbone.tokenizer,
        origin=origin_of(weights, sha256, resolved.run),
    )


def _fitted_spec(
    request: Request, spec: BackboneSpec, splits: Splits, weights: Weights | None
) -> BackboneSpec:
    """The spec with the size or length that the request and the data ask for."""
    if spec.modality == "text":
        limit = request.max_length or min(spec.text_input.max_length, TEXT_LENGTH)
        if limit > spec.text_input.max_length:
            raise UsageError(
                f"--max-length {limit} is more than {spec.name} takes",
                hint=f"Give at most {spec.text_input.max_length}.",
            )
        changed = spec.with_input(max_length=limit)
        return changed.with_input(pooling=request.pooling) if request.pooling else changed
    given = spec.image_input
    size = request.image_size
    if size is None and not given.fixed_size:
        small = splits.image_size or (None if weights else min(SCRATCH_SIZE, given.size))
        size = given.fitting(small) if small else None
    if size is not None and not given.fixed_size and size != (fit := given.fitting(size)):
        steps = f" in steps of {given.multiple_of}" if given.multiple_of > 1 else ""
        raise UsageError(
            f"{spec.name} takes pictures of {given.fitting(1)} pixels and more{steps}, not of {size}",
            hint=f"The nearest size is {fit}: --image-size {fit}.",
        )
    return spec.with_input(size=size) if size else spec


def _default_recipe(start: Start, splits: Splits) -> Recipe:
    pretrained = start.weights is not None
    default = Recipe.default(start.backbone.spec.modality, pretrained=pretrained)
    return default.changed(epochs=None if pretrained else splits.epochs)


def tokenizer_beside(path: Path | None) -> Tokenizer | None:
    """The tokenizer of the run whose weights are at ``path``, if it is a run's.

    Raises:
        RunError: It cannot be read.
    """
    from tokenizers import Tokenizer

    file = path.parent / TOKENIZER if path else None
    if file is None or not file.is_file():
        return None
    try:
        found: Tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises plain Exception for whatever is wrong
        raise RunError(f"{file} cannot be read: {error}", hint="Put the run's own back.") from error
    return found


def _with_tokenizer(
    spec: BackboneSpec, train: Samples, weights: Path | None
) -> tuple[BackboneSpec, Tokenizer]:
    """A tokenizer for a network that brings none, and the spec with its vocabulary.

    It is that of the run whose weights training starts from, else trained on ``train``.
    """
    tokenizer = tokenizer_beside(weights)
    if tokenizer is None:
        texts = (str(train.raw(i)) for i in range(len(train)))
        tokenizer = train_tokenizer(texts, vocab_size=spec.text_input.vocab_size)
    vocabulary = {"vocab_size": tokenizer.get_vocab_size(), "pad_id": 0, "own_tokenizer": False}
    return spec.with_input(**vocabulary), tokenizer


# -- what is said and recorded -------------------------------------------------------------------


def _header(
    start: Start, splits: Splits, recipe: Recipe, phases: Sequence[Phase], forward: Forward
) -> dict[str, str]:
    spec, weights = start.backbone.spec, start.weights
    assert splits.val is not None
    names = ", ".join(splits.classes[:8]) + (", …" if len(splits.classes) > 8 else "")
    skipped = f", {len(splits.skipped)} unreadable left out" if splits.skipped else ""
    shape = (
        f"{spec.image_input.size} pixels"
        if spec.modality == "image"
        else f"up to {spec.text_input.max_length} tokens, {spec.text_input.pooling} pooling"
    )
    facts = {
        "data": f"{splits.source}: {len(splits.train)} training, "
        f"{len(splits.val)} validation samples{skipped}",
        "classes": f"{len(splits.classes)}: {names}",
        "backbone": f"{spec.name}, {shape}, {spec.feature_dim} features",
        "weights": f"{weights.tag} ({weights.uri})" if weights else "none (random parameters)",
        "strategy": f"{recipe.strategy}, batches of {recipe.batch_size}, "
        f"weight decay {recipe.weight_decay:g}",
    }
    for phase in phases:
        phase.prepare(start.backbone)
        facts[f"  {phase.name}"] = _what_trains(start.backbone, phase)
    return {**facts, "precision": forward.precision, "device": str(forward.device)}


def _what_trains(backbone: Backbone, phase: Phase) -> str:
    every = sum(p.numel() for p in backbone.parameters())
    trained = sum(p.numel() for p in backbone.parameters() if p.requires_grad)
    what = "backbone and head" if phase.trains_backbone else "the head, on cached features"
    if phase.trains_backbone and phase.freeze_until:
        what = f"what follows {phase.freeze_until}"
    return (
        f"trains {trained:,} of {every:,} parameters ({what}), "
        f"{phase.epochs} epochs, learning rate {phase.lr:g}"
    )


def _record(
    request: Request,
    start: Start,
    splits: Splits,
    recipe: Recipe,
    forward: Forward,
    fitted: Fitted,
) -> dict[str, Any]:
    """What ``run.json`` holds but for the format and the sha256 of the weights."""
    weights, spec = start.weights, start.backbone.spec
    assert splits.val is not None
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "backbone": spec.name,
        "spec": spec.to_json(),
        "params": sum(p.numel() for p in start.backbone.parameters()),
        "weights": {**weights.to_json(), "sha256": start.sha256} if weights else None,
        "origin": start.origin,
        "classes": list(splits.classes),
        "head": request.head,
        "strategy": recipe.strategy,
        "recipe": recipe.to_json(),
        "precision": forward.precision,
        "device": forward.device.type,
        "data": {
            "source": splits.source,
            "fingerprint": splits.fingerprint,
            "train": len(splits.train),
            "val": len(splits.val),
            "skipped": list(splits.skipped),
            "val_split": request.val_split,
            "split_seed": request.seed,
            "text_column": request.text_column,
            "label_column": request.label_column,
        },
        "evaluation_batch": PLAIN_BATCH,
        "versions": _versions(),
        "machine": {
            "platform": platform.platform(),
            "cores": usable_cores(),
            "device": str(forward.device),
        },
        "results": {
            "best_epoch": fitted.best_epoch,
            "metrics": fitted.metrics,
            "samples_per_second": fitted.samples_per_second,
            "seconds": fitted.seconds,
        },
    }


def _versions() -> dict[str, str]:
    libraries = ("torch", "torchvision", "timm", "transformers", "accelerate", "tokenizers")
    return {
        "python": platform.python_version(),
        "zoo": __version__,
        **{name: importlib.metadata.version(name) for name in libraries},
    }


def _short(name: str) -> str:
    """A folder's name for a backbone's: its last part, with nothing that a path would mean."""
    last = name.rstrip("/").rpartition("/")[2] or "run"
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in last).strip(".") or "run"
