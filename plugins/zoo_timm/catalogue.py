"""Generate the catalogue from the installed timm: ``python -m zoo_timm.catalogue``.

Every architecture is built and run on the meta device, so that the width of its features is
measured. Nothing is downloaded. Published accuracies come from a table; see :mod:`.accuracies`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

import torch

from zoo import Backbone, BackboneSpec, ContractError, ImageInput, UsageError, Weights
from zoo.testing import without_values
from zoo_timm.accuracies import with_known_accuracies
from zoo_timm.library import timm
from zoo_timm.loader import assemble, build
from zoo_timm.papers import paper
from zoo_timm.rows import CATALOGUE, COMMON, accuracies_source, read, write

PROCESSES = 2

HUB_FILE = "model.safetensors"
"""What timm takes first from a repository of the Hub that names no file."""

SPDX = {
    "apache-2.0": "Apache-2.0",
    "bsd-3-clause": "BSD-3-Clause",
    "cc-by-4.0": "CC-BY-4.0",
    "cc-by-nc-4.0": "CC-BY-NC-4.0",
    "mit": "MIT",
}
"""timm's words for licenses that have an SPDX identifier; any other is a ``LicenseRef-``."""

SIZES = (32, 64, 96, 112, 128, 160, 192, 224, 256)
"""Image sizes that are tried, to find the smallest that a network takes."""

FIXED_SIZES = (32, 64, 128)
"""The same for networks that have to be built again for each."""

MULTIPLES = (1, 2, 4, 7, 8, 14, 16, 28, 32, 64, 128)
"""What sizes may have to be multiples of, or else of the smallest that is taken."""

_CLASSES = 7
"""Outputs of a network that is built to be measured: not 1, which would hide a head left over."""

_REFUSALS = (AssertionError, ArithmeticError, IndexError, RuntimeError, ValueError, UsageError)
"""What a network raises for images of a size that it does not take."""


def generate(processes: int = PROCESSES) -> list[BackboneSpec]:
    """Return a row for every classification architecture of the installed timm, sorted by name.

    Raises:
        ContractError: The width of a network's features differs from timm's.
    """
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_one_thread) as pool:
        rows = pool.map(describe, timm.list_models(), chunksize=4)
        return sorted((row for row in rows if row is not None), key=lambda row: row.name)


def describe(arch: str) -> BackboneSpec | None:
    """Return the row of one architecture; ``None`` if it is not a classifier.

    Raises:
        ContractError: The width of its features differs from timm's.
    """
    configs = published_configs(arch)
    default: Any = timm.models.get_pretrained_cfg(arch)
    row = BackboneSpec(
        name=arch,
        feature_dim=1,
        params=0,
        input=image_input(default),
        paper=paper(arch),
        tags=(timm.models.model_entrypoint(arch).__module__.rpartition(".")[2],),
        **COMMON,
    )
    measured = measure(row, default.num_classes)
    if measured is None:
        return None
    image = replace(row.image_input, min_size=measured.min_size, multiple_of=measured.multiple_of)
    return replace(
        row,
        feature_dim=measured.feature_dim,
        params=measured.params,
        input=image,
        weights=tuple(
            weights_row(tag, config, image, default=tag == default.tag)
            for tag, config in configs.items()
        ),
    )


@dataclass(frozen=True)
class MeasuredNetwork:
    """Facts measured by building a network and running it."""

    feature_dim: int
    params: int
    min_size: int
    multiple_of: int = 1


def measure(row: BackboneSpec, classes: int) -> MeasuredNetwork | None:
    """Build the network of ``row`` on the meta device, with ``classes`` outputs, and run it.

    An architecture is a classifier if it has ``get_classifier`` and ``reset_classifier``, as all of
    timm's networks have except bare encoders.
    """
    with without_values():
        net: Any = build(row, classes or _CLASSES)
    if not hasattr(net, "get_classifier"):
        return None
    width = int(net.head_hidden_size)
    params = sum(p.numel() for p in net.parameters())
    size = row.image_input.size
    stated = replace(row, feature_dim=width)
    backbone = assemble(net, stated).eval()
    if not classes:
        params -= sum(p.numel() for p in backbone.head.parameters())
    smaller = FIXED_SIZES if row.image_input.fixed_size else SIZES
    for side in [*(s for s in smaller if s < size), size]:
        try:
            if row.image_input.fixed_size:
                with without_values():
                    net = build(row.with_input(size=side), _CLASSES)
                backbone = assemble(net, stated).eval()
            found = _features_that_the_head_takes(backbone, side)
        except _REFUSALS:
            if side == size:
                raise
            continue
        if found != width:
            raise ContractError(f"{row.name} declares features of width {width}, got {found}")
        step = 1 if row.image_input.fixed_size else _multiple(backbone, side)
        return MeasuredNetwork(feature_dim=width, params=params, min_size=side, multiple_of=step)
    raise AssertionError("unreachable: the last side is measured or raises")


def _multiple(backbone: Backbone, side: int) -> int:
    """Return the number that valid heights and widths of at least ``side`` are multiples of.

    Raises:
        ContractError: There is none.
    """
    for step in (*MULTIPLES, side):
        image = ImageInput(size=side, min_size=side, multiple_of=step)
        least = image.fitting(side)
        try:
            for height, width in (
                (least, least),
                (least + step, least + step),
                (least, image.fitting(least + 32)),
            ):
                with torch.inference_mode():
                    backbone.features(torch.zeros(2, 3, height, width, device="meta"))
        except _REFUSALS:
            continue
        return step
    raise ContractError(
        f"{backbone.spec.name} accepts {side} pixels, but no multiples of {MULTIPLES}"
    )


def _features_that_the_head_takes(backbone: Backbone, side: int) -> int:
    """Run an image of ``side`` pixels through backbone and head; return the width of the features."""
    with torch.inference_mode():
        features = backbone.features(torch.zeros(1, 3, side, side, device="meta"))
        logits = backbone.head(features)
    if features.ndim != 2 or logits.ndim != 2:
        shapes = f"{tuple(features.shape)} and {tuple(logits.shape)}"
        raise ContractError(f"{backbone.spec.name} gives features and outputs {shapes}")
    return features.shape[1]


def published_configs(arch: str) -> dict[str, Any]:
    """timm's configuration of each set of weights that it publishes for ``arch``, by tag."""
    configs = timm.models.get_arch_pretrained_cfgs(arch)
    return {str(config.tag): config for config in configs.values() if config.has_weights}


def image_input(config: Any) -> ImageInput:
    """Convert the preprocessing in a pretrained configuration of timm.

    Images are square: for the few configurations with another shape (1024 x 768), the shorter side
    is used. Three have a crop larger than the image (1.15, with a black border); for these the
    whole image is used.
    """
    return ImageInput(
        size=min(config.input_size[1:]),
        crop=min(config.crop_pct, 1.0),
        mean=tuple(config.mean),
        std=tuple(config.std),
        interpolation=config.interpolation,
        fixed_size=config.fixed_input_size,
        crop_mode=config.crop_mode,
    )


def weights_row(tag: str, config: Any, image: ImageInput, *, default: bool) -> Weights:
    """Return the weights of one tag; ``image`` is the input of the architecture's row."""
    weights_input = replace(
        image_input(config),
        min_size=image.min_size,
        multiple_of=image.multiple_of,
        fixed_size=image.fixed_size,
    )
    if config.hf_hub_id:
        uri = f"hf:{config.hf_hub_id}/{config.hf_hub_filename or HUB_FILE}"
    else:
        uri = str(config.url)
    return Weights(
        tag=tag,
        uri=uri,
        sha256=_digits_in_name(uri),
        license=license_of(config.license),
        default=default,
        classes=config.num_classes,
        input=weights_input if weights_input != image else None,
    )


def _digits_in_name(uri: str) -> str:
    """Return the sha256 prefix that torch.hub expects at the end of a file name."""
    found = re.search(r"-([0-9a-f]{8,64})\.pth$", uri) if uri.startswith("https:") else None
    return found[1] if found else ""


def license_of(word: str | None) -> str:
    """Return the SPDX identifier for timm's name of a license; empty if unknown."""
    if not word or word == "unknown":
        return ""
    return SPDX.get(word, f"LicenseRef-{word}")


def _one_thread() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")


def summary(specs: Sequence[BackboneSpec]) -> Mapping[str, int]:
    """Return the numbers of rows and weights in words."""
    return {"architectures": len(specs), "weights": sum(len(spec.weights) for spec in specs)}


def main() -> None:
    """Write the catalogue, keeping the accuracies that it has."""
    specs = with_known_accuracies(generate(), read(CATALOGUE))
    source = accuracies_source(CATALOGUE)
    write(specs, CATALOGUE, version=timm.__version__, accuracies=source)
    print(f"{CATALOGUE}: {dict(summary(specs))} of timm {timm.__version__}")


if __name__ == "__main__":
    main()
