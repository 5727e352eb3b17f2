"""Code that loads a run with its own library, provided by the backbone's plugin."""

from __future__ import annotations

from torch import nn

from zoo.contract.network.backbone import Backbone
from zoo.errors import RunError
from zoo.runs.run import Run

LOADER = "load.py"

_WHOLE = ("onnx", "torch-export")
"""The formats of a captured network, which needs nothing of its library."""


def native_flaw(backbone: Backbone, run: Run | None = None) -> str:
    """Why the library cannot load a run of the backbone by itself; empty if it can."""
    surgery = run.record["surgery"] if run else None
    if surgery:
        return f"its library cannot reproduce the surgery {surgery!r}"
    if backbone.channels_note:
        channels = backbone.channels_note.partition(" instead")[0]
        return f"its library does not build a network with {channels}"
    if backbone.unpadded:
        return "padding changes its outputs, and its library pads texts"
    if not isinstance(backbone.head, nn.Linear):
        head = f"{run.record['head']!r}" if run else "this one"
        return f"its library has no head like {head}"
    if not backbone.native_code():
        return f"{backbone.spec.name} has no code that loads it without zoo (zoo.Native in docs/plugins.md)"
    return ""


def native_source(backbone: Backbone, run: Run) -> str:
    """``load.py``: functions ``load(folder)`` and ``logits(network, batch)``, without zoo.

    Raises:
        RunError: The head or the network is not the library's, or the plugin provides no code.
    """
    if flaw := native_flaw(backbone, run):
        raise RunError(
            f"{run.folder} cannot be exported as native: {flaw}",
            hint=other_formats(backbone, run, "native"),
        )
    source = backbone.native_code().strip()
    return f'"""Loads the network in this folder; zoo is not needed."""\n\n{source}\n'


def other_formats(backbone: Backbone, run: Run | None, *failed: str) -> str:
    """A hint: the formats that may work where others have ``failed``."""
    formats = [name for name in _WHOLE if name not in failed]
    if "native" not in failed and not native_flaw(backbone, run):
        formats.append("native")
    if formats:
        return f"Export it with --format {' or '.join(formats)}."
    return "Use zoo predict or zoo serve."
