"""Options for reading labelled data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from zoo.data.reports import BadFiles
from zoo.data.sources.columns import ColumnNames
from zoo.data.sources.dialects import Quoting


class DataOptions(TypedDict, total=False):
    """Keyword arguments of :func:`zoo.recommend` and :func:`zoo.embed`, as for :func:`zoo.finetune`.

    Attributes:
        text_column: Column of inputs, or two for text pairs.
        label_column: Column of labels, or several.
        bad_files: ``error`` or ``skip``: how to treat inputs that cannot be read.
        quoting: Quoting of CSV and TSV tables; ``None`` to detect it.
    """

    text_column: ColumnNames
    label_column: ColumnNames
    bad_files: BadFiles
    quoting: Quoting | None


_DEFAULTS = {"task": "auto", "bad_files": "error", "quoting": "auto"}


def as_flags(options: Mapping[str, object]) -> list[str]:
    """The options as command-line arguments, without those at their defaults."""
    words = list[str]()
    for option, value in options.items():
        for one in value if isinstance(value, (tuple, list)) else (value,):
            if one not in (None, _DEFAULTS.get(option)):
                words += [f"--{option.replace('_', '-')}", str(one)]
    return words
