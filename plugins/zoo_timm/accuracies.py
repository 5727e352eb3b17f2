"""Published accuracies of timm's weights: ``python -m zoo_timm.accuracies results-imagenet.csv``.

timm evaluates its weights on the 50,000 validation images of ImageNet-1k and publishes a table of
results. Results are matched with weights by name and tag. In the catalogue they are
``imagenet1k/top1`` and ``imagenet1k/top5``, in percent, and ``imagenet1k@288/top1`` for an image
size other than the catalogue's.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import click

from zoo import BackboneSpec, UsageError, Weights
from zoo_timm import rows

SOURCE = (
    "https://github.com/huggingface/pytorch-image-models/blob/"
    "4e5207c7bb6592474ca56e28b2cf85be8f1a550f/results/results-imagenet.csv"
)
"""The table that the committed catalogue states, at its last change."""

Results = Mapping[str, Mapping[int, tuple[float, float]]]
"""Top-1 and top-5 accuracy in percent, by ``arch.tag`` and image size."""


def read_results(path: Path) -> Results:
    """Read timm's table of results.

    Raises:
        UsageError: The file is not in timm's format; the message names the line.
    """
    found: dict[str, dict[int, tuple[float, float]]] = defaultdict(dict)
    with path.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            try:
                size, top1, top5 = int(row["img_size"]), float(row["top1"]), float(row["top5"])
                found[row["model"]][size] = top1, top5
            except (KeyError, TypeError, ValueError) as error:
                raise UsageError(
                    f"{path}, line {number} is not a row of timm's results: {error}",
                    hint="Use results-imagenet.csv, with columns model, img_size, top1 and top5.",
                ) from error
    return found


def with_accuracies(specs: Iterable[BackboneSpec], results: Results) -> list[BackboneSpec]:
    """Set the metrics of weights in ``specs`` to the results with their names and tags."""
    return [
        replace(spec, weights=tuple(_measured(spec, weights, results) for weights in spec.weights))
        for spec in specs
    ]


def with_known_accuracies(
    specs: Iterable[BackboneSpec], known: Iterable[BackboneSpec]
) -> list[BackboneSpec]:
    """Copy accuracies from ``known`` for weights that are the same in both."""
    metrics = {
        _identity(spec, weights): weights.metrics for spec in known for weights in spec.weights
    }
    return [
        replace(
            spec,
            weights=tuple(
                replace(weights, metrics=metrics.get(_identity(spec, weights), {}))
                for weights in spec.weights
            ),
        )
        for spec in specs
    ]


def _identity(spec: BackboneSpec, weights: Weights) -> tuple[str, str, str, int]:
    """The key of a result: the weights file, and the image size of results that state none."""
    return spec.name, weights.tag, weights.uri, _size(spec, weights)


def _size(spec: BackboneSpec, weights: Weights) -> int:
    sized = replace(spec, input=weights.input) if weights.input else spec
    return sized.image_input.size


def _measured(spec: BackboneSpec, weights: Weights, results: Results) -> Weights:
    sized = _size(spec, weights)
    by_size = results.get(f"{spec.name}.{weights.tag}", {})
    metrics = {}
    for size in sorted(by_size, key=lambda size: (size != sized, size)):
        dataset = "imagenet1k" if size == sized else f"imagenet1k@{size}"
        metrics[f"{dataset}/top1"], metrics[f"{dataset}/top5"] = by_size[size]
    return replace(weights, metrics=metrics)


@click.command()
@click.argument("table", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--source", default=SOURCE, show_default=True, help="Where the table is published.")
def main(table: Path, source: str) -> None:
    """Write the results of TABLE to the committed catalogue."""
    specs = with_accuracies(rows.read(rows.CATALOGUE), read_results(table))
    version = rows.library_version(rows.CATALOGUE)
    rows.write(specs, rows.CATALOGUE, version=version, accuracies=source)
    stated = sum(bool(weights.metrics) for spec in specs for weights in spec.weights)
    click.echo(f"{rows.CATALOGUE}: accuracies of {stated} weights")


if __name__ == "__main__":
    main()
