"""Hugging Face Hub datasets: ``hf:<name>`` or ``hf:<name>:<configuration>``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.data.sources.split_names import split_of
from zoo.data.sources.tables import quiet
from zoo.data.table import Table
from zoo.errors import DataError
from zoo.system.hub import hub_error_in_words
from zoo.system.network import hub_reachable

if TYPE_CHECKING:
    import datasets

PREFIX = "hf:"


def read_hub(source: str) -> dict[str, Table]:
    """The tables of a Hub dataset by split: ``train``, ``val``, ``test``.

    If the Hub cannot be reached, the dataset is read from the cache.

    Raises:
        DataError: The dataset does not exist, is neither cached nor reachable, or has none of
            these splits.
    """
    name, _, config = source.removeprefix(PREFIX).partition(":")
    loaded = _load(name, config or None)
    tables: dict[str, Table] = {}
    for key, data in loaded.items():
        split = split_of(str(key))
        if split and split not in tables and len(data):
            tables[split] = Table(data, f"{source} {key}", Path())
    if not tables:
        raise DataError(
            f"{source} has no split called train, validation or test; "
            f"its splits: {', '.join(map(str, loaded))}",
            hint="Save the split you want as a Parquet file, and use that: --data FILE.parquet",
        )
    return tables


def _load(name: str, config: str | None) -> datasets.DatasetDict:
    import datasets

    within_reach = hub_reachable()
    try:
        with quiet(), contextlib.nullcontext() if within_reach else _offline():
            return datasets.load_dataset(name, config)
    # The Hub client, the readers and the network stack each raise their own errors.
    except Exception as error:
        if not within_reach:
            raise DataError(
                f"the dataset {name!r} is not cached and the Hugging Face Hub cannot be reached",
                hint="Check the network, or use a folder or table with --data PATH.",
            ) from error
        hint = "Use hf:<name> or hf:<owner>/<name>, followed by :<configuration> if it has any."
        doing = f"reading the dataset {name!r} of the Hugging Face Hub"
        message, hint = hub_error_in_words(error, name, doing=doing, hint=hint)
        raise DataError(message, hint=hint) from error


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Restrict ``datasets`` to its cache; the client would retry for most of a minute."""
    import datasets.config
    import huggingface_hub.constants

    holders: tuple[Any, ...] = (datasets.config, huggingface_hub.constants)
    before = [holder.HF_HUB_OFFLINE for holder in holders]
    for holder in holders:
        holder.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for holder, value in zip(holders, before, strict=True):
            holder.HF_HUB_OFFLINE = value
