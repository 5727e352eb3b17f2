"""The data of a distillation: inputs with the outputs of a teacher in place of labels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.data.dataset import open_data
from zoo.data.examined_cache import examine
from zoo.data.kind import InputKind
from zoo.data.memory.source import DataSource, source_name
from zoo.data.reports import Findings
from zoo.data.samples import Samples, Splits, content_fingerprint, splits_fingerprint
from zoo.data.splitting import random_split
from zoo.engine.progress import Reporter
from zoo.errors import ClassesError, DataError, UsageError
from zoo.registry.registry import Registry
from zoo.runs.predicting import open_new
from zoo.runs.request import Request
from zoo.runs.run import Run
from zoo.system.paths import cache_folder
from zoo.system.tensors.files import write_tensors
from zoo.tasks.losses import Loss
from zoo.tasks.task import Task
from zoo.weights.loading.load import read_state_dict


@dataclass(frozen=True)
class Distilled:
    """The teacher, and its outputs for the data.

    Attributes:
        teacher: The teacher.
        temperature: Divides the logits of both in the loss.
        splits: The data; the labels of ``train`` are the teacher's outputs at this temperature,
            those of ``val`` the true ones, or what the teacher predicts.
        labelled: Whether the labels of ``val`` are the true ones.
        outputs: The teacher's outputs for ``val``.
    """

    teacher: Run
    temperature: float
    splits: Splits
    labelled: bool
    outputs: NDArray[np.float64]

    def agreement(self, outputs: NDArray[np.float64]) -> float | None:
        """The share of decisions on ``val`` that are the teacher's; ``None`` without classes."""
        task = self.teacher.task
        if not task.has_classes:
            return None
        return float((task.decided(outputs) == task.decided(self.outputs)).mean())

    def to_json(self) -> dict[str, Any]:
        """``distilled`` in ``run.json``."""
        return {
            "teacher": str(self.teacher.folder),
            "backbone": self.teacher.backbone_name,
            "sha256": self.teacher.record["sha256"],
            "temperature": self.temperature,
            "labelled": self.labelled,
        }

    def in_words(self) -> str:
        """The line of the header."""
        judged = "the labels" if self.labelled else "the teacher: metrics are agreement with it"
        return (
            f"{self.teacher.folder} ({self.teacher.backbone_name}) at temperature "
            f"{self.temperature:g}; validated against {judged}"
        )


class DistillationLoss(nn.Module):
    """The task's loss at a temperature, times its square (Hinton et al. 2015, arXiv:1503.02531)."""

    def __init__(self, loss: Loss, temperature: float) -> None:
        super().__init__()
        self.loss, self.temperature = loss, temperature

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """From logits ``(B, outputs)`` and the teacher's outputs to losses ``(B,)``."""
        losses: Tensor = self.loss(logits.float() / self.temperature, targets)
        return losses * self.temperature**2


def open_distilled(
    request: Request, kind: InputKind, given: DataSource, registry: Registry, reporter: Reporter
) -> Distilled:
    """Open the data of a request with a teacher, and compute the teacher's outputs, or find them.

    Raises:
        UsageError: Teacher and student take different inputs.
        ZooError: The teacher or the data cannot be read.
    """
    assert request.teacher is not None
    teacher = Run(request.teacher, registry=registry)
    if teacher.modality.name != kind.name:
        raise UsageError(
            f"the teacher {teacher.folder} takes {teacher.modality.nouns}, and {request.backbone} "
            f"takes {kind.nouns}",
            hint=f"Choose a student for {teacher.modality.nouns}.",
        )
    if not teacher.task.has_classes and request.temperature != 1:
        raise UsageError(
            f"--temperature has no effect: {teacher.folder} predicts values",
            hint="Leave --temperature out.",
        )
    source = request.data if given is None else given
    truth = _labelled(request, teacher, source)
    splits = truth or _unlabelled(request, teacher, source, reporter)
    assert splits.val is not None
    soft, says = (
        _outputs(teacher, samples, request, reporter) for samples in (splits.train, splits.val)
    )
    task, temperature = teacher.task, request.temperature
    train = replace(splits.train, labels=task.decode(soft / temperature).astype(np.float32))
    outputs = task.decode(says)
    val = splits.val if truth else replace(splits.val, labels=_decided(task, outputs))
    return Distilled(
        teacher, temperature, replace(splits, train=train, val=val), truth is not None, outputs
    )


def _decided(task: Task, outputs: NDArray[np.float64]) -> NDArray[Any]:
    """What the teacher predicts, as labels."""
    labels = np.asarray(task.decided(outputs))
    return labels.astype(np.int64 if labels.ndim == 1 else np.float32)


def _labelled(request: Request, teacher: Run, source: DataSource) -> Splits | None:
    """The data with its labels, if it has labels that the teacher knows."""
    try:
        found = open_data(
            source,
            kind=teacher.modality,
            tasks=(teacher.task,),
            val_split=request.val_split,
            seed=request.seed,
            text_column=request.text_column or teacher.training_data.columns.inputs,
            label_column=teacher.training_data.columns.labels,
            bad_files=request.bad_files,
            quoting=request.quoting,
        )
    except (DataError, ClassesError, UsageError):
        return None
    if found.val is None or found.val.labels is None or set(found.classes) - {*teacher.classes}:
        return None
    places = np.array([teacher.classes.index(name) for name in found.classes])
    labels = found.val.labels
    if labels.ndim == 1:
        labels = places[labels]
    else:
        wide = np.zeros((len(labels), len(teacher.classes)), dtype=labels.dtype)
        wide[:, places] = labels
        labels = wide
    return replace(found, classes=teacher.classes, val=replace(found.val, labels=labels))


def _unlabelled(request: Request, teacher: Run, source: DataSource, reporter: Reporter) -> Splits:
    """The inputs without labels, of which some are held out."""
    samples, unreadable = open_new(
        teacher,
        source,
        text_column=request.text_column,
        bad_files=request.bad_files,
        quoting=request.quoting,
        reporter=reporter,
    )
    found = examine(teacher.modality, samples.inputs)
    findings = Findings(request.bad_files)
    for index, reason in {**dict(unreadable.values()), **_named(samples, found.reasons)}.items():
        findings.add(index, reason)
    findings.check()
    good = found.good
    if len(good) < 2:
        raise DataError(
            f"{source_name(source)} has {len(good)} readable inputs, and some are held out",
            hint="Give at least two; hundreds or thousands are usual.",
        )
    found = found.take(good)
    empty = np.zeros(len(good), dtype=np.int64)
    whole = Samples(
        teacher.modality,
        samples.inputs.take(good),
        empty,
        content_fingerprint(teacher.classes, empty, found.digests),
        found.contents,
        found.hashes,
        found.traits,
        None,
        found.digests if teacher.modality.in_files else None,
    )
    train, val = random_split(empty[:, None], request.val_split, request.seed, keep_classes=False)
    return Splits(
        kind=teacher.modality,
        classes=teacher.classes,
        train=whole.select(train),
        val=whole.select(val),
        test=None,
        fingerprint=splits_fingerprint(teacher.classes, whole),
        source=source_name(source),
        skipped=findings.skipped,
        task=teacher.task.name,
    )


def _named(samples: Samples, reasons: Mapping[int, str]) -> dict[str, str]:
    return {samples.input(index): reason for index, reason in reasons.items()}


def _outputs(teacher: Run, samples: Samples, request: Request, reporter: Reporter) -> Tensor:
    """The logits of the teacher; read from the cache if they have been computed before."""
    digest = hashlib.sha256(f"{teacher.record['sha256']} {samples.fingerprint}".encode())
    file = cache_folder() / "teachers" / f"{digest.hexdigest()}.safetensors"
    if file.is_file():
        kept = read_state_dict(file).get("logits", torch.empty(0))
        if kept.shape == (len(samples), len(teacher.classes)):
            return kept
    reporter.note(f"computing the outputs of the teacher for {len(samples):,} inputs")
    logits, _ = teacher.logits(
        samples, device=request.device, workers=request.workers, reporter=reporter
    )
    _keep(file, logits)
    return logits


def _keep(file: Path, logits: Tensor) -> None:
    """Keep the logits, unless the cache cannot be written."""
    try:
        os.makedirs(file.parent, exist_ok=True)
        write_tensors(file, {"logits": logits.contiguous()}, {})
    except OSError:  # they are computed again next time
        return
