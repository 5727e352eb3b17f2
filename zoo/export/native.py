"""Code that loads a run with its own library, provided by the backbone's plugin."""

from __future__ import annotations

from torch import nn

from zoo.contract.network.backbone import Backbone
from zoo.errors import RunError
from zoo.runs.run import Run

LOADER = "load.py"

_HINT = "Export it with --format onnx or torch-export."


def has_native(backbone: Backbone) -> bool:
    """Whether the library can load a run of the backbone by itself."""
    linear = isinstance(backbone.head, nn.Linear) and not backbone.unpadded
    return linear and bool(backbone.native_code())


def native_source(backbone: Backbone, run: Run) -> str:
    """``load.py``: functions ``load(folder)`` and ``logits(network, batch)``, without zoo.

    Raises:
        RunError: The head or the network is not the library's, or the plugin provides no code.
    """
    if run.record["surgery"]:
        raise RunError(
            f"the network of {run.folder} was changed by {run.record['surgery']!r}, which its "
            "library cannot reproduce",
            hint=_HINT,
        )
    if backbone.channels_note:
        raise RunError(
            f"the network of {run.folder} has {backbone.channels_note.partition(' instead')[0]}, which "
            "its library does not build",
            hint=_HINT,
        )
    if backbone.unpadded:
        raise RunError(
            f"padding changes the outputs of {run.folder}, and its library pads texts", hint=_HINT
        )
    if not isinstance(backbone.head, nn.Linear):
        raise RunError(
            f"the library of {backbone.spec.name} has no head like {run.record['head']!r} of "
            f"{run.folder}",
            hint=_HINT,
        )
    source = backbone.native_code()
    if not source:
        raise RunError(
            f"the plugin of {backbone.spec.name} has no code to load it without zoo",
            hint=f"{_HINT} (For its author: zoo.Native in docs/plugins.md.)",
        )
    return f'"""Loads the network in this folder; zoo is not needed."""\n\n{source.strip()}\n'
