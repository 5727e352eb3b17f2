"""Makes ``catalogue.json`` from the installed torchvision: ``python -m zoo_torchvision.catalogue``.

Addresses, hashes, accuracies and preprocessing come from torchvision's weight enums; widths and
parameter counts are measured on the networks that the loaders build, on the meta device.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import nn

from zoo import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Backbone,
    BackboneSpec,
    ImageInput,
    Interpolation,
    Weights,
    build,
)
from zoo_torchvision.attention import SIZE_STEPS
from zoo_torchvision.network import PUBLISHED_CLASSES, of_family
from zoo_torchvision.rows import CATALOGUE

import torchvision  # isort: skip

CODE_LICENSE = "BSD-3-Clause"

WEIGHTS_LICENSES = {
    "": "BSD-3-Clause",  # torchvision's own, where an enum names no other
    "https://github.com/facebookresearch/SWAG/blob/main/LICENSE": "CC-BY-NC-4.0",
}
"""SPDX identifiers by the address that an enum gives as ``license``."""

METRICS = {
    "imagenet1k/top1": ("ImageNet-1K", "acc@1"),
    "imagenet1k/top5": ("ImageNet-1K", "acc@5"),
}
"""Published metrics, in percent, by the place where an enum keeps them."""

SMALLEST = {"swin": 4, "efficientnet_v2": 1}
"""Smallest sizes, by trial, where torchvision states the size of the published weights instead."""

CONVOLUTIONS_ONLY = "IMAGENET1K_FEATURES"
"""torchvision's tag of VGG weights with valid values in ``features`` alone."""

MINUS_ONE_TO_ONE = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)

NORMALISED_INSIDE = ("googlenet", "inception_v3")
"""Published weights for values in [-1, 1]; :mod:`zoo_torchvision.inception` says more."""


@dataclass(frozen=True)
class FamilyFacts:
    """What torchvision's enums do not state."""

    loader: str
    paper: str
    tags: tuple[str, ...]


def _family(loader: str, paper: str, kind: str = "cnn") -> FamilyFacts:
    return FamilyFacts(f"zoo_torchvision.{loader}", f"https://arxiv.org/abs/{paper}", (kind,))


FAMILIES = {
    "alexnet": _family("convolutional:load", "1404.5997"),
    "convnext": _family("convolutional:load", "2201.03545"),
    "densenet": _family("convolutional:load_densenet", "1608.06993"),
    "efficientnet_b": _family("convolutional:load", "1905.11946"),
    "efficientnet_v2": _family("convolutional:load", "2104.00298"),
    "googlenet": _family("inception:load", "1409.4842"),
    "inception_v3": _family("inception:load", "1512.00567"),
    "maxvit": _family("attention:load_maxvit", "2204.01697", "hybrid"),
    "mnasnet": _family("convolutional:load", "1807.11626"),
    "mobilenet_v2": _family("convolutional:load", "1801.04381"),
    "mobilenet_v3": _family("convolutional:load", "1905.02244"),
    "regnet": _family("convolutional:load", "2003.13678"),
    "resnet": _family("resnet:load", "1512.03385"),
    "resnext": _family("resnet:load", "1611.05431"),
    "shufflenet_v2": _family("convolutional:load", "1807.11164"),
    "squeezenet": _family("convolutional:load_squeezenet", "1602.07360"),
    "swin": _family("attention:load_swin", "2103.14030", "transformer"),
    "swin_v2": _family("attention:load_swin", "2111.09883", "transformer"),
    "vgg": _family("vgg:load", "1409.1556"),
    "vit": _family("attention:load_vit", "2010.11929", "transformer"),
    "wide_resnet": _family("resnet:load", "1605.07146"),
}


def architectures() -> list[str]:
    """The names of all of torchvision's classifiers."""
    return sorted(torchvision.models.list_models(module=torchvision.models))


def rows() -> list[BackboneSpec]:
    """The whole catalogue. Builds every network on the meta device: a minute or less."""
    return [row(arch) for arch in architectures()]


def row(arch: str) -> BackboneSpec:
    """One architecture's row, with its network built on the meta device."""
    stated = statement(arch)
    with torch.device("meta"):
        return measured(stated, build(stated, None))


def statement(arch: str) -> BackboneSpec:
    """What torchvision states about ``arch``; width and parameters are left to :func:`measured`."""
    enum = torchvision.models.get_model_weights(arch)
    family = of_family(arch, FAMILIES)
    usual = _input(arch, enum.DEFAULT)
    return BackboneSpec(
        name=arch,
        modality="image",
        feature_dim=1,
        params=1,
        input=usual,
        loader=family.loader,
        weights=tuple(_weights(arch, member, member is enum.DEFAULT, usual) for member in enum),
        license=CODE_LICENSE,
        paper=family.paper,
        tags=family.tags,
    )


def measured(spec: BackboneSpec, backbone: Backbone) -> BackboneSpec:
    """``spec`` with the width of the published head and the number of parameters of ``backbone``."""
    head = cast(nn.Linear, backbone.head)
    params = sum(parameter.numel() for parameter in backbone.parameters())
    return replace(spec, feature_dim=head.in_features, params=params)


def write() -> None:
    """Make ``catalogue.json`` again."""
    data = {
        "torchvision": torchvision.__version__.partition("+")[0],
        "backbones": [spec.to_json() for spec in rows()],
    }
    CATALOGUE.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _weights(arch: str, member: Any, default: bool, usual: ImageInput) -> Weights:
    wanted = _input(arch, member)
    return Weights(
        tag=member.name,
        uri=member.url,
        sha256=_published_hash(member.url),
        license=WEIGHTS_LICENSES[member.meta.get("license", "")],
        metrics=_metrics(member.meta["_metrics"]),
        default=default,
        classes=0 if member.name == CONVOLUTIONS_ONLY else PUBLISHED_CLASSES,
        input=None if wanted == usual else wanted,
        lacks=("classifier.*",) if member.name == CONVOLUTIONS_ONLY else (),
    )


def _metrics(published: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    found = {name: published[data][metric] for name, (data, metric) in METRICS.items()}
    return {name: value for name, value in found.items() if not math.isnan(value)}


def _published_hash(url: str) -> str:
    """The digits of the sha256 that torch.hub's naming puts at the end of a file name."""
    found = re.search(r"-([0-9a-f]{8,64})\.pth$", url)
    return found[1] if found else ""


def _input(arch: str, member: Any) -> ImageInput:
    preset = member.transforms()
    size, resized = preset.crop_size[0], preset.resize_size[0]
    mean, std = tuple(preset.mean), tuple(preset.std)
    if arch in NORMALISED_INSIDE:
        assert (mean, std) == (IMAGENET_MEAN, IMAGENET_STD)
        mean, std = MINUS_ONE_TO_ONE
    return ImageInput(
        size=size,
        crop=size / resized,
        mean=mean,
        std=std,
        interpolation=cast(Interpolation, preset.interpolation.value),
        fixed_size=arch in SIZE_STEPS,
        min_size=_min_size(arch, member.meta["min_size"][0]),
    )


def _min_size(arch: str, stated: int) -> int:
    if arch in SIZE_STEPS:
        return SIZE_STEPS[arch]
    return next((size for key, size in SMALLEST.items() if arch.startswith(key)), stated)


if __name__ == "__main__":
    write()
