"""Hooks for Transformers' text and image encoders: a catalogue, any Hub id, any local folder."""

from __future__ import annotations

from collections.abc import Iterable

from zoo import BackboneSpec, hookimpl
from zoo_transformers.catalogue import encoders
from zoo_transformers.image_catalogue import image_encoders
from zoo_transformers.resolve import resolve


@hookimpl
def zoo_backbones() -> Iterable[BackboneSpec]:
    """Return the text and image encoders of the catalogues."""
    return [*encoders(), *image_encoders()]


@hookimpl
def zoo_resolve(name: str) -> BackboneSpec | None:
    """Return the spec of ``hf/<org>/<name>`` on the Hub or of a local folder, ``path:<folder>``."""
    return resolve(name)
