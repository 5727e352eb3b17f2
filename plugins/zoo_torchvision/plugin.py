"""The hooks of the torchvision plugin; imports neither torch nor torchvision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zoo import BackboneSpec, Exemption, hookimpl
from zoo_torchvision.rows import library_version, read

EXEMPTIONS = (
    Exemption(
        check="features_are_what_the_head_reads",
        reason="torchvision's SqueezeNet has a ReLU between its head and the average",
        backbones=("squeezenet*",),
    ),
)


@hookimpl
def zoo_backbones() -> Iterable[BackboneSpec]:
    """The rows of ``catalogue.json``, which was made from the torchvision that it names."""
    return read()


@hookimpl
def zoo_library() -> Mapping[str, str]:
    """The version of torchvision that the catalogue was made from."""
    return {"torchvision": library_version()}


@hookimpl
def zoo_exemptions() -> Iterable[Exemption]:
    """What torchvision's networks are known to do otherwise; see docs/backbones.md."""
    return EXEMPTIONS


@hookimpl
def zoo_sync() -> Iterable[BackboneSpec]:
    """The rows made again from the installed torchvision, with every network on the meta device."""
    from zoo_torchvision import catalogue

    return catalogue.rows()
