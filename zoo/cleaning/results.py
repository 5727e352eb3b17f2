"""The results of ``zoo clean``: the labels of all samples, the most doubtful first."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MISLABELLED = "mislabelled"
CONFLICT = "near-duplicate with another label"
OUTLIER = "outlier"
REASONS = (MISLABELLED, CONFLICT, OUTLIER)


@dataclass(frozen=True)
class JudgedLabel:
    """A sample with its label.

    Attributes:
        key: Path of its file below the data's folder, or the number of its row.
        split: Its split; ``all`` for data without splits.
        label: Its label: a class, a list of classes, a number or numbers.
        suggested: The label by the predictions; may be the same.
        quality: How likely the label is right, in [0, 1].
        reasons: Of :data:`REASONS`; empty if nothing is suspicious.
        near: The name of a duplicate or near-duplicate with another label; may be empty.
        place: Its index among all samples.
    """

    key: str
    split: str
    label: Any
    suggested: Any
    quality: float
    reasons: tuple[str, ...]
    near: str
    place: int

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data, without the place."""
        facts = {**vars(self), "reasons": list(self.reasons)}
        del facts["place"]
        return facts


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """Result of :func:`zoo.clean`.

    Attributes:
        output: The folder.
        labels: The table of all labels, in the folder.
        page: The page to look through, in the folder.
        backbone: Canonical name of the backbone whose features were used.
        column: ``file`` or ``row``: what names a sample.
        judged: All samples, the most doubtful label first.
        classes: Names of classes or targets.
        skipped: Unreadable inputs, one ``path: reason`` each.
        notes: What else was ignored or guessed, one fact each.
    """

    output: Path
    labels: Path
    page: Path
    backbone: str
    column: str
    judged: tuple[JudgedLabel, ...] = field(repr=False)
    classes: tuple[str, ...]
    skipped: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of samples by reason."""
        found = Counter(reason for each in self.judged for reason in each.reasons)
        return {reason: found[reason] for reason in REASONS}

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data; of the samples, those that are suspicious."""
        return {
            "output": str(self.output),
            "labels": str(self.labels),
            "page": str(self.page),
            "backbone": self.backbone,
            "samples": len(self.judged),
            "counts": dict(self.counts),
            "suspicious": [
                {self.column: data.pop("key"), **data}
                for data in (each.to_json() for each in self.judged if each.reasons)
            ],
            "classes": list(self.classes),
            "skipped": list(self.skipped),
            "notes": list(self.notes),
        }


def cell(label: Any) -> str:
    """A label as in a CSV: a class name as it is, anything else as JSON."""
    return label if isinstance(label, str) else json.dumps(label, ensure_ascii=False)


def as_csv(column: str, judged: Iterable[JudgedLabel]) -> str:
    """``labels.csv``: a row for each sample, with an empty ``decision``."""
    header = (column, *("split", "label", "suggested", "quality", "reason", "near", "decision"))
    return written([header, *(_row(each) for each in judged)])


def _row(each: JudgedLabel) -> Sequence[str]:
    shown = (cell(each.label), cell(each.suggested), f"{each.quality:.4f}")
    return (each.key, each.split, *shown, "; ".join(each.reasons), each.near, "")


def written(rows: Iterable[Sequence[str]]) -> str:
    """The rows as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
