"""A plugin-based model zoo, and an engine that fine-tunes any of its models.

Importing ``zoo`` does not import torch: public names are loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from zoo.system.threads import sleeping
from zoo.version import __version__ as __version__

if TYPE_CHECKING:
    from zoo.api import distill as distill
    from zoo.api import find_lr as find_lr
    from zoo.api import finetune as finetune
    from zoo.api import list_backbones as list_backbones
    from zoo.api import load as load
    from zoo.api import open_run as open_run
    from zoo.api import rerun as rerun
    from zoo.api import resume as resume
    from zoo.cleaning.clean import clean as clean
    from zoo.cleaning.results import Cleaned as Cleaned
    from zoo.cleaning.results import JudgedLabel as JudgedLabel
    from zoo.cli.options import device_option as device_option
    from zoo.cli.options import network_option as network_option
    from zoo.cli.options import networks_option as networks_option
    from zoo.cli.options import run_argument as run_argument
    from zoo.cli.options import runs_argument as runs_argument
    from zoo.cli.output import emit_json as emit_json
    from zoo.cli.output import json_option as json_option
    from zoo.cli.output import note as note
    from zoo.cli.output import say as say
    from zoo.contract.adapters import AdapterKind as AdapterKind
    from zoo.contract.adapters import AdapterOptions as AdapterOptions
    from zoo.contract.commands import CommandSpec as CommandSpec
    from zoo.contract.exemptions import Exemption as Exemption
    from zoo.contract.extensions import Argument as Argument
    from zoo.contract.extensions import AugmentationSpec as AugmentationSpec
    from zoo.contract.extensions import ExporterSpec as ExporterSpec
    from zoo.contract.extensions import LossSpec as LossSpec
    from zoo.contract.extensions import Metric as Metric
    from zoo.contract.extensions import MetricInput as MetricInput
    from zoo.contract.extensions import OptimizerSpec as OptimizerSpec
    from zoo.contract.hookspecs import hookimpl as hookimpl
    from zoo.contract.hookspecs import hookspec as hookspec
    from zoo.contract.inputs import InputSpec as InputSpec
    from zoo.contract.modalities import ModalitySpec as ModalitySpec
    from zoo.contract.network.backbone import Backbone as Backbone
    from zoo.contract.network.batch import Batch as Batch
    from zoo.contract.network.options import AdapterTargets as AdapterTargets
    from zoo.contract.network.options import Native as Native
    from zoo.contract.network.options import TokenOptions as TokenOptions
    from zoo.contract.readers import ReaderSpec as ReaderSpec
    from zoo.contract.spec import IMAGENET_MEAN as IMAGENET_MEAN
    from zoo.contract.spec import IMAGENET_STD as IMAGENET_STD
    from zoo.contract.spec import BackboneSpec as BackboneSpec
    from zoo.contract.spec import ImageInput as ImageInput
    from zoo.contract.spec import Interpolation as Interpolation
    from zoo.contract.spec import Pooling as Pooling
    from zoo.contract.spec import TextInput as TextInput
    from zoo.contract.spec import Weights as Weights
    from zoo.contract.stages import Stage as Stage
    from zoo.embedding.embed import embed as embed
    from zoo.engine.recipe import Recipe as Recipe
    from zoo.engine.strategies import Phase as Phase
    from zoo.engine.user_network.wrapping import wrap as wrap
    from zoo.errors import BadFilesError as BadFilesError
    from zoo.errors import ContractError as ContractError
    from zoo.errors import NameLookupError as NameLookupError
    from zoo.errors import RunError as RunError
    from zoo.errors import UsageError as UsageError
    from zoo.errors import WeightsError as WeightsError
    from zoo.errors import WeightsUnavailable as WeightsUnavailable
    from zoo.errors import ZooError as ZooError
    from zoo.errors import first_line as first_line
    from zoo.export import export_run as export_run
    from zoo.export.push import push_run as push_run
    from zoo.modalities.files.modality import FileModality as FileModality
    from zoo.ranking.ranking import recommend as recommend
    from zoo.registry.registry import Registry as Registry
    from zoo.runs.adapter_set import AdapterSet as AdapterSet
    from zoo.runs.adapter_set import load_adapters as load_adapters
    from zoo.runs.adapter_set import load_predictors as load_predictors
    from zoo.runs.compare import Comparison as Comparison
    from zoo.runs.compare import compare as compare
    from zoo.runs.ensemble import make_ensemble as make_ensemble
    from zoo.runs.limits import PredictionLimits as PredictionLimits
    from zoo.runs.merging import merge_run as merge_run
    from zoo.runs.mistakes import Mistake as Mistake
    from zoo.runs.mistakes import Mistakes as Mistakes
    from zoo.runs.opening import open_runs as open_runs
    from zoo.runs.option_types import FinetuneOptions as FinetuneOptions
    from zoo.runs.predictor import Predictor as Predictor
    from zoo.runs.predictor import PreparedInput as PreparedInput
    from zoo.runs.report.page import Report as Report
    from zoo.runs.run import Run as Run
    from zoo.runs.soup import make_soup as make_soup
    from zoo.system.hub import hub_error_in_words as hub_error_in_words
    from zoo.system.network import hub_reachable as hub_reachable
    from zoo.system.panics import panics_are_errors as panics_are_errors
    from zoo.system.processor import usable_cores as usable_cores
    from zoo.system.small_files import read_small as read_small
    from zoo.system.small_files import refuse_endless as refuse_endless
    from zoo.tasks.losses import Loss as Loss
    from zoo.tasks.losses import LossOptions as LossOptions
    from zoo.tasks.metrics import Selection as Selection
    from zoo.tasks.metrics import own_metric as own_metric
    from zoo.tasks.multi_label import MultiLabel as MultiLabel
    from zoo.tasks.regression import Regression as Regression
    from zoo.tasks.single_label import SingleLabel as SingleLabel
    from zoo.tasks.task import Task as Task
    from zoo.tuning.results import Estimate as Estimate
    from zoo.tuning.results import Tried as Tried
    from zoo.tuning.results import Tuning as Tuning
    from zoo.tuning.tune import tune as tune
    from zoo.weights.find import fetch as fetch
    from zoo.weights.loading.build import build as build
    from zoo.weights.loading.load import read_state_dict as read_state_dict

_PUBLIC = {
    "AdapterTargets": "zoo.contract.network.options",
    "AdapterSet": "zoo.runs.adapter_set",
    "load_adapters": "zoo.runs.adapter_set",
    "load_predictors": "zoo.runs.adapter_set",
    "AdapterKind": "zoo.contract.adapters",
    "AdapterOptions": "zoo.contract.adapters",
    "Argument": "zoo.contract.extensions",
    "AugmentationSpec": "zoo.contract.extensions",
    "Backbone": "zoo.contract.network.backbone",
    "BackboneSpec": "zoo.contract.spec",
    "BadFilesError": "zoo.errors",
    "Batch": "zoo.contract.network.batch",
    "build": "zoo.weights.loading.build",
    "clean": "zoo.cleaning.clean",
    "Cleaned": "zoo.cleaning.results",
    "CommandSpec": "zoo.contract.commands",
    "compare": "zoo.runs.compare",
    "Comparison": "zoo.runs.compare",
    "ContractError": "zoo.errors",
    "device_option": "zoo.cli.options",
    "distill": "zoo.api",
    "embed": "zoo.embedding.embed",
    "emit_json": "zoo.cli.output",
    "Exemption": "zoo.contract.exemptions",
    "ExporterSpec": "zoo.contract.extensions",
    "export_run": "zoo.export",
    "fetch": "zoo.weights.find",
    "FileModality": "zoo.modalities.files.modality",
    "find_lr": "zoo.api",
    "finetune": "zoo.api",
    "FinetuneOptions": "zoo.runs.option_types",
    "first_line": "zoo.errors",
    "hookimpl": "zoo.contract.hookspecs",
    "hookspec": "zoo.contract.hookspecs",
    "hub_error_in_words": "zoo.system.hub",
    "hub_reachable": "zoo.system.network",
    "ImageInput": "zoo.contract.spec",
    "IMAGENET_MEAN": "zoo.contract.spec",
    "IMAGENET_STD": "zoo.contract.spec",
    "InputSpec": "zoo.contract.inputs",
    "Interpolation": "zoo.contract.spec",
    "json_option": "zoo.cli.output",
    "list_backbones": "zoo.api",
    "load": "zoo.api",
    "JudgedLabel": "zoo.cleaning.results",
    "Loss": "zoo.tasks.losses",
    "LossOptions": "zoo.tasks.losses",
    "LossSpec": "zoo.contract.extensions",
    "OptimizerSpec": "zoo.contract.extensions",
    "Metric": "zoo.contract.extensions",
    "MetricInput": "zoo.contract.extensions",
    "make_ensemble": "zoo.runs.ensemble",
    "make_soup": "zoo.runs.soup",
    "merge_run": "zoo.runs.merging",
    "Mistake": "zoo.runs.mistakes",
    "Mistakes": "zoo.runs.mistakes",
    "ModalitySpec": "zoo.contract.modalities",
    "MultiLabel": "zoo.tasks.multi_label",
    "NameLookupError": "zoo.errors",
    "Native": "zoo.contract.network.options",
    "network_option": "zoo.cli.options",
    "networks_option": "zoo.cli.options",
    "note": "zoo.cli.output",
    "open_run": "zoo.api",
    "open_runs": "zoo.runs.opening",
    "own_metric": "zoo.tasks.metrics",
    "panics_are_errors": "zoo.system.panics",
    "Phase": "zoo.engine.strategies",
    "Pooling": "zoo.contract.spec",
    "PredictionLimits": "zoo.runs.limits",
    "Predictor": "zoo.runs.predictor",
    "PreparedInput": "zoo.runs.predictor",
    "push_run": "zoo.export.push",
    "ReaderSpec": "zoo.contract.readers",
    "read_small": "zoo.system.small_files",
    "read_state_dict": "zoo.weights.loading.load",
    "Recipe": "zoo.engine.recipe",
    "recommend": "zoo.ranking.ranking",
    "refuse_endless": "zoo.system.small_files",
    "Registry": "zoo.registry.registry",
    "Regression": "zoo.tasks.regression",
    "Report": "zoo.runs.report.page",
    "rerun": "zoo.api",
    "resume": "zoo.api",
    "Run": "zoo.runs.run",
    "run_argument": "zoo.cli.options",
    "RunError": "zoo.errors",
    "runs_argument": "zoo.cli.options",
    "say": "zoo.cli.output",
    "Selection": "zoo.tasks.metrics",
    "SingleLabel": "zoo.tasks.single_label",
    "Stage": "zoo.contract.stages",
    "Task": "zoo.tasks.task",
    "TextInput": "zoo.contract.spec",
    "TokenOptions": "zoo.contract.network.options",
    "Estimate": "zoo.tuning.results",
    "Tried": "zoo.tuning.results",
    "tune": "zoo.tuning.tune",
    "Tuning": "zoo.tuning.results",
    "usable_cores": "zoo.system.processor",
    "UsageError": "zoo.errors",
    "Weights": "zoo.contract.spec",
    "WeightsError": "zoo.errors",
    "WeightsUnavailable": "zoo.errors",
    "wrap": "zoo.engine.user_network.wrapping",
    "ZooError": "zoo.errors",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    with sleeping():
        value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
