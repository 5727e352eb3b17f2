"""What the sources ask of a modality: they themselves know none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from zoo.data.examined import Examined, Flags, Hashes
    from zoo.data.reports import Findings
    from zoo.data.sequences import Indices, Inputs, Listed
    from zoo.data.table import Table

BadInput: TypeAlias = tuple[str, str]
"""How reports call an input that cannot be used, and why it cannot."""


@dataclass(frozen=True)
class ReadContext:
    """How inputs of a prediction are to be read.

    Attributes:
        kind: What the run takes.
        pairs: Whether an input is a pair of texts.
        table: Reads those in a table.
        lost: Is given what cannot be used, by its place among the inputs of one thing that was
            given; ``None`` to stop at it.
        findings: Is told of what was left out or guessed.
    """

    kind: InputKind
    pairs: bool
    table: Callable[[Path], Inputs]
    lost: dict[int, BadInput] | None
    findings: Findings


@dataclass(frozen=True)
class DemoData:
    """Data that are embedded, for a first try.

    Attributes:
        source: What they are called: ``demo/digits``.
        classes: All class names.
        make: From the names that are wanted and a seed to inputs, labels and what stands for the
            contents of each.
        image_size: As of :class:`zoo.data.samples.Splits`, and so on.
        epochs: Likewise.
        flip: Likewise.
        min_scale: Likewise.
    """

    source: str
    classes: tuple[str, ...]
    make: Callable[[Sequence[str], int], tuple[Listed, Indices, list[bytes]]]
    image_size: int | None = None
    epochs: int | None = None
    flip: bool = True
    min_scale: float = 0.35


class InputKind(Protocol):
    """What kind of inputs a dataset holds, as the sources see it; a modality is one."""

    @property
    def name(self) -> str:
        """As in ``BackboneSpec.modality``."""

    @property
    def noun(self) -> str:
        """One input, in words: ``image``."""

    @property
    def nouns(self) -> str:
        """Several, in words: ``images``."""

    @property
    def others(self) -> Sequence[InputKind]:
        """The other kinds that there are, to tell what is there instead."""

    @property
    def in_files(self) -> bool:
        """Whether each input may be a file of its own; a folder of them is then a class."""

    @property
    def column_names(self) -> Sequence[str]:
        """What columns of such inputs are called, in lower case; the first that is there counts."""

    @property
    def in_columns(self) -> str:
        """What such a column holds, in words: ``paths of images``."""

    @property
    def most_columns(self) -> int:
        """How many columns may make up one input."""

    def is_file(self, path: str | Path) -> bool:
        """Whether a file of that name holds such an input, or one a line."""

    def holds(self, table: Table, column: str) -> bool:
        """Whether a column may hold such inputs. Where two kinds say so, one ``in_files`` counts."""

    def usable_rows(self, table: Table, column: str, /) -> tuple[Flags, str]:
        """``(N,)``, which rows hold what can be such an input, and what the others lack."""

    def inputs_of(self, table: Table, columns: Sequence[str], rows: Indices) -> Inputs:
        """The inputs in ``rows`` of a table, unread."""

    def examine(self, inputs: Inputs) -> Examined:
        """Read every input once."""

    def near_duplicates(self, train: Hashes, held: Hashes) -> tuple[Flags, Flags]:
        """Which of ``train`` are near-duplicates of one of ``held``, and the other way round."""

    def in_memory(self, given: object) -> bool:
        """Whether something that was given for a prediction is such an input itself."""

    def open_given(self, given: Any, number: int, asked: ReadContext) -> Inputs:
        """What was given for a prediction as number ``number``: an input, or where some lie.

        Raises:
            DataError: It is of another kind, or there is no such file.
        """

    @property
    def demo(self) -> DemoData:
        """The embedded data."""
