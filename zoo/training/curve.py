"""The curve of a learning-rate range test, as JSON and as an image."""

from __future__ import annotations

import json
from pathlib import Path

from zoo.engine.find_lr import Curve
from zoo.errors import RunError
from zoo.system import files

NUMBERS, IMAGE = "rates.json", "rates.png"


def write_curve(folder: Path, curve: Curve) -> None:
    """Write ``rates.json`` and ``rates.png`` to ``folder``.

    Raises:
        RunError: They cannot be written.
    """
    numbers = {"suggestion": curve.suggestion, "rates": curve.rates, "losses": curve.losses}
    try:
        files.write_text(folder / NUMBERS, json.dumps(numbers, indent=2) + "\n")
        with files.replacing(folder / IMAGE) as temporary:
            _draw(temporary, curve)
    except OSError as error:
        raise RunError(
            f"failed to write the curve to {folder}: {error.strerror or error}",
            hint="Choose another folder with --output DIR.",
        ) from error


def _draw(path: Path, curve: Curve) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(curve.rates, curve.losses)
    axes.axvline(curve.suggestion, linestyle="--", color="grey")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss, smoothed")
    axes.set_title(f"steepest at {curve.suggestion:.1e}")
    figure.savefig(path, format="png", dpi=120)
