"""Default implementations, which most modalities share. Imports torch only inside functions."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo.contract.spec import BackboneSpec

if TYPE_CHECKING:
    from zoo.data.examined import Flags, Hashes
    from zoo.data.kind import InputKind
    from zoo.data.matches import Matches
    from zoo.data.samples import Samples, Splits
    from zoo.data.sequences import Indices, Inputs
    from zoo.data.table import Table
    from zoo.modalities.attribution import Attribution


PRETRAINED: Mapping[str, Any] = {
    "epochs": 5,
    "probe_epochs": 20,
    "lr": 1e-4,
    "probe_lr": 2e-3,
    "layer_decay": 0.75,
    "weight_decay": 0.05,
}
"""Hyperparameters for files where training starts from weights."""

SCRATCH: Mapping[str, Any] = {
    "epochs": 10,
    "probe_epochs": 20,
    "lr": 1e-3,
    "probe_lr": 2e-3,
    "layer_decay": 1.0,
    "base_width": 256,
    "weight_decay": 0.05,
}
"""The same where it starts from random parameters."""


class Defaults:
    """Inputs that are neither truncated nor scaled, and have no near-duplicates."""

    name: str

    @property
    def others(self) -> Sequence[InputKind]:
        """The other modalities."""
        from zoo.modalities import known_modalities

        return tuple(each for each in known_modalities() if each.name != self.name)

    def side(self, spec: BackboneSpec) -> int:
        """0: only images have a side."""
        return 0

    def normaliser(self, spec: BackboneSpec) -> Any:
        """``None``: prepared inputs need no normalisation."""

    def with_tokenizer(
        self, spec: BackboneSpec, train: Samples, found: Any
    ) -> tuple[BackboneSpec, Any]:
        """There is none."""
        return spec, None

    def require_fit(self, train: Samples, tokenizer: Any) -> None:
        """There is no tokenizer to fit."""

    def input_facts(
        self, spec: BackboneSpec, splits: Splits, asked: Mapping[str, Any]
    ) -> dict[str, str]:
        """Nothing."""
        return {}

    def input_record(
        self, spec: BackboneSpec, splits: Splits, asked: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Empty: the spec's input is a complete description."""
        return {}

    def reading(self, spec: BackboneSpec, data: Mapping[str, Any]) -> Any:
        """``None``: inputs are read completely."""

    def test_views(self, spec: BackboneSpec, data: Mapping[str, Any]) -> Sequence[Any]:
        """None."""
        return ()

    def truncation_note(
        self, cut: int, count: int, spec: BackboneSpec, *, trained: bool = False, command: str = ""
    ) -> str:
        """Inputs are not truncated."""
        return ""

    def decoding(self, spec: BackboneSpec, *, train: bool) -> Any:
        """Inputs are decoded in each epoch."""

    def placing(self, spec: BackboneSpec) -> Any:
        """Batches are made on the host."""

    def decodings(
        self, spec: BackboneSpec, asked: Mapping[str, Any], *, pretrained: bool
    ) -> Sequence[Any]:
        """None."""
        return ()

    @property
    def examiner(self) -> str:
        """Empty: the results of reading inputs are not cached."""
        return ""

    def near_matches(self, train: Hashes, held: Hashes) -> Matches | None:
        """Those with equal hashes."""
        from zoo.data.matches import equal_hashes

        return equal_hashes(train, held)

    def near_sets(self, hashes: Hashes) -> Indices | None:
        """Those with equal hashes."""
        from zoo.data.matches import sets_of_equal_hashes

        return sets_of_equal_hashes(hashes)


class DefaultsOfFiles(Defaults):
    """The same for inputs that are files."""

    def predict_command(self, folder: str, example: Any) -> str:
        """``zoo predict RUN FILE``."""
        return f"zoo predict {folder} {shlex.quote(str(example))}"

    def plainly(self, shown: str | tuple[str, ...]) -> Attribution:
        """Its path."""
        from zoo.modalities.attribution import Attribution

        return Attribution(str(shown))

    def usable_rows(self, table: Table, column: str, /) -> tuple[Flags, str]:
        """Which rows hold an input, or what can be the path of a file."""
        from zoo.data.sources.file_columns import possible_paths

        return possible_paths(table, column), f"no valid file path in column {column!r}"

    def inputs_of(self, table: Table, columns: Sequence[str], rows: Indices) -> Inputs:
        """The files in a column, or their paths."""
        from zoo.data.sources.file_columns import files_in

        return files_in(table, columns, rows)
