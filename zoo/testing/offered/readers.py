"""Readers of data, on the examples that they state."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from zoo.contract.readers import PACKAGE, ReaderSpec
from zoo.data.sources.readers import as_dataset
from zoo.registry.offers import Offer
from zoo.testing.checks.base import NotApplicable


def check_reader(offer: Offer[ReaderSpec]) -> None:
    """Read the example twice; raises where it is not a table with data.

    Raises:
        NotApplicable: The reader states no example.
    """
    reader = offer.value
    if not reader.example:
        raise NotApplicable(f"{offer} states no example")
    with _source(reader) as source:
        first, second = (_columns(reader, source) for _ in range(2))
    assert first == second, "it gives other data the second time"


@contextmanager
def _source(reader: ReaderSpec) -> Iterator[Any]:
    """What the reader is called with."""
    if reader.scheme:
        yield reader.example
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"example{reader.suffixes[0]}"
        if reader.example.startswith(PACKAGE):
            package, _, file = reader.example.removeprefix(PACKAGE).partition("/")
            path.write_bytes(resources.files(package).joinpath(file).read_bytes())
        else:
            path.write_text(reader.example, encoding="utf-8")
        yield path


def _columns(reader: ReaderSpec, source: Any) -> dict[str, dict[str, list[Any]]]:
    """Its columns, by split; each has values."""
    given = reader(source)
    tables = given if reader.scheme else {"all": given}
    found = {}
    for split, table in tables.items():
        data, _ = as_dataset(table)
        where = f"{split} of the example {reader.example!r}"
        assert len(data), f"{where}: no rows"
        assert len(data.column_names) > 1, f"{where}: no two columns: {data.column_names}"
        found[split] = {name: list(data[name]) for name in data.column_names}
        for name, values in found[split].items():
            numbers = [value for value in values if isinstance(value, float)]
            assert np.isfinite(numbers).all(), f"{where}: values of {name!r} are not finite"
    return found
