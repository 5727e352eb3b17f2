"""Export formats, written from a small run and compared with it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from torch import nn

from zoo.api import finetune
from zoo.contract.extensions import ExporterSpec
from zoo.contract.spec import ImageInput
from zoo.engine.progress import Quiet
from zoo.engine.user_network.wrapping import wrap
from zoo.errors import PluginError, RunError, UsageError, ZooError
from zoo.export import compare, inputs_of, loaded, write_format
from zoo.export.exporters import require_libraries
from zoo.registry.offers import Offer
from zoo.runs.run import Run
from zoo.testing.checks.base import NotApplicable

SIDE = 16
"""Pixels of the images of the run."""


def check_exporter(offer: Offer[ExporterSpec]) -> None:
    """Write a run of images in a format, and compare the outputs; raises where they differ.

    Raises:
        NotApplicable: A library is missing, or the exporter says why it cannot export the run, or
            why its files cannot be loaded here.
    """
    try:
        require_libraries(offer)
    except UsageError as error:
        raise NotApplicable(error.message) from error
    with tempfile.TemporaryDirectory() as folder:
        run = _run(Path(folder) / "run")
        backbone, written = loaded(run), Path(folder) / "export"
        inputs = inputs_of(run, backbone)
        written.mkdir()
        try:
            write_format(run, backbone, inputs, offer, written)
        except PluginError:
            raise
        except ZooError as error:
            raise NotApplicable(f"{offer}: {error.message}") from error
        try:
            difference, _ = compare(run, backbone, inputs, offer, written)
        except RunError as error:
            raise AssertionError(
                error.message.replace(f"{run.folder} as {offer.name}", str(offer))
            ) from error
    if difference is None:
        raise NotApplicable(f"{offer} is not compared: {offer.value.not_compared}")


def network() -> nn.Module:
    """The network of the run."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
    )


def _run(folder: Path) -> Run:
    """An epoch on noise of two classes."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 255, (12, SIDE, SIDE, 3), dtype=np.uint8)
    return finetune(
        wrap(network, input=ImageInput(size=SIDE), head="4"),
        [(each, "ab"[place % 2]) for place, each in enumerate(pixels)],
        epochs=1,
        strategy="full",
        batch_size=8,
        workers=0,
        device="cpu",
        report=False,
        output=folder,
        reporter=Quiet(),
    )
