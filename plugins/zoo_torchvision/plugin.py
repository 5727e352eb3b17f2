"""The hooks of the torchvision plugin; imports neither torch nor torchvision."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from zoo import BackboneSpec, Exemption, hookimpl

CATALOGUE = Path(__file__).with_name("catalogue.json")

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
    rows = json.loads(CATALOGUE.read_text(encoding="utf-8"))["backbones"]
    return [BackboneSpec.from_json(row) for row in rows]


@hookimpl
def zoo_exemptions() -> Iterable[Exemption]:
    """What torchvision's networks are known to do otherwise; see docs/backbones.md."""
    return EXEMPTIONS


@hookimpl
def zoo_sync() -> Iterable[BackboneSpec]:
    """The rows made anew from the installed torchvision, with every network on the meta device."""
    from zoo_torchvision import catalogue

    return catalogue.rows()
