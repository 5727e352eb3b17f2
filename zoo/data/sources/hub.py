"""Datasets of the Hugging Face Hub, as ``hf:<name>`` or ``hf:<name>:<configuration>``."""

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

    A dataset that an earlier run has fetched is read from the cache when the Hub is out of reach.

    Raises:
        DataError: There is no such dataset, or it is not here and the Hub is out of reach, or
            none of its splits is one of the three.
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
            f"its splits: {', '.join(map(str, loaded))}"
        )
    return tables


def _load(name: str, config: str | None) -> datasets.DatasetDict:
    import datasets

    within_reach = hub_reachable()
    try:
        with quiet(), contextlib.nullcontext() if within_reach else _offline():
            return datasets.load_dataset(name, config)
    # The Hub's client, the readers and the network stack each have errors of their own.
    except Exception as error:
        if not within_reach:
            raise DataError(
                f"the dataset {name!r} is not on this machine and the Hugging Face Hub is out "
                "of reach",
                hint="Check the network, or give a folder or a table with --data PATH.",
            ) from error
        hint = "Names are hf:<name> or hf:<owner>/<name>, with :<configuration> if it has any."
        doing = f"reading the dataset {name!r} of the Hugging Face Hub"
        message, hint = hub_error_in_words(error, name, doing=doing, hint=hint)
        raise DataError(message, hint=hint) from error


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Let ``datasets`` look into its cache alone; its client would try for most of a minute."""
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
