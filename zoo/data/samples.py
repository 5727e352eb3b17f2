"""Samples and splits: inputs with their labels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from zoo.data.examined import Hashes
from zoo.data.kind import InputKind
from zoo.data.matches import LeakedPair
from zoo.data.sequences import Indices, Inputs, Joined, Raw

LabelArray: TypeAlias = npt.NDArray[Any]
"""Labels of N samples. Single-label: class indices, ``(N,)`` of int64. Multi-label: multi-hot,
``(N, classes)`` of float32. Regression: values in the user's units, ``(N, targets)`` of float32."""


@dataclass(frozen=True)
class Samples:
    """One split of the data.

    Attributes:
        kind: The modality.
        inputs: The inputs, not yet read.
        labels: The labels; ``None`` if there are none.
        fingerprint: A sha256 of contents and labels, in order, independent of paths. Empty if
            the inputs have not been read.
        contents: ``(N,)``, equal numbers for duplicates; ``None`` if the inputs have not been
            read.
        hashes: Perceptual hashes; ``None`` likewise, or if the modality has none.
        traits: ``(N,)``, other properties of each input; ``None`` likewise.
        groups: ``(N,)``, the name of each sample's group; ``None`` if there are none.
        digests: A digest of the content of each file; ``None`` likewise, or if inputs are not files.
    """

    kind: InputKind
    inputs: Inputs
    labels: LabelArray | None = None
    fingerprint: str = ""
    contents: npt.NDArray[np.uint64] | None = None
    hashes: Hashes | None = None
    traits: npt.NDArray[Any] | None = None
    groups: npt.NDArray[np.str_] | None = None
    digests: Sequence[bytes] | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def raw(self, index: int) -> Raw:
        """The stored input: a text, a text pair, or a file's path or content."""
        return self.inputs[index]

    @property
    def pairs(self) -> bool:
        """Whether the inputs are text pairs."""
        several = self.kind.most_columns > 1
        return several and len(self) > 0 and isinstance(self.inputs[0], tuple)

    def input(self, index: int) -> str:
        """The name of the input in messages and reports: a path, or ``reviews.csv row 17``."""
        return self.inputs.name(index)

    def select(self, indices: Sequence[int] | Indices) -> Samples:
        """The samples at ``indices``, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        fingerprint = self.fingerprint and _sha256(self.fingerprint.encode(), chosen.tobytes())
        names = ("labels", "contents", "hashes", "traits", "groups")
        arrays = {
            name: known[chosen] for name in names if (known := getattr(self, name)) is not None
        }
        digests = self.digests and [self.digests[i] for i in chosen]
        inputs = self.inputs.take(chosen)
        return Samples(self.kind, inputs, fingerprint=fingerprint, digests=digests, **arrays)


def joined(parts: Sequence[Samples]) -> Samples:
    """Samples of the same data, one after the other."""

    def together(values: Sequence[NDArray[Any] | None]) -> Any:
        known = [each for each in values if each is not None]
        return np.concatenate(known) if len(known) == len(parts) else None

    digests = [each for part in parts for each in part.digests or ()]
    fingerprints = "\0".join(part.fingerprint for part in parts)
    count = sum(map(len, parts))
    return Samples(
        parts[0].kind,
        Joined(tuple(part.inputs for part in parts), np.arange(count)),
        together([part.labels for part in parts]),
        hashlib.sha256(fingerprints.encode()).hexdigest(),
        contents=together([part.contents for part in parts]),
        hashes=together([part.hashes for part in parts]),
        traits=together([part.traits for part in parts]),
        groups=together([part.groups for part in parts]),
        digests=digests if all(part.digests is not None for part in parts) else None,
    )


@dataclass(frozen=True)
class Pool:
    """All samples of a cross-validation, of which its splits are rows.

    Attributes:
        samples: All of them.
        train: Indices of the training split, ascending.
        val: Indices of the validation split, ascending.
        together: ``(N,)``, equal numbers for samples that are in one fold; ``None`` if no two are,
            or none but those of a group.
    """

    samples: Samples
    train: Indices
    val: Indices
    together: Indices | None = None


@dataclass(frozen=True)
class Applied:
    """What a file of corrections changed.

    Attributes:
        file: Its path.
        sha256: Of its content.
        relabelled: Number of samples with another label.
        dropped: Number of samples that are left out.
        kept: Number of samples whose label was confirmed.
        elsewhere: Number of decisions on samples of splits that are not read, such as ``test``.
    """

    file: str
    sha256: str
    relabelled: int
    dropped: int
    kept: int
    elsewhere: int = 0

    def in_words(self) -> str:
        """The numbers, in one line."""
        rest = f", {self.elsewhere:,} on splits that are not read" if self.elsewhere else ""
        return (
            f"{self.file}: {self.relabelled:,} relabelled, {self.dropped:,} dropped, "
            f"{self.kept:,} kept{rest}"
        )


@dataclass(frozen=True)
class Splits:
    """The splits of a dataset, for training or evaluation.

    Attributes:
        kind: The modality.
        classes: The names of the outputs: class names or target columns.
        train: The training split; empty if an evaluation did not read it.
        val: The validation split; always present for training.
        test: The test split; read only for an evaluation.
        whole: All samples of data without splits; read only for an evaluation.
        fingerprint: A sha256 of ``classes`` and the splits' fingerprints.
        source: What the user gave: a path, ``hf:…``, or ``demo/…``.
        skipped: Unreadable inputs that were left out, one ``path: reason`` each.
        notes: What else was left out or guessed, one note each.
        input_columns: The table columns of the inputs; empty for folders.
        label_columns: The table columns of the labels.
        others: Ignored files among the inputs, without a known extension.
        shared: The inputs of ``val`` and ``test`` that ``train`` has, or had, too.
        near: Their other inputs with a near-duplicate in ``train``; ``None`` if there are too
            many to compare.
        shared_groups: Groups of ``val`` and ``test`` that ``train`` has, or had, too.
        removed: How many such samples were removed from ``train``.
        image_size: The default image size in pixels for networks that take any; ``None`` for
            the network's own.
        epochs: The default number of epochs from scratch; ``None`` for the recipe's.
        flip: Whether a mirrored input still shows its class.
        min_scale: The smallest share of an image's area that still shows its class.
        task: The name of the task; empty without labels.
        pool: All samples of a cross-validation, if the splits are one of its folds.
        corrections: What corrections of the labels changed, if there were any.
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
    shared: tuple[LeakedPair, ...] = ()
    near: tuple[LeakedPair, ...] | None = ()
    shared_groups: tuple[str, ...] = ()
    removed: int = 0
    whole: Samples | None = None
    image_size: int | None = None
    epochs: int | None = None
    flip: bool = True
    min_scale: float = 0.35
    task: str = field(kw_only=True)
    pool: Pool | None = None
    corrections: Applied | None = None

    def to_evaluate(self, *, trained_on: str) -> dict[str, Samples]:
        """The splits to evaluate on: ``val`` and ``test``, or ``all`` for data without splits.

        Args:
            trained_on: The fingerprint of the run's training data. If it matches this data, the
                same samples are held out again, as ``val``.
        """
        if self.whole is not None and self.fingerprint != trained_on:
            return {"all": self.whole}
        named = {"val": self.val, "test": self.test}
        return {name: samples for name, samples in named.items() if samples is not None}


def splits_fingerprint(classes: Sequence[str], *splits: Samples | None) -> str:
    """A sha256 of class names and splits; a missing split counts too."""
    parts = ["" if split is None else split.fingerprint for split in splits]
    return _sha256("\0".join(classes).encode(), *(part.encode() for part in parts))


def content_fingerprint(
    classes: Sequence[str], labels: LabelArray, digests: Sequence[bytes]
) -> str:
    """A sha256 of a split, from the label and the content digest of each sample.

    Single labels enter by class name; multi-hot labels and target values as bytes.
    """
    digest = hashlib.sha256()
    for label, content in zip(labels, digests, strict=True):
        encoded = label.tobytes() if labels.ndim > 1 else classes[label].encode()
        digest.update(encoded + b"\0" + content)
    return digest.hexdigest()


def _sha256(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()
