"""The lines that load a run with its own library, as the backbone's plugin gives them."""

from __future__ import annotations

from torch import nn

from zoo.contract.backbone import Backbone
from zoo.errors import RunError
from zoo.runs.run import Run

LOADER = "load.py"

_HINT = "Export it with --format onnx or torch-export."


def native_source(backbone: Backbone, run: Run) -> str:
    """``load.py``: functions ``load(folder)`` and ``logits(network, batch)``, without zoo.

    Raises:
        RunError: The head or the network is not the library's, or the plugin gives no lines.
    """
    if run.record["surgery"]:
        raise RunError(
            f"the network of {run.folder} was changed by {run.record['surgery']!r}, and its "
            "library does not know that change",
            hint=_HINT,
        )
    if backbone.unpadded:
        raise RunError(f"padding changes what {run.folder} says, and its library pads", hint=_HINT)
    if not isinstance(backbone.head, nn.Linear):
        raise RunError(
            f"the head {run.record['head']!r} of {run.folder} is zoo's, and the library of "
            f"{backbone.spec.name} has no place for it",
            hint=_HINT,
        )
    source = backbone.native_code()
    if not source:
        raise RunError(
            f"the plugin of {backbone.spec.name} does not say how its library loads it",
            hint=f"{_HINT} (Its author: 'native_code' in docs/plugins.md.)",
        )
    return f'"""Loads the network in this folder; zoo is not needed."""\n\n{source.strip()}\n'
