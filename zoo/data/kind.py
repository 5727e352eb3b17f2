"""What the data sources need from a modality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from zoo.data.examined import Examined, Flags, Hashes, Keeps
    from zoo.data.matches import Matches
    from zoo.data.reports import Findings
    from zoo.data.sequences import Indices, Inputs, Listed
    from zoo.data.table import Table

BadInput: TypeAlias = tuple[str, str]
"""The name of an unusable input, and the reason."""


@dataclass(frozen=True)
class ReadContext:
    """How to read the inputs of a prediction.

    Attributes:
        kind: The modality of the run.
        pairs: Whether the run takes text pairs.
        table: Reads the inputs of a table.
        bad: Collects unusable inputs by their index within the file or folder that was given;
            ``None`` to raise an error.
        findings: Collects notes about what was left out or guessed.
    """

    kind: InputKind
    pairs: bool
    table: Callable[[Path], Inputs]
    bad: dict[int, BadInput] | None
    findings: Findings


@dataclass(frozen=True)
class DemoData:
    """Built-in demo data.

    Attributes:
        source: Its name: ``demo/digits``.
        classes: All class names.
        make: From class names and a seed to inputs, labels and the content of each input.
        image_size: See :class:`zoo.data.samples.Splits`, also for the following.
        epochs: The default number of epochs.
        flip: Whether mirrored inputs still show their class.
        min_scale: The smallest crop that still shows the class.
    """

    source: str
    classes: tuple[str, ...]
    make: Callable[[Sequence[str], int], tuple[Listed, Indices, list[bytes]]]
    image_size: int | None = None
    epochs: int | None = None
    flip: bool = True
    min_scale: float = 0.35


class InputKind(Protocol):
    """A modality as the data sources see it."""

    @property
    def name(self) -> str:
        """The name in ``BackboneSpec.modality``."""

    @property
    def noun(self) -> str:
        """The singular noun: ``image``."""

    @property
    def nouns(self) -> str:
        """The plural noun: ``images``."""

    @property
    def others(self) -> Sequence[InputKind]:
        """The other modalities, to recognise their inputs in messages."""

    @property
    def in_files(self) -> bool:
        """Whether each input may be a file, so that a folder of files can be a class."""

    @property
    def column_names(self) -> Sequence[str]:
        """Default names of input columns, in lower case, in order of preference."""

    @property
    def in_columns(self) -> str:
        """What an input column holds, for messages: ``image paths``."""

    @property
    def inputs_in_words(self) -> str:
        """What an input may be in Python, for messages: ``paths, Pillow images, …``."""

    @property
    def most_columns(self) -> int:
        """The most columns that make up one input."""

    def is_file(self, path: str | Path) -> bool:
        """Whether the file extension is that of an input, or of a file with one per line."""

    def holds(self, table: Table, column: str) -> bool:
        """Whether a column may hold such inputs; a modality ``in_files`` takes precedence."""

    def usable_rows(self, table: Table, column: str, /) -> tuple[Flags, str]:
        """Which rows hold a possible input, ``(N,)``, and the reason against the others."""

    def inputs_of(self, table: Table, columns: Sequence[str], rows: Indices) -> Inputs:
        """The inputs in ``rows`` of a table, not yet read."""

    @property
    def examiner(self) -> str:
        """What :meth:`examine` runs, with its version: its results for unchanged files are kept.

        Empty if they must not be kept.
        """

    def examine(self, inputs: Inputs, keep: Keeps | None = None) -> Examined:
        """Read every input once.

        Args:
            inputs: The inputs.
            keep: Takes what they are decoded to.
        """

    def near_matches(self, train: Hashes, held: Hashes) -> Matches | None:
        """The near-duplicates of ``held`` in ``train``; ``None`` if they are too many to compare."""

    def near_sets(self, hashes: Hashes) -> Indices | None:
        """``(N,)``, equal numbers for near-duplicates, and for those that a chain of them connects.

        ``None`` if they are too many to compare.
        """

    def in_memory(self, given: object) -> bool:
        """Whether an object passed for prediction is such an input, rather than a path."""

    def open_given(self, given: Any, number: int, context: ReadContext) -> Inputs:
        """Open the ``number``-th argument of a prediction: an input, or the path of some.

        Raises:
            DataError: It is of another modality, or the file does not exist.
        """

    def example_file(self, raw: Any) -> tuple[str, bytes]:
        """The extension and the content of a file that holds an input in memory."""

    @property
    def demo(self) -> DemoData:
        """The built-in demo data."""
