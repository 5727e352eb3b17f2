"""Run folders as a fine-tune leaves them, without the minutes that training takes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo import BackboneSpec, build
from zoo.runs.folder import write_model
from zoo.system.files import sha256_of

BYTES = b"what a run has learned"


def made_run(folder: Path, spec: BackboneSpec, /, *, lacks: str = "", **changes: Any) -> Path:
    """A run folder with all that is read of it before its weights are.

    Args:
        folder: Made, with its parents.
        spec: The run's backbone.
        lacks: A key that ``run.json`` does not have.
        changes: Of keys of ``run.json``; of ``data``, of those in it.
    """
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(BYTES)
    data = {
        "source": "plants/",
        "fingerprint": "",
        "val_fingerprint": "",
        "train": 8,
        "val": 2,
        "val_split": 0.2,
        "split_seed": 0,
        "text_column": None,
        "label_column": None,
        "columns": {"inputs": [], "labels": []},
        "quoting": "auto",
    }
    record: dict[str, Any] = {
        "format": 1,
        "finished": True,
        "backbone": spec.name,
        "spec": spec.to_json(),
        "params": spec.params,
        "weights": None,
        "origin": None,
        "surgery": None,
        "classes": ["fern", "moss"],
        "task": {"name": "single-label", "metric": "accuracy"},
        "head": "linear",
        "recipe": {},
        "precision": "fp32",
        "device": "cpu",
        "data": data,
        "versions": {},
        "results": {"best_epoch": 1, "metrics": {"accuracy": 0.9125, "loss": 0.5}},
        "sha256": hashlib.sha256(BYTES).hexdigest(),
        **changes,
    }
    if isinstance(changes.get("data"), dict):
        record["data"] = {**data, **changes["data"]}
    record.pop(lacks, None)
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def weighted_run(
    folder: Path,
    spec: BackboneSpec,
    /,
    *,
    tokenizer: Any = None,
    head: nn.Module | None = None,
    **changes: Any,
) -> Path:
    """A run folder whose weights are drawn from a seed: it can be opened, and predicts.

    Args:
        folder: Made, with its parents.
        spec: The run's backbone.
        tokenizer: Of texts.
        head: A linear one by default.
        changes: Of keys of ``run.json``.
    """
    made_run(folder, spec, **changes)
    record = json.loads((folder / "run.json").read_text())
    torch.manual_seed(0)
    backbone = build(spec, None)
    backbone.replace_head(head or len(record["classes"]))
    backbone.tokenizer = tokenizer
    write_model(folder, backbone, record["classes"], tokenizer)
    record["sha256"] = sha256_of(folder / "model.safetensors")
    (folder / "run.json").write_text(json.dumps(record))
    return folder
