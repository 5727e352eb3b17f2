"""Transformers' text and image encoders: a catalogue, any other Hub id, any saved folder."""

from __future__ import annotations

from collections.abc import Iterable

from zoo import BackboneSpec, hookimpl
from zoo_transformers.catalogue import encoders
from zoo_transformers.image_catalogue import image_encoders
from zoo_transformers.resolve import resolve


@hookimpl
def zoo_backbones() -> Iterable[BackboneSpec]:
    """The encoders of the catalogue."""
    return [*encoders(), *image_encoders()]


@hookimpl
def zoo_resolve(name: str) -> BackboneSpec | None:
    """``hf/<org>/<name>`` for an id outside the catalogue, ``path:<folder>`` for a local folder."""
    return resolve(name)
