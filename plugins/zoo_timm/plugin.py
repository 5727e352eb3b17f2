"""The plugin ``timm``: its catalogue is a file beside this module, so nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zoo import BackboneSpec, Exemption, hookimpl
from zoo_timm.hub import resolve
from zoo_timm.rows import CATALOGUE, library_version, read

EXEMPTIONS = (
    Exemption(
        check="stages_run_in_order",
        reason="the normalisations of all its stages lie in one module, which is the last stage",
        backbones=("efficientvim_*",),
    ),
)


@hookimpl
def zoo_backbones() -> Iterable[BackboneSpec]:
    """Every timm architecture that can classify, as measured when the catalogue was made."""
    return read(CATALOGUE)


@hookimpl
def zoo_resolve(name: str) -> BackboneSpec | None:
    """``timm/hf-hub:<org>/<name>``: a repository of the Hub with a config of timm's."""
    return resolve(name)


@hookimpl
def zoo_library() -> Mapping[str, str]:
    """The version of timm that the catalogue was made from."""
    return {"timm": library_version(CATALOGUE)}


@hookimpl
def zoo_exemptions() -> Iterable[Exemption]:
    """What timm's networks are known to do otherwise; see docs/backbones.md."""
    return EXEMPTIONS


@hookimpl
def zoo_sync() -> Iterable[BackboneSpec]:
    """The same for the timm that is installed; builds every architecture, which takes minutes."""
    from zoo_timm.accuracies import with_known_accuracies
    from zoo_timm.catalogue import generate

    return with_known_accuracies(generate(), read(CATALOGUE))
