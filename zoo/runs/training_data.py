"""The training data of a run, as its ``run.json`` describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from zoo.data.group_source import NO_GROUPS, GroupSource
from zoo.data.sources.columns import Columns
from zoo.data.sources.dialects import QUOTINGS, Quoting
from zoo.data.splitting import check_share


@dataclass(frozen=True)
class TrainingData:
    """Facts of the training data that an evaluation needs.

    Attributes:
        columns: Columns that the user named, and as learned ones those that were read.
        val_split: Fraction held out for validation.
        seed: Random seed of that split.
        fingerprint: Fingerprint of the data.
        test_split: Fraction set aside before that.
        val: Fingerprint of the validation samples.
        groups: Where the group of a sample was found.
    """

    columns: Columns
    val_split: float
    seed: int
    fingerprint: str
    val: str
    groups: GroupSource = NO_GROUPS
    test_split: float = 0.0

    @property
    def learned(self) -> Columns:
        """The columns that were read; none for folders."""
        columns = self.columns
        return Columns(columns.learned_inputs, columns.learned_labels, quoting=columns.quoting)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """From ``data`` of ``run.json``.

        Raises:
            LookupError, TypeError, ValueError, ZooError: It is damaged.
        """
        read = data["columns"]
        found = Columns.named(_names(read["inputs"]), _names(read["labels"]))
        named = Columns.named(data["text_column"], data["label_column"], _quoting(data["quoting"]))
        columns = named.learned(found)
        share = float(data["val_split"])
        check_share(share)
        if not all(isinstance(name, str) for name in (*columns.inputs, *columns.labels)):
            raise TypeError("'columns' must be a list of strings")
        return cls(
            columns,
            val_split=share,
            seed=int(data["split_seed"]),
            fingerprint=str(data["fingerprint"]),
            val=str(data["val_fingerprint"]),
            groups=_groups(data.get("groups")),
            test_split=_share(data.get("test_split", 0.0)),
        )


def _names(given: Any) -> list[str]:
    """Column names as in ``run.json``."""
    if not (isinstance(given, list) and all(type(n) is str for n in given)):
        raise TypeError("'columns' must be a list of strings")
    return given


def _share(given: Any) -> float:
    if type(given) is not float or not 0 <= given < 1:
        raise ValueError(f"'test_split' must not be {given!r}")
    return given


def _groups(given: Any) -> GroupSource:
    """Where groups were found, as in ``run.json``."""
    if given is None:
        return NO_GROUPS
    named = [given.get(name) for name in ("column", "pattern", "table")]
    if not all(name is None or isinstance(name, str) for name in named):
        raise TypeError("'groups' must name a column, a pattern or a table")
    return GroupSource(*named)


def _quoting(given: Any) -> Quoting:
    """Quoting of tables as in ``run.json``."""
    if given not in QUOTINGS:
        raise ValueError(f"'quoting' must not be {given!r}")
    found: Quoting = given
    return found
