"""Groups of samples, such as the patient that an image is of, which no split may divide."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zoo.data.group_source import COLUMN, GroupSource
from zoo.data.labels import Part
from zoo.data.reports import Findings
from zoo.data.sequences import Indices
from zoo.data.sources.columns import Columns, path_column
from zoo.data.sources.tables import read_table
from zoo.errors import DataError, UsageError, did_you_mean

if TYPE_CHECKING:
    from zoo.data.kind import InputKind
    from zoo.data.table import Table

Groups: TypeAlias = NDArray[np.str_]
"""``(N,)``: the name of each sample's group."""

_PARTS = 20
"""A validation share is approximated by so many parts at most."""


def grouped(
    part: Part, source: GroupSource, kind: InputKind, findings: Findings, *, below: str
) -> Part:
    """``part`` with the group of each sample; those without one are reported and left out.

    Args:
        part: A split.
        source: Where groups are found.
        kind: The modality.
        findings: Collects samples without a group.
        below: The folder of the data, to which paths are relative.

    Raises:
        UsageError: The data is not of the kind that the options are for.
        DataError: A column is missing, or no sample has a group.
    """
    if not source:
        return part
    names, lacking = _names(part, source, kind, below)
    if names and not any(names):
        raise DataError(
            f"{source.typed}: none of the {len(names):,} {kind.nouns} has a group, such as "
            f"{part.inputs.name(0)}: {lacking}",
            hint="Compare the paths or cells with the option, or train without groups.",
        )
    for index in (lost := [i for i, name in enumerate(names) if not name]):
        findings.add(part.inputs.name(index), lacking)
    part = replace(part, groups=np.array(names, dtype=np.str_))
    return part.take(np.array([i for i, name in enumerate(names) if name])) if lost else part


def known_groups(part: Part, source: GroupSource, kind: InputKind, *, below: str) -> Part:
    """``part`` with the groups that training had, if all of its samples have one."""
    findings = Findings("skip")
    try:
        found = grouped(part, source, kind, findings, below=below)
    except (DataError, UsageError):
        return part
    return part if findings.found else found


def _names(part: Part, source: GroupSource, kind: InputKind, below: str) -> tuple[list[str], str]:
    """The groups by sample, empty where there is none; and the reason in words."""
    if source.table:
        by_path = _by_path(source, kind)
        names = [_of_file(part.inputs.name(i), by_path) for i in range(len(part.inputs))]
        return names, f"its path is not in {source.table}, or has no group there"
    if source.pattern:
        if not kind.in_files:
            raise UsageError(
                f"--group-pattern is for paths of files, and the model takes {kind.nouns}",
                hint="Use --group-column with a table.",
            )
        paths = [_relative(part.inputs.name(i), below) for i in range(len(part.inputs))]
        found = [source.regex.search(path) for path in paths]
        names = [(match.group(1) or "") if match else "" for match in found]
        return names, f"its path does not match --group-pattern '{source.pattern}'"
    assert source.column is not None
    if part.table is None or part.rows is None:
        raise UsageError(
            f"--group-column {source.column} is for tables, and {part.where} has none",
            hint="For files in folders use --group-pattern, or add --group-table FILE.",
        )
    values = _column(part.table, source.column)
    return [values[row] for row in part.rows], f"nothing in column {source.column!r}"


def _column(table: Table, column: str) -> list[str]:
    names = [str(name) for name in table.data.column_names]
    if column not in names:
        raise DataError(
            f"{table.title} has no column {column!r}; its columns: "
            f"{', '.join(map(repr, names[:20]))}.{did_you_mean(column, names)}",
            hint="Name one of them with --group-column.",
        )
    return [_plain(value) for value in table.data.data.column(column).to_pylist()]


def _plain(value: Any) -> str:
    """A cell as text; ``1.0`` as ``1``, which a missing cell elsewhere in the column makes of it."""
    if value is None or value != value:
        return ""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value).strip()


def _by_path(source: GroupSource, kind: InputKind) -> Mapping[str, str]:
    """The groups in ``--group-table`` by path."""
    assert source.table is not None
    path = Path(os.path.expanduser(source.table))
    if not path.is_file():
        raise DataError(
            f"there is no file {source.table}", hint="Give --group-table the path of a table."
        )
    table = read_table(path, "auto")
    groups = _column(table, source.column or COLUMN)
    rest = [name for name in table.data.column_names if name != (source.column or COLUMN)]
    chosen = path_column(table, kind, Columns()) or (rest[0] if rest else None)
    if chosen is None:
        raise DataError(
            f"{source.table} has no column of paths",
            hint="Use one column of paths and one of groups.",
        )
    return dict(zip(_column(table, chosen), groups, strict=True))


def _of_file(name: str, by_path: Mapping[str, str]) -> str:
    """The group of the longest end of a path that is in the table."""
    parts = Path(name).parts
    ends = (str(Path(*parts[start:])) for start in range(len(parts)))
    return next((by_path[end] for end in ends if end in by_path), "")


def _relative(name: str, below: str) -> str:
    root = os.path.join(os.path.expanduser(below), "")
    return name.removeprefix(root)


def require_groups(groups: Groups | None, *, typed: str, least: int = 2, need: str = "") -> None:
    """Raise a :class:`DataError` if there are fewer than ``least`` groups.

    Args:
        groups: By sample.
        typed: The option that names them.
        least: How many are needed.
        need: What needs them.
    """
    if groups is None or (count := len(np.unique(groups))) >= least:
        return
    if count == 1:
        raise DataError(
            f"{typed}: all {len(groups):,} samples are in one group, {str(groups[0])!r}",
            hint="Name another column or pattern, or train without groups.",
        )
    raise DataError(
        f"{need or typed} needs at least {least} groups, and there are {count}",
        hint=f"Use at most --folds {count}, or train without groups.",
    )


def group_split(
    strata: Indices | None, groups: Groups, share: float, seed: int
) -> tuple[Indices, Indices]:
    """Training and validation indices, each ascending; no group is on both sides.

    By scikit-learn's ``StratifiedGroupKFold``: of as many parts as the share needs, at most
    :data:`_PARTS`, so that the share is an approximate one. A class that would have no training
    sample keeps its groups in training.

    Args:
        strata: ``(N,)``, classes to stratify by, if there are any.
        groups: ``(N,)``, at least two.
        share: The validation share, in (0, 1).
        seed: Determines the draw.
    """
    most = min(len(np.unique(groups)), _PARTS)
    wanted = Fraction(share).limit_denominator(most)
    parts = max(2, wanted.denominator)
    taken = min(max(wanted.numerator, 1), parts - 1)
    held = np.zeros(len(groups), dtype=bool)
    for indices in parts_of(strata, groups, parts, seed, len(groups))[:taken]:
        held[indices] = True
    if strata is not None:
        for stratum in np.setdiff1d(strata[held], strata[~held]):
            held &= ~np.isin(groups, groups[strata == stratum])
    return np.flatnonzero(~held), np.flatnonzero(held)


def parts_of(
    strata: Indices | None, groups: NDArray[Any] | None, count: int, seed: int, total: int
) -> list[Indices]:
    """The samples in ``count`` parts of similar size, each ascending, by scikit-learn.

    Args:
        strata: ``(N,)``, to stratify by; ``None`` for parts at random.
        groups: ``(N,)``; no group is in two parts.
        count: Number of parts.
        seed: Determines the draw.
        total: Number of samples.
    """
    import warnings

    from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold

    classes = np.zeros(total, dtype=np.int64) if strata is None else strata
    maker = KFold if groups is None and strata is None else StratifiedKFold
    maker = StratifiedGroupKFold if groups is not None else maker
    splitter = maker(n_splits=count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class with fewer samples than parts is in some of them
        return [held for _, held in splitter.split(classes, classes, groups)]
