"""What a fine-tune says of itself before it starts, and records when it is over."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch

from zoo.backbone import Backbone
from zoo.cores import usable_cores
from zoo.data import Splits
from zoo.engine import adapters
from zoo.engine.feed import PLAIN_BATCH
from zoo.engine.forward import Forward
from zoo.engine.groups import parameter_groups
from zoo.engine.loop import Fitted
from zoo.engine.recipe import Recipe
from zoo.engine.strategies import Phase
from zoo.engine.tasks import task_of
from zoo.engine.trainable import choose_trained
from zoo.request import Request
from zoo.start import Start
from zoo.version import __version__

_EXTRAS = (
    *("accumulate", "freeze", "thaw", "dropout", "label_smoothing", "class_weights", "balanced"),
    *("focal", "mixup", "cutmix", "augment", "l2sp", "ema", "patience", "schedule", "cached_views"),
)
"""Fields of the recipe that the header names where they are not the default."""


def header(
    start: Start, splits: Splits, recipe: Recipe, phases: Sequence[Phase], forward: Forward
) -> dict[str, str]:
    """What is about to happen, a fact a line.

    Raises:
        ZooError: A phase names a stage or layer that does not exist, or cannot train anything.
    """
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
        "numbers" if splits.task == "regression" else "classes": f"{len(splits.classes)}: {names}"
        + (", any number a sample" if splits.task == "multi-label" else ""),
        **_others(splits),
        **({"notes": "; ".join(splits.notes)} if splits.notes else {}),
        **_shared(splits),
        "backbone": f"{spec.name}, {shape}, {spec.feature_dim} features",
        "weights": f"{weights.tag} ({weights.uri})" if weights else "none (random parameters)",
        "strategy": _recipe(recipe),
    }
    for phase in phases:
        choose_trained(start.backbone, phase, recipe)
        facts[f"  {phase.name}"] = _what_trains(start.backbone, phase, recipe)
    adapters.take_out(start.backbone)
    how = forward.precision + (", compiled" if forward.compiles else "")
    return {**facts, "precision": how, "device": str(forward.device)}


def _others(splits: Splits) -> dict[str, str]:
    """Files that nobody would miss, or that have lost their suffix."""
    if not splits.others:
        return {}
    more = ", …" if len(splits.others) > 1 else ""
    files = "file" if len(splits.others) == 1 else "files"
    return {
        "passed over": f"{len(splits.others)} {files} not called like pictures "
        f"({splits.others[0]}{more})"
    }


def _shared(splits: Splits) -> dict[str, str]:
    """What training has in common with validation and test, if it has."""
    words = overlap_in_words(splits)
    return {"shared": words} if words else {}


def overlap_in_words(splits: Splits) -> str:
    """What training has in common with validation and test; empty where that is nothing."""
    near = splits.near or ()
    facts = [
        f"{count} {what}"
        for count, what in (
            (len(splits.shared), "validation or test samples are in the training data too"),
            (len(near), "look like a picture there"),
        )
        if count
    ]
    if splits.near is None:
        facts.append("too many pictures to compare all by their looks")
    if not facts:
        return ""
    listed = [*splits.shared, *near]
    some = f" ({listed[0]}{', …' if len(listed) > 1 else ''})" if listed else ""
    if splits.removed:
        return f"{', '.join(facts)}{some}; {splits.removed} removed from training"
    advice = "; figures look too good: --dedupe trains without them" if listed else ""
    return ", ".join(facts) + some + advice


def _recipe(recipe: Recipe) -> str:
    """The strategy, and what about the recipe somebody has chosen."""
    facts = [recipe.strategy, f"batches of {recipe.batch_size}"]
    facts += [f"weight decay {recipe.weight_decay:g}"]
    usual = {name: field.default for name, field in Recipe.__dataclass_fields__.items()}
    for name in _EXTRAS:
        value = getattr(recipe, name)
        if value != usual[name]:
            shown = ", ".join(value) if isinstance(value, tuple) else value
            words = name.replace("_", " ")
            facts.append(words if value is True else f"{words} {shown}")
    return ", ".join(facts)


def _what_trains(backbone: Backbone, phase: Phase, recipe: Recipe) -> str:
    every = sum(p.numel() for p in backbone.parameters())
    trained = sum(p.numel() for p in backbone.parameters() if p.requires_grad)
    return (
        f"trains {trained:,} of {every:,} parameters ({_what(phase)}), "
        f"{phase.epochs} epochs, {_rates(backbone, phase, recipe)}"
    )


def _what(phase: Phase) -> str:
    if not phase.trains_backbone:
        return "the head, on cached features"
    whole = {"all": "backbone", "bias": "biases", "norm": "normalisation", "lora": "LoRA"}
    what = f"{whole[phase.parameters]} and head"
    if phase.gradual:
        what += " at first, then stage after stage"
    return f"{what}, after {phase.freeze_until}" if phase.freeze_until else what


def _rates(backbone: Backbone, phase: Phase, recipe: Recipe) -> str:
    if not phase.trains_backbone and phase.solver == "lbfgs":
        return "solved by L-BFGS for each strength of regularisation"
    groups = parameter_groups(
        backbone,
        lr=phase.lr,
        layer_decay=phase.layer_decay,
        weight_decay=0.0,
        base_width=recipe.base_width,
    )
    least = min(group["lr"] for group in groups)
    falling = f", down to {least:.2g}" if least < phase.lr else ""
    return f"learning rate {phase.lr:g}{falling}"


def opening(
    request: Request, start: Start, splits: Splits, recipe: Recipe, forward: Forward
) -> dict[str, Any]:
    """What ``run.json`` holds while the run trains: the request, and what it led to."""
    weights, spec = start.weights, start.backbone.spec
    assert splits.val is not None
    return {
        "backbone": spec.name,
        "spec": spec.to_json(),
        "params": sum(p.numel() for p in start.backbone.parameters()),
        "weights": {**weights.to_json(), "sha256": start.sha256} if weights else None,
        "origin": start.origin,
        "classes": list(splits.classes),
        "task": task_of(splits).to_json(),
        "head": request.head,
        "surgery": request.surgery,
        "strategy": recipe.strategy,
        "recipe": recipe.to_json(),
        "request": request.to_json(),
        "precision": forward.precision,
        "compile": "on" if forward.compiles else "off",
        "device": forward.device.type,
        "data": {
            "source": splits.source,
            "fingerprint": splits.fingerprint,
            "val_fingerprint": splits.val.fingerprint,
            "train": len(splits.train),
            "val": len(splits.val),
            "skipped": list(splits.skipped),
            "passed_over": len(splits.others),
            "notes": list(splits.notes),
            "shared": list(splits.shared),
            "near": None if splits.near is None else list(splits.near),
            "removed": splits.removed,
            "overlap": overlap_in_words(splits),
            "val_split": request.val_split,
            "split_seed": recipe.seed,
            "text_column": request.text_column,
            "label_column": request.label_column,
        },
        "evaluation_batch": PLAIN_BATCH,
        "versions": versions(),
        "machine": {
            "platform": platform.platform(),
            "cores": usable_cores(),
            "device": str(forward.device),
        },
    }


def results(fitted: Fitted) -> dict[str, Any]:
    """What ``run.json`` says of how it went."""
    return {
        "best_epoch": fitted.best_epoch,
        "metrics": fitted.metrics,
        "samples_per_second": fitted.samples_per_second,
        "seconds": fitted.seconds,
        "memory": most_memory(),
    }


def most_memory() -> dict[str, int]:
    """The most bytes that this process has had at a time, and those of the GPU where it used one.

    Without the processes that prepare pictures. Nothing where the system does not say.
    """
    most: dict[str, int] = {}
    with suppress(ImportError):  # on Windows
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        most["process"] = peak if sys.platform == "darwin" else 1024 * peak
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        most["gpu"] = torch.cuda.max_memory_allocated()
    return most


def versions() -> dict[str, str]:
    """Of Python, zoo, and the libraries that decide a result."""
    libraries = ("torch", "torchvision", "timm", "transformers", "accelerate", "peft", "tokenizers")
    return {
        "python": platform.python_version(),
        "zoo": __version__,
        **{name: importlib.metadata.version(name) for name in libraries},
    }
