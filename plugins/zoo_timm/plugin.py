"""The plugin ``timm``: its catalogue is a file beside this module, so nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Iterable

from zoo import BackboneSpec, hookimpl
from zoo_timm.rows import CATALOGUE, read


@hookimpl
def zoo_backbones() -> Iterable[BackboneSpec]:
    """Every timm architecture that can classify, as measured when the catalogue was made."""
    return read(CATALOGUE)


@hookimpl
def zoo_sync() -> Iterable[BackboneSpec]:
    """The same for the timm that is installed; builds every architecture, which takes minutes."""
    from zoo_timm.catalogue import generate

    return generate()
