"""A plugin-based zoo of pretrained networks, and one engine that fine-tunes any of them.

Importing ``zoo`` imports no torch: every public name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from zoo.version import __version__ as __version__

if TYPE_CHECKING:
    from zoo.api import find_lr as find_lr
    from zoo.api import finetune as finetune
    from zoo.api import list_backbones as list_backbones
    from zoo.api import load as load
    from zoo.api import open_run as open_run
    from zoo.api import resume as resume
    from zoo.backbone import Backbone as Backbone
    from zoo.backbone import Batch as Batch
    from zoo.building import build as build
    from zoo.comparison import Comparison as Comparison
    from zoo.comparison import compare as compare
    from zoo.embedding import embed as embed
    from zoo.engine.recipe import Recipe as Recipe
    from zoo.engine.strategies import Phase as Phase
    from zoo.errors import ZooError as ZooError
    from zoo.exemptions import Exemption as Exemption
    from zoo.export import export_run as export_run
    from zoo.hookspecs import hookimpl as hookimpl
    from zoo.hookspecs import hookspec as hookspec
    from zoo.push import push_run as push_run
    from zoo.ranking.ranking import recommend as recommend
    from zoo.registry import Registry as Registry
    from zoo.report.page import Report as Report
    from zoo.run import Run as Run
    from zoo.spec import BackboneSpec as BackboneSpec
    from zoo.spec import ImageInput as ImageInput
    from zoo.spec import TextInput as TextInput
    from zoo.spec import Weights as Weights
    from zoo.stages import Stage as Stage

_PUBLIC = {
    "Backbone": "zoo.backbone",
    "BackboneSpec": "zoo.spec",
    "Batch": "zoo.backbone",
    "Comparison": "zoo.comparison",
    "Exemption": "zoo.exemptions",
    "ImageInput": "zoo.spec",
    "Phase": "zoo.engine.strategies",
    "Recipe": "zoo.engine.recipe",
    "Registry": "zoo.registry",
    "Report": "zoo.report.page",
    "Run": "zoo.run",
    "Stage": "zoo.stages",
    "TextInput": "zoo.spec",
    "Weights": "zoo.spec",
    "ZooError": "zoo.errors",
    "build": "zoo.building",
    "export_run": "zoo.export",
    "embed": "zoo.embedding",
    "compare": "zoo.comparison",
    "find_lr": "zoo.api",
    "finetune": "zoo.api",
    "hookimpl": "zoo.hookspecs",
    "hookspec": "zoo.hookspecs",
    "list_backbones": "zoo.api",
    "load": "zoo.api",
    "open_run": "zoo.api",
    "push_run": "zoo.push",
    "recommend": "zoo.ranking.ranking",
    "resume": "zoo.api",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
