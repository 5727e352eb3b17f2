"""The ``adapter`` of ``run.json``: which adapter a run holds, and the base that it fits. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.contract.adapters import AdapterOptions
from zoo.contract.inputs import JsonData

MODEL, ADAPTER_FILE = "model.safetensors", "adapter.safetensors"


@dataclass(frozen=True, kw_only=True)
class AdapterBase(JsonData):
    """The weights that an adapter fits.

    Attributes:
        backbone: Canonical name of the backbone.
        weights: Tag of its weights; of a run, the run's name or ``run``.
        sha256: All 64 digits of the weights file.
        file: Path of the file on the machine that trained the adapter; empty for published
            weights, which are found by name and tag.
    """

    backbone: str
    weights: str
    sha256: str
    file: str = ""


@dataclass(frozen=True, kw_only=True)
class SavedAdapter(JsonData):
    """An adapter in a run folder.

    Attributes:
        kind: ``lora``, ``bias``, … or a plugin's ``plugin/name``.
        options: Its options.
        layers: Paths of the layers that it adapts, in the network without its head.
        base: What it fits.
    """

    kind: str
    options: AdapterOptions
    layers: tuple[str, ...]
    base: AdapterBase


def adapter_of(record: Mapping[str, Any]) -> SavedAdapter | None:
    """The adapter in a ``run.json``; ``None`` in one of a whole network.

    Raises:
        ContractError: It is not valid.
    """
    data = record.get("adapter")
    return None if data is None else SavedAdapter.from_json(data)


def weights_file(folder: Path, record: Mapping[str, Any]) -> Path:
    """The file of a run with the trained tensors: ``model.safetensors`` or ``adapter.safetensors``."""
    return folder / (MODEL if record.get("adapter") is None else ADAPTER_FILE)
