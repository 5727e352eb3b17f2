"""Generate ``catalogue.json`` from the installed torchvision: ``python -m zoo_torchvision.catalogue``.

URLs, hashes, accuracies and preprocessing come from torchvision's weight enums. Feature dimensions
and parameter counts are measured on the networks that the loaders build, on the meta device.
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
    "": "BSD-3-Clause",  # torchvision's license, for enums that state none
    "https://github.com/facebookresearch/SWAG/blob/main/LICENSE": "CC-BY-NC-4.0",
}
"""SPDX identifiers by the URL that an enum states as ``license``."""

METRICS = {
    "imagenet1k/top1": ("ImageNet-1K", "acc@1"),
    "imagenet1k/top5": ("ImageNet-1K", "acc@5"),
}
"""Published metrics, in percent: zoo's name to the dataset and metric names in the enums."""

SMALLEST = {"swin": 4, "efficientnet_v2": 1}
"""Smallest image sizes that work, in pixels, found by trial. For these families, torchvision's
``min_size`` is the size that the weights were trained at."""

CONVOLUTIONS_ONLY = "IMAGENET1K_FEATURES"
"""torchvision's tag of VGG weights without valid values in the classifier layers."""

MINUS_ONE_TO_ONE = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)

NORMALISED_INSIDE = ("googlenet", "inception_v3")
"""Models whose weights expect inputs in [-1, 1]; see :mod:`zoo_torchvision.inception`."""


@dataclass(frozen=True)
class FamilyFacts:
    """Facts about a family that torchvision's enums do not contain."""

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
    """Return the names of all torchvision classification models."""
    return sorted(torchvision.models.list_models(module=torchvision.models))


def rows() -> list[BackboneSpec]:
    """Return the whole catalogue. Builds all networks on the meta device, which takes up to a minute."""
    return [row(arch) for arch in architectures()]


def row(arch: str) -> BackboneSpec:
    """Return the row of one architecture, whose network is built on the meta device."""
    spec = published_facts(arch)
    with torch.device("meta"):
        return measured(spec, build(spec, None))


def published_facts(arch: str) -> BackboneSpec:
    """Return what torchvision states about ``arch``; :func:`measured` adds the rest."""
    enum = torchvision.models.get_model_weights(arch)
    family = of_family(arch, FAMILIES)
    default_input = _input(arch, enum.DEFAULT)
    return BackboneSpec(
        name=arch,
        modality="image",
        feature_dim=1,
        params=1,
        input=default_input,
        loader=family.loader,
        weights=tuple(
            _weights(arch, member, member is enum.DEFAULT, default_input) for member in enum
        ),
        license=CODE_LICENSE,
        paper=family.paper,
        tags=family.tags,
    )


def measured(spec: BackboneSpec, backbone: Backbone) -> BackboneSpec:
    """Return ``spec`` with the feature dimension and parameter count of ``backbone``."""
    head = cast(nn.Linear, backbone.head)
    params = sum(parameter.numel() for parameter in backbone.parameters())
    return replace(spec, feature_dim=head.in_features, params=params)


def write() -> None:
    """Write ``catalogue.json``."""
    data = {
        "torchvision": torchvision.__version__.partition("+")[0],
        "backbones": [spec.to_json() for spec in rows()],
    }
    CATALOGUE.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _weights(arch: str, member: Any, default: bool, default_input: ImageInput) -> Weights:
    expected = _input(arch, member)
    return Weights(
        tag=member.name,
        uri=member.url,
        sha256=_published_hash(member.url),
        license=WEIGHTS_LICENSES[member.meta.get("license", "")],
        metrics=_metrics(member.meta["_metrics"]),
        default=default,
        classes=0 if member.name == CONVOLUTIONS_ONLY else PUBLISHED_CLASSES,
        input=None if expected == default_input else expected,
        lacks=("classifier.*",) if member.name == CONVOLUTIONS_ONLY else (),
    )


def _metrics(published: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    found = {name: published[data][metric] for name, (data, metric) in METRICS.items()}
    return {name: value for name, value in found.items() if not math.isnan(value)}


def _published_hash(url: str) -> str:
    """Return the sha256 prefix that torch.hub expects at the end of a file name."""
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
