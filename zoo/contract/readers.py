"""The table of data readers: zoo's own, and those that plugins add. No torch.

A row refers to its function by ``module:attribute``, which is imported when data is read.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from zoo.contract.references import reference_to
from zoo.errors import ContractError

PACKAGE = "package:"
"""Begins the name of a file in an installed package."""

_SUFFIX = re.compile(r"\.[a-z0-9_-]+")
_SCHEME = re.compile(r"[a-z][a-z0-9+-]+")


@dataclass(frozen=True, kw_only=True)
class ReaderSpec:
    """A data format: files with a suffix, or sources with a scheme.

    Attributes:
        name: Its name in messages.
        read: A function, or its ``module:attribute``. For files: from a path to a table, as a
            pandas DataFrame, a mapping from column names to lists, a list of rows, or a
            ``datasets.Dataset``; or such a table with a note for the user. For a scheme: from the
            whole source, such as ``acme:reviews``, to tables by split: ``train``, ``val``, ``test``
            or, without splits, ``all``.
        suffixes: File suffixes in lower case, with the dot.
        scheme: Prefix of sources, without the colon.
        options: Keyword arguments that ``read`` accepts: ``quoting``.
        example: What ``zoo check`` reads: the text of a small file, a file in an installed package
            (``package:acme_zoo/example.acme``), or a source with the scheme.
        plugin: The plugin that adds it; set by the registry, empty for zoo's own.

    Raises:
        ContractError: A value is not valid.
    """

    name: str
    read: str | Callable[..., Any]
    suffixes: tuple[str, ...] = ()
    scheme: str = ""
    options: tuple[str, ...] = ()
    example: str = ""
    plugin: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "read", reference_to(self.read))
        object.__setattr__(self, "suffixes", tuple(self.suffixes))
        object.__setattr__(self, "options", tuple(self.options))
        wrong = [text for text in self.suffixes if not _SUFFIX.fullmatch(text)]
        if self.scheme and not _SCHEME.fullmatch(self.scheme):
            wrong.append(self.scheme)
        if wrong or bool(self.suffixes) == bool(self.scheme):
            raise ContractError(
                f"the reader {self.name!r} is not valid: "
                f"{wrong[0] if wrong else 'it needs either suffixes or a scheme'!r}",
                hint="Write suffixes=('.acme',) in lower case, or scheme='acme'.",
            )

    @property
    def keys(self) -> tuple[str, ...]:
        """Its suffixes, or its scheme with the colon."""
        return self.suffixes or (f"{self.scheme}:",)

    def __call__(self, source: Any, **options: Any) -> Any:
        """Read a path, or a source with the scheme; unsupported ``options`` are ignored."""
        module, _, attribute = str(self.read).partition(":")
        function = getattr(importlib.import_module(module), attribute)
        return function(source, **{k: v for k, v in options.items() if k in self.options})


_TABLES = "zoo.data.sources.tables:"

BUILT_IN = (
    ReaderSpec(
        name="delimited",
        read=_TABLES + "read_delimited",
        suffixes=(".csv", ".tsv", ".tab"),
        options=("quoting",),
    ),
    ReaderSpec(name="json", read=_TABLES + "read_json", suffixes=(".jsonl", ".ndjson", ".json")),
    ReaderSpec(name="parquet", read=_TABLES + "read_parquet", suffixes=(".parquet", ".pq")),
    ReaderSpec(name="hub", read="zoo.data.sources.hub:read_hub", scheme="hf"),
)
"""zoo's own readers."""

_known: dict[str, ReaderSpec] = {key: each for each in BUILT_IN for key in each.keys}


def register_reader(reader: ReaderSpec) -> ReaderSpec:
    """Add a reader to the table, and return the one that is registered for its suffixes or scheme.

    If two plugins register the same suffix or scheme, the first one keeps it.
    """
    taken = [_known[key] for key in reader.keys if key in _known]
    for each in taken:
        if (each.plugin, each.name) != (reader.plugin, reader.name):
            return each
    _known.update(dict.fromkeys(reader.keys, reader))
    return reader


def withdraw_readers(plugin: str) -> None:
    """Remove the readers of a plugin."""
    for key in [key for key, each in _known.items() if each.plugin and each.plugin == plugin]:
        del _known[key]


def registered_readers() -> Mapping[str, ReaderSpec]:
    """The table, by suffix (``.csv``) and scheme (``hf:``); includes plugins once discovered."""
    return MappingProxyType(_known)
