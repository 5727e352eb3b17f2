"""Hooks of the torchvision plugin. Imports neither torch nor torchvision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zoo import BackboneSpec, Exemption, hookimpl
from zoo_torchvision.rows import library_version, read

EXEMPTIONS = (
    Exemption(
        check="outputs_match_the_native_network",
        reason="torchvision's SqueezeNet has a ReLU between its head and the average pool",
        backbones=("squeezenet*",),
    ),
)


@hookimpl
def zoo_backbones() -> Iterable[BackboneSpec]:
    """Return the backbones of ``catalogue.json``."""
    return read()


@hookimpl
def zoo_library() -> Mapping[str, str]:
    """Return the version of torchvision that the catalogue was generated from."""
    return {"torchvision": library_version()}


@hookimpl
def zoo_exemptions() -> Iterable[Exemption]:
    """Return the checks that some torchvision networks are known to fail; see docs/backbones.md."""
    return EXEMPTIONS


@hookimpl
def zoo_sync() -> Iterable[BackboneSpec]:
    """Regenerate the catalogue from the installed torchvision; builds all networks on the meta device."""
    from zoo_torchvision import catalogue

    return catalogue.rows()
