"""Hooks of the timm plugin. The catalogue is a file, so neither torch nor timm is imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zoo import BackboneSpec, Exemption, OptimizerSpec, hookimpl
from zoo_timm.hub import resolve
from zoo_timm.optimizers import NAMES
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
    """Return all classification architectures of timm, from the generated catalogue."""
    return read(CATALOGUE)


@hookimpl
def zoo_resolve(name: str) -> BackboneSpec | None:
    """Return the spec of ``timm/hf-hub:<org>/<name>``, a Hub repository with a timm config."""
    return resolve(name)


@hookimpl
def zoo_optimizers() -> Mapping[str, OptimizerSpec]:
    """timm's optimisers; torch's of the same names are used unless ``timm/NAME`` is asked for."""
    return {
        name: OptimizerSpec(make="zoo_timm.optimizers:make", options={"name": name})
        for name in NAMES
    }


@hookimpl
def zoo_library() -> Mapping[str, str]:
    """Return the version of timm that the catalogue was generated from."""
    return {"timm": library_version(CATALOGUE)}


@hookimpl
def zoo_exemptions() -> Iterable[Exemption]:
    """Return the checks that some timm networks are known to fail; see docs/backbones.md."""
    return EXEMPTIONS


@hookimpl
def zoo_sync() -> Iterable[BackboneSpec]:
    """Regenerate the catalogue from the installed timm, which takes minutes."""
    from zoo_timm.accuracies import with_known_accuracies
    from zoo_timm.catalogue import generate

    return with_known_accuracies(generate(), read(CATALOGUE))
