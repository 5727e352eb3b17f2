"""Modalities of files: their demo data, read and prepared as in training."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.contract.inputs import InputSpec
from zoo.contract.modalities import ModalitySpec
from zoo.contract.spec import BackboneSpec
from zoo.errors import BadFilesError
from zoo.modalities import modality_named
from zoo.modalities.files.functions import FileFunctions
from zoo.modalities.files.reading import calling, encoded, prepare, read_sample
from zoo.registry.offers import Offer, OfferKind
from zoo.testing.checks.base import NotApplicable

EACH = 2
"""Inputs of each class."""


MODALITY = OfferKind(noun="modality", plural="modalities", hook="zoo_modalities")


def modality_offer(spec: ModalitySpec) -> Offer[ModalitySpec]:
    """A modality as a thing of its plugin."""
    return Offer(kind=MODALITY, bare=spec.name, plugin=spec.plugin, given=spec)


def check_modality(offer: Offer[ModalitySpec], specs: Iterable[BackboneSpec]) -> None:
    """Read and prepare demo data; raises where a network could not be trained on it.

    Args:
        offer: The modality.
        specs: The plugin's backbones; the first of this modality says what a network takes.

    Raises:
        NotApplicable: It is not a modality of files.
    """
    modality = modality_named(offer.value.name)
    if not isinstance(modality, FileFunctions):
        raise NotApplicable(f"{offer} is not a zoo.FileModality")
    inputs = [spec.input for spec in specs if spec.modality == offer.value.name]
    check_files(modality, inputs[0] if inputs else offer.value.load("input")())


def check_files(modality: FileFunctions, given: InputSpec) -> None:
    """Read and prepare the demo data of a modality of files."""
    with calling(modality, "make_demo"):
        made = list(modality.make_demo(0))
    for label in modality.demo_classes:
        of_class = [raw for raw, name in made if name == label]
        assert len(of_class) >= EACH, (
            f"make_demo yields {len(of_class)} {modality.nouns} of {label!r}"
        )
        for place, raw in enumerate(of_class[:EACH]):
            _check(modality, given, raw, f"demo {modality.noun} {label} {place + 1}")
    try:
        read_sample(modality, b"", "an empty file")
    except BadFilesError:
        return
    raise AssertionError(
        "'read' takes an empty file; raise a ValueError that says why it is damaged"
    )


def _check(modality: FileFunctions, given: InputSpec, raw: Any, name: str) -> None:
    stored = encoded(modality, raw)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"input{modality.endings[0]}"
        path.write_bytes(stored)
        prepared = _prepared(modality, given, str(path), name, None)
    again = _prepared(modality, given, stored, name, None)
    assert torch.equal(prepared, again), (
        f"'read' gives other values for a file than for its bytes: {name}"
    )
    for seed in (None, 1):
        first, second = (_prepared(modality, given, stored, name, seed) for _ in range(2))
        assert torch.equal(first, second), (
            f"'prepare' gives other values the second time: {name}; randomness must come from its generator"
        )


def _prepared(
    modality: FileFunctions, given: InputSpec, raw: str | bytes, name: str, seed: int | None
) -> Tensor:
    prepared = prepare(modality, read_sample(modality, raw, name), name, given, seed)
    assert prepared.isfinite().all(), f"'prepare' gives values that are not finite: {name}"
    return prepared
