"""The contents of ``run.json``: request, plan, versions, machine and results."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from zoo.data.memory.source import DataSource, described
from zoo.engine import settings
from zoo.engine.loader_factory import PLAIN_BATCH
from zoo.engine.loop import FitResult
from zoo.engine.recipe import Recipe
from zoo.engine.strategies import Phase
from zoo.engine.surgery import sha256_of_code
from zoo.engine.training_setup import Dataloaders
from zoo.errors import RunError
from zoo.modalities import modality_of
from zoo.system.json_shape import finite
from zoo.system.parts import Parts
from zoo.system.processor import usable_cores
from zoo.training.plan import Plan
from zoo.training.run_options import RunOptions
from zoo.training.summary import leakage_in_words, weights_notes
from zoo.version import __version__


def initial_record(plan: Plan, options: RunOptions, loaders: Dataloaders) -> dict[str, Any]:
    """The contents of ``run.json`` while the run trains.

    Args:
        plan: Everything decided before training.
        options: Options that do not change the result.
        loaders: Its notes on the data, and where batches are made.
    """
    request, splits, recipe, start = plan.request, plan.splits, plan.recipe, plan.start.start
    weights, spec = start.weights, start.backbone.spec
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "backbone": spec.name,
        "spec": spec.to_json(),
        "params": sum(p.numel() for p in start.backbone.parameters()),
        "unpadded": start.backbone.unpadded,
        "weights": {**weights.to_json(), "sha256": start.sha256} if weights else None,
        "weights_notes": weights_notes(start.backbone),
        "origin": start.origin,
        "classes": list(splits.classes),
        "task": plan.task.to_json(),
        "head": plan.opened.head.name,
        "kept_rows": list(plan.start.kept.classes) if plan.start.kept else [],
        "distilled": plan.opened.distilled and plan.opened.distilled.to_json(),
        "surgery": request.surgery,
        "network": options.network.to_json() if options.network else None,
        "strategy": recipe.strategy,
        "recipe": recipe.to_json(),
        "phases": [_phase(phase, recipe) for phase in plan.phases],
        "request": request.to_json(),
        "precision": plan.precision,
        "privacy": plan.privacy and plan.privacy.to_json(),
        "measured_batch": plan.batch and asdict(plan.batch),
        "compile": request.compile,
        "device": plan.device.type,
        "padded_to": list(loaders.train.reader.widths),
        "placement": loaders.placement and loaders.placement.to_json(),
        "data": _data(plan, options, loaders.notes),
        "evaluation_batch": PLAIN_BATCH,
        "evaluation_precision": "fp32",
        "versions": versions(),
        "plugins": plan.plugins,
        "machine": {
            "platform": platform.platform(),
            "cores": usable_cores(),
            "device": str(plan.device),
            "threads": torch.get_num_threads(),
            "instructions": instructions(),
        },
        "surgery_sha256": sha256_of_code(options.surgery),
        "track": options.track,
    }


def _data(plan: Plan, options: RunOptions, notes: Sequence[str]) -> dict[str, Any]:
    """The data, and how it was read."""
    request, splits, spec = plan.request, plan.splits, plan.backbone.spec
    modality = modality_of(spec)
    assert splits.val is not None
    return {
        "source": splits.source,
        "fingerprint": splits.fingerprint,
        # The final network of a cross-validation has trained on the samples that it is judged on.
        "val_fingerprint": "" if request.over_folds else splits.val.fingerprint,
        "train": len(splits.train),
        "val": len(splits.val),
        "test": 0 if splits.test is None else len(splits.test),
        "skipped": list(splits.skipped),
        "ignored": len(splits.others),
        "notes": list(notes),
        "shared": [asdict(pair) for pair in splits.shared],
        "near": None if splits.near is None else [asdict(pair) for pair in splits.near],
        "shared_groups": list(splits.shared_groups),
        "removed": splits.removed,
        "overlap": leakage_in_words(splits),
        **_in_memory(options.data),
        **modality.input_record(spec, splits, request.of(modality.options)),
        "groups": _groups(plan),
        "corrections": splits.corrections and asdict(splits.corrections),
        "val_split": request.val_split,
        "test_split": request.test_split,
        "split_seed": plan.recipe.seed,
        "text_column": request.text_column,
        "label_column": request.label_column,
        "quoting": request.quoting or "auto",
        "columns": {
            "inputs": list(splits.input_columns),
            "labels": list(splits.label_columns),
        },
    }


def _groups(plan: Plan) -> dict[str, Any] | None:
    """Where groups were found, and their number by split; ``None`` without groups."""
    request, splits = plan.request, plan.splits
    counts = {
        name: len(set(each.groups.tolist()))
        for name, each in (("train", splits.train), ("val", splits.val))
        if each is not None and each.groups is not None
    }
    return {**asdict(request.groups), **counts} if request.groups else None


def require_same_data(folder: Path, started: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Raise a :class:`RunError` if a run would now train on other data than it was started with.

    Args:
        folder: The run folder.
        started: Contents of its ``run.json``.
        record: Those of a run with the data of now.
    """
    then, now = started["data"], record["data"]
    if then["fingerprint"] == now["fingerprint"]:
        return
    then_by, now_by = then.get("corrections"), now.get("corrections")
    if then_by and now_by and then_by["sha256"] != now_by["sha256"]:
        raise RunError(
            f"the corrections of {folder} have changed since it was started: {now_by['file']}",
            hint="Restore the file, or start a new run.",
        )
    counts = [then["train"] + then["val"], now["train"] + now["val"]]
    numbers = "" if counts[0] == counts[1] else f" ({counts[0]:,} samples then, {counts[1]:,} now)"
    raise RunError(
        f"the data of {folder} has changed since it was started: {now['source']}{numbers}",
        hint="Restore it (data in memory: pass the same again), or start a new run.",
    )


def _in_memory(data: DataSource) -> dict[str, Any]:
    """``memory``: the type, size and columns of data in memory, by split."""
    if data is None:
        return {}
    parts = data if isinstance(data, Mapping) else {"all": data}
    return {"memory": {str(split): described(part) for split, part in parts.items()}}


def _phase(phase: Phase, recipe: Recipe) -> dict[str, Any]:
    """A phase, and the hyperparameters that it uses."""
    schedule = {} if phase.solved else {"epochs": phase.epochs, "lr": phase.lr}
    solver = {} if phase.trains_backbone else {"solver": phase.solver}
    return {"name": phase.name, **solver, **schedule, "settings": settings.used_by(phase, recipe)}


def instructions() -> str:
    """The instruction set of torch's kernels here, such as AVX512; rounding depends on it."""
    return str(torch.backends.cpu.get_cpu_capability())


def results(fitted: FitResult, parts: Parts) -> dict[str, Any]:
    """The ``results`` of ``run.json``."""
    best = fitted.history[fitted.best_epoch - 1]
    solved = {"best_strength": best["strength"]} if "strength" in best else {}
    return {
        "best_epoch": fitted.best_epoch,
        **solved,
        "metrics": finite(fitted.metrics),
        "samples_per_second": fitted.samples_per_second,
        "compiled": fitted.compiled,
        "cuts": fitted.cuts,
        "seconds": fitted.seconds,
        "parts": {name: round(each, 2) for name, each in parts.seconds().items()},
        "memory": most_memory(),
    }


def most_memory() -> dict[str, int]:
    """Peak memory of this process and of the GPU, in bytes; without dataloader workers.

    Empty where the system does not report it.
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
    """Versions of Python, zoo, and the libraries that affect a result."""
    libraries = (
        *("torch", "torchvision", "timm", "transformers", "accelerate", "peft", "tokenizers"),
        *("numpy", "pillow", "scikit-learn", "pyarrow", "safetensors"),
    )
    return {
        "python": platform.python_version(),
        "zoo": __version__,
        **{name: importlib.metadata.version(name) for name in libraries},
    }
