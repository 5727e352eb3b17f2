"""Inputs with their labels: what the readers hand to the engine, and the engine to the loader."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from zoo.contract.spec import Modality

if TYPE_CHECKING:
    import datasets

Indices: TypeAlias = npt.NDArray[np.int64]
LabelArray: TypeAlias = npt.NDArray[Any]
"""Labels of N samples. Single-label: class indices, ``(N,)`` of int64. Multi-label: 1 for the
classes that a sample has and else 0, ``(N, classes)`` of float32. Regression: the numbers in the
user's units, ``(N, targets)`` of float32."""

Picture: TypeAlias = "str | bytes | Image.Image"
"""The path of a picture, its encoded bytes, or the picture."""

Pair: TypeAlias = tuple[str, str]
"""Two texts that are one input."""

Raw: TypeAlias = "Picture | Pair"
"""One input as it is kept: a picture, a text, or a pair of texts."""


class Inputs(Protocol):
    """A sequence of inputs that costs little to select from and to send to a worker process."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Raw: ...

    def name(self, index: int) -> str:
        """How reports call the input: a path, or the number of a row."""
        ...

    def take(self, indices: Indices) -> Inputs: ...


@dataclass(frozen=True)
class Listed:
    """Inputs in memory, each with its name."""

    items: tuple[Raw, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Raw:
        return self.items[index]

    def name(self, index: int) -> str:
        return self.names[index]

    def take(self, indices: Indices) -> Listed:
        return Listed(tuple(self.items[i] for i in indices), tuple(self.names[i] for i in indices))


@dataclass(frozen=True)
class Paths:
    """Files under one folder, as one array of bytes: a hundred thousand paths take some 10 MB.

    Python strings would be copied page by page into every worker process, because reading one
    changes its reference count.
    """

    folder: str
    relative: npt.NDArray[np.bytes_]

    @classmethod
    def under(cls, folder: str | os.PathLike[str], relative: Sequence[str]) -> Paths:
        encoded = [os.fsencode(path) for path in relative]
        return cls(os.fspath(folder), np.array(encoded, dtype=np.bytes_))

    def __len__(self) -> int:
        return len(self.relative)

    def __getitem__(self, index: int) -> str:
        return os.path.join(self.folder, os.fsdecode(bytes(self.relative[index])))

    def name(self, index: int) -> str:
        return self[index]

    def take(self, indices: Indices) -> Paths:
        return Paths(self.folder, self.relative[indices])


@dataclass(frozen=True)
class Renamed:
    """Inputs whose names begin otherwise.

    Attributes:
        inputs: The inputs.
        folders: What names begin with, and what stands in its place; the first that fits counts.
    """

    inputs: Inputs
    folders: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> Raw:
        return self.inputs[index]

    def name(self, index: int) -> str:
        name = self.inputs.name(index)
        for before, after in self.folders:
            if name.startswith(f"{before}{os.sep}"):
                return os.path.join(after, name[len(before) + 1 :])
        return name

    def take(self, indices: Indices) -> Renamed:
        return replace(self, inputs=self.inputs.take(indices))


@dataclass(frozen=True)
class Column:
    """A column of a memory-mapped table; pickles as the path of its Arrow file.

    ``title`` is how reports call the table; rows are counted from 1, without the header.
    """

    table: datasets.Dataset
    column: str
    rows: Indices
    title: str

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Raw:
        value: Any = self.table.data.column(self.column)[int(self.rows[index])].as_py()
        if isinstance(value, dict):  # the Arrow form of a picture: its bytes, or where it lies
            value = value.get("bytes") or value.get("path")
        raw: Raw = value
        return raw

    def name(self, index: int) -> str:
        return f"{self.title} row {int(self.rows[index]) + 1}"

    def take(self, indices: Indices) -> Column:
        return replace(self, rows=self.rows[indices])


@dataclass(frozen=True)
class Pairs:
    """Two columns of texts, row by row; a pair is called as its first text."""

    first: Column
    second: Column

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, index: int) -> Pair:
        return str(self.first[index]), str(self.second[index])

    def name(self, index: int) -> str:
        return self.first.name(index)

    def take(self, indices: Indices) -> Pairs:
        return Pairs(self.first.take(indices), self.second.take(indices))


@dataclass(frozen=True)
class Samples:
    """One split of the data.

    Attributes:
        modality: ``image`` or ``text``.
        inputs: The inputs, unread.
        labels: As the task has them; ``None`` where there is nothing to compare with.
        fingerprint: sha256 over the inputs' contents and labels, in order; the same for a
            copy of the data elsewhere. Empty where the contents have not been looked at.
        contents: ``(N,)``, a number for what each input holds, the same for the same contents;
            ``None`` where they have not been looked at.
        looks: ``(N, 4)``, what each picture looks like (:mod:`zoo.modalities.image.perceptual_hash`); ``None`` likewise.
        traits: ``(N,)``, what else each is like (:mod:`zoo.modalities.image.traits`); ``None`` likewise.
    """

    modality: Modality
    inputs: Inputs
    labels: LabelArray | None = None
    fingerprint: str = ""
    contents: npt.NDArray[np.uint64] | None = None
    looks: npt.NDArray[np.uint64] | None = None
    traits: npt.NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def raw(self, index: int) -> Raw:
        """The input as it is kept: text, pair, or a picture's path, encoded bytes or pixels."""
        return self.inputs[index]

    def picture(self, index: int) -> Picture:
        """The input where inputs are pictures."""
        raw = self.inputs[index]
        assert not isinstance(raw, tuple)
        return raw

    def texts(self, index: int) -> tuple[str, ...]:
        """The one text of an input, or the two of a pair."""
        raw = self.inputs[index]
        return raw if isinstance(raw, tuple) else (str(raw),)

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
        labels, contents, looks, traits = (
            None if known is None else known[chosen]
            for known in (self.labels, self.contents, self.looks, self.traits)
        )
        inputs = self.inputs.take(chosen)
        return Samples(self.modality, inputs, labels, fingerprint, contents, looks, traits)


@dataclass(frozen=True)
class Splits:
    """What a fine-tune or an evaluation works on.

    Attributes:
        modality: ``image`` or ``text``.
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
        others: Files among the pictures that are not called like pictures, and were passed over.
        shared: The inputs of ``val`` and ``test`` whose contents ``train`` has too, or had.
        near: The other pictures of them that look like one in ``train``; ``None`` where there are
            too many to compare.
        removed: How many samples ``train`` lacks because of them.
        image_size: The size in pixels that the pictures ask for where the network leaves it
            open; ``None`` where the network's own is right.
        epochs: Passes that suffice where a network starts from random parameters; ``None`` where
            that is not known.
        flip: Whether a mirrored picture still shows its class.
        min_scale: The smallest share of a picture's area that still shows its class.
        task: The name of what the labels are; empty where there are none.
    """

    modality: Modality
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
