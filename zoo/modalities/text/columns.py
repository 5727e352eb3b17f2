"""Columns of texts, and two of them for pairs."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.data.sequences import Column, Indices, Inputs, Pairs
from zoo.data.table import Table

# fmt: off
NAMES = (
    "text", "sentence", "review", "content", "comment", "message", "body", "document", "tweet",
    "comment_text", "utterance", "question", "query", "description", "headline", "title", "input", "texts",
)
# fmt: on


def holds_texts(table: Table, column: str) -> bool:
    """Whether a column is one of strings."""
    dtype = str(getattr(table.data.features[column], "dtype", ""))
    return dtype in ("string", "large_string", "string_view")


def texts_in(table: Table, columns: Sequence[str], rows: Indices) -> Inputs:
    """The texts in ``rows`` of a column, or the pairs in those of two."""
    read = [Column(table.data, column, rows, table.title) for column in columns]
    return Pairs(*read) if len(read) == 2 else read[0]
