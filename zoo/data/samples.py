"""Inputs with their labels: what the readers hand to the engine, and the engine to the loader."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from zoo.data.examined import Hashes
from zoo.data.kind import InputKind
from zoo.data.sequences import Indices, Inputs, Raw

LabelArray: TypeAlias = npt.NDArray[Any]
"""Labels of N samples. Single-label: class indices, ``(N,)`` of int64. Multi-label: 1 for the
classes that a sample has and else 0, ``(N, classes)`` of float32. Regression: the numbers in the
user's units, ``(N, targets)`` of float32."""


@dataclass(frozen=True)
class Samples:
    """One split of the data.

    Attributes:
        kind: What the inputs are.
        inputs: The inputs, unread.
        labels: As the task has them; ``None`` where there is nothing to compare with.
        fingerprint: sha256 over the inputs' contents and labels, in order; the same for a
            copy of the data elsewhere. Empty where the contents have not been looked at.
        contents: ``(N,)``, a number for what each input holds, the same for the same contents;
            ``None`` where they have not been looked at.
        hashes: What near-duplicates are found by; ``None`` likewise, or where the modality has none.
        traits: ``(N,)``, what else the modality tells of each; ``None`` likewise.
    """

    kind: InputKind
    inputs: Inputs
    labels: LabelArray | None = None
    fingerprint: str = ""
    contents: npt.NDArray[np.uint64] | None = None
    hashes: Hashes | None = None
    traits: npt.NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def raw(self, index: int) -> Raw:
        """The input as it is kept: a text, a pair, or a file's path or content."""
        return self.inputs[index]

    @property
    def pairs(self) -> bool:
        """Whether the inputs are pairs of texts."""
        return len(self) > 0 and isinstance(self.inputs[0], tuple)

    def input(self, index: int) -> str:
        """How reports call the input: a path, or something like ``reviews.csv row 17``."""
        return self.inputs.name(index)

    def select(self, indices: Sequence[int] | Indices) -> Samples:
        """The samples at ``indices``, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        fingerprint = self.fingerprint and _sha256(self.fingerprint.encode(), chosen.tobytes())
        labels, contents, hashes, traits = (
            None if known is None else known[chosen]
            for known in (self.labels, self.contents, self.hashes, self.traits)
        )
        inputs = self.inputs.take(chosen)
        return Samples(self.kind, inputs, labels, fingerprint, contents, hashes, traits)


@dataclass(frozen=True)
class Splits:
    """What a fine-tune or an evaluation works on.

    Attributes:
        kind: What the inputs are.
        classes: What the outputs stand for: class names, or the columns of the numbers.
        train: What is trained on; empty where an evaluation has not read it.
        val: What is measured while training; always there for a fine-tune.
        test: Read for an evaluation alone.
        whole: All of the data, where they have no splits and are read for an evaluation.
        fingerprint: sha256 over ``classes`` and the splits' fingerprints.
        source: What the user gave: a path, ``hf:…``, or ``demo/…``.
        skipped: What was left out because it could not be read, one ``path: reason`` each.
        notes: What else has been left out or guessed, a fact each.
        input_columns: The columns of the table that the inputs were read from; empty of folders.
        label_columns: Those that the labels were read from.
        others: Files among the inputs that are not named like such, and were ignored.
        shared: The inputs of ``val`` and ``test`` whose contents ``train`` has too, or had.
        near: Their other inputs that are near-duplicates of one in ``train``; ``None`` where there
            are too many to compare.
        removed: How many samples ``train`` lacks because of them.
        image_size: The size in pixels that the images ask for where the network leaves it
            open; ``None`` where the network's own is right.
        epochs: Passes that suffice where a network starts from random parameters; ``None`` where
            that is not known.
        flip: Whether a mirrored input still shows its class.
        min_scale: The smallest share of an image's area that still shows its class.
        task: The name of what the labels are; empty where there are none.
    """

    kind: InputKind
    classes: tuple[str, ...]
    train: Samples
    val: Samples | None
    test: Samples | None
    fingerprint: str
    source: str
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    input_columns: tuple[str, ...] = ()
    label_columns: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    near: tuple[str, ...] | None = ()
    removed: int = 0
    whole: Samples | None = None
    image_size: int | None = None
    epochs: int | None = None
    flip: bool = True
    min_scale: float = 0.35
    task: str = field(kw_only=True)

    def to_evaluate(self, *, trained_on: str) -> dict[str, Samples]:
        """What an evaluation measures: ``val`` and ``test``, or ``all`` of data without splits.

        Args:
            trained_on: The fingerprint of the data that the run was trained on. Where it is that
                of these data, the samples that were held out then are held out again, as ``val``.
        """
        if self.whole is not None and self.fingerprint != trained_on:
            return {"all": self.whole}
        named = {"val": self.val, "test": self.test}
        return {name: samples for name, samples in named.items() if samples is not None}


def splits_fingerprint(classes: Sequence[str], *splits: Samples | None) -> str:
    """One sha256 for class names and splits; a split that is not there counts as such."""
    parts = ["" if split is None else split.fingerprint for split in splits]
    return _sha256("\0".join(classes).encode(), *(part.encode() for part in parts))


def content_fingerprint(
    classes: Sequence[str], labels: LabelArray, digests: Sequence[bytes]
) -> str:
    """One sha256 for a split, from the label and the content's digest of each sample.

    A single label counts by its class name; several labels, and numbers, as they are in ``labels``.
    """
    digest = hashlib.sha256()
    for label, content in zip(labels, digests, strict=True):
        own = label.tobytes() if labels.ndim > 1 else classes[label].encode()
        digest.update(own + b"\0" + content)
    return digest.hexdigest()


def _sha256(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()
