"""From what the user names to splits: agree on classes, and check every input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from zoo.data.columns import Columns
from zoo.data.labels import (
    Part,
    agree_on_numbers,
    check_count,
    check_share,
    choose_classes,
    indices_of,
    stratified_split,
)
from zoo.data.layouts import Layout, Request, layout_of
from zoo.data.pictures import examine
from zoo.data.reports import BadFiles, Findings
from zoo.data.samples import Samples, Splits, content_fingerprint, splits_fingerprint
from zoo.errors import DataError
from zoo.spec import Modality


def open_data(
    source: str | Path,
    *,
    modality: Modality,
    val_split: float = 0.2,
    seed: int = 0,
    text_column: str | None = None,
    label_column: str | None = None,
    classes: int | None = None,
    bad_files: BadFiles = "error",
    need: Literal["train", "evaluate"] = "train",
    known_classes: Sequence[str] | None = None,
) -> Splits:
    """Open a folder, a table or a Hub data set; every picture in it is decoded once as a check.

    Args:
        source: A folder of class folders, with ``train``, ``val`` and ``test`` above them or
            without; a table, or a folder with ``train.*``, ``val.*`` and ``test.*``; or
            ``hf:<name>[:<configuration>]``.
        modality: What the backbone takes.
        val_split: The share, in (0, 1), that validates where the data bring no split for it.
        seed: Decides which samples that share consists of.
        text_column: The column of texts or of paths of pictures; ``None`` to find it.
        label_column: The column of labels; ``None`` to find it.
        classes: The number of classes that the user expects.
        bad_files: Whether unreadable pictures and incomplete rows stop, or are left out.
        need: ``train`` reads the splits ``train`` and ``val``. ``evaluate`` reads those of
            ``val`` and ``test`` that have labels, or else all there is
            (:meth:`Splits.to_evaluate`).
        known_classes: For an evaluation, the class names of the run.

    Raises:
        DataError: There is nothing to work on there, or not of this modality.
        ClassesError: Classes do not fit ``classes``, ``known_classes`` or each other.
        BadFilesError: Inputs cannot be used, and ``bad_files`` is ``error``.
    """
    check_share(val_split)
    columns = Columns(input=text_column, label=label_column)
    request = Request(str(source), modality, columns, Findings(bad_files), val_split, seed)
    layout = layout_of(request)
    if need == "train":
        return _for_training(request, layout, classes)
    return _for_evaluation(request, layout, known_classes)


def _for_training(request: Request, layout: Layout, wanted: int | None) -> Splits:
    own = "train" if "train" in layout else "all"
    if own not in layout:
        raise DataError(
            f"{request.source} has {' and '.join(layout)}, but nothing to train on",
            hint="Put the training data beside it, called train.",
        )
    parts = {key: layout[key](True) for key in (own, "val") if key in layout}
    request.findings.settle()
    parts = agree_on_numbers(parts, ())
    classes = choose_classes(parts[own])
    check_count(classes, wanted, parts[own].where)
    for part in parts.values():  # before the pictures are looked at, which may take a while
        indices_of(part, classes, owner=parts[own].where)
    samples = {key: _checked(request, part, classes) for key, part in parts.items()}
    request.findings.settle()
    _require_samples(samples[own], parts[own], classes)
    train, val = samples[own], samples.get("val")
    if val is None:
        train, val = _halves(request, train)
        if not len(val):
            raise DataError(
                f"{parts[own].where} has one sample a class, and nothing is left to validate on",
                hint="Add samples, or bring a validation split, called val.",
            )
    elif not len(val):
        raise DataError(f"{parts['val'].where} has nothing that can be read")
    return _splits(request, classes, train=train, val=val)


def _for_evaluation(request: Request, layout: Layout, known: Sequence[str] | None) -> Splits:
    parts = _evaluated(layout)
    request.findings.settle()
    parts = agree_on_numbers(parts, known or ())
    classes = tuple(known) if known is not None else _own_classes(layout, parts)
    owner = "the run" if known is not None else "the training split"
    for part in parts.values():
        indices_of(part, classes, owner=owner)
    samples = {key: _checked(request, part, classes) for key, part in parts.items()}
    request.findings.settle()
    for key, part in parts.items():
        if not len(samples[key]):
            raise DataError(f"{part.where} has nothing that can be read")
    if "all" not in samples:
        nothing = next(iter(samples.values())).select([])
        return _splits(
            request, classes, train=nothing, val=samples.get("val"), test=samples.get("test")
        )
    whole = samples["all"]
    train, val = _halves(request, whole)
    return _splits(request, classes, train=train, val=val, whole=whole)


def _evaluated(layout: Layout) -> dict[str, Part]:
    """What an evaluation reads: the splits for it that have labels, or else everything."""
    held_out = {key: layout[key](False) for key in ("val", "test") if key in layout}
    labelled = {key: part for key, part in held_out.items() if part.labels is not None}
    if labelled:
        return labelled
    whole = next((layout[key] for key in ("all", "train") if key in layout), None)
    if whole is None:
        return {key: layout[key](True) for key in held_out}  # tells which labels are missing
    return {"all": whole(True)}


def _own_classes(layout: Layout, parts: Mapping[str, Part]) -> tuple[str, ...]:
    """The classes of data that are evaluated without a run: those of their training split."""
    own = layout["train"](True) if "train" in layout else next(iter(parts.values()))
    return choose_classes(agree_on_numbers({"train": own}, ())["train"])


def _checked(request: Request, part: Part, classes: Sequence[str]) -> Samples:
    """Samples of a split whose pictures have been decoded; unreadable ones are left out."""
    count = len(part.inputs)
    if request.modality == "image":
        digests, reasons = examine(part.inputs)
        for index, reason in reasons.items():
            request.findings.add(part.inputs.name(index), reason)
        if reasons:
            good = np.array([i for i in range(count) if i not in reasons], dtype=np.int64)
            part, digests = part.take(good), [digests[i] for i in good]
    else:
        digests = [str(part.inputs[i]).encode() + b"\0" for i in range(count)]
    labels = indices_of(part, classes, owner=part.where)
    fingerprint = content_fingerprint(classes, labels, digests)
    return Samples(request.modality, part.inputs, labels, fingerprint)


def _require_samples(train: Samples, part: Part, classes: Sequence[str]) -> None:
    """After unreadable inputs have been left out, every class must still have some."""
    if not len(train):
        raise DataError(f"{part.where} has no readable picture among {len(part.inputs):,}")
    assert train.labels is not None
    counts = np.bincount(train.labels, minlength=len(classes))
    lost = [name for name, count in zip(classes, counts, strict=True) if not count]
    if lost:
        raise DataError(
            f"{part.where} has no readable picture of {', '.join(map(repr, lost))}",
            hint="Mend the files, or remove the class.",
        )


def _halves(request: Request, samples: Samples) -> tuple[Samples, Samples]:
    """What is trained on, and what the share of the request holds out; the latter may be empty."""
    assert samples.labels is not None
    train, val = stratified_split(samples.labels, request.val_split, request.seed)
    return samples.select(train), samples.select(val)


def _splits(
    request: Request,
    classes: tuple[str, ...],
    *,
    train: Samples,
    val: Samples | None = None,
    test: Samples | None = None,
    whole: Samples | None = None,
) -> Splits:
    return Splits(
        modality=request.modality,
        classes=classes,
        train=train,
        val=val,
        test=test,
        whole=whole,
        fingerprint=splits_fingerprint(classes, train, val, test),
        source=request.source,
        skipped=request.findings.skipped,
    )
