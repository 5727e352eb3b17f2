"""PEFT's own adapter folders, read as weights: safetensors only, and known settings only."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.contract.network.backbone import Backbone
from zoo.contract.network.loading import difference, head_for, some
from zoo.errors import WeightsError, first_line
from zoo.system.small_files import read_small
from zoo.weights.loading import adapter_layers
from zoo.weights.loading.load import read_state_dict

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
_LARGEST_RANK = 4096

_ABOUT_THE_FILE = (
    *("auto_mapping", "base_model_name_or_path", "revision", "task_type", "peft_version"),
    *("inference_mode", "peft_type", "target_modules", "modules_to_save", "init_lora_weights"),
    *("init_ia3_weights", "init_weights", "lora_dropout", "rank_dropout", "module_dropout"),
)
"""Settings without effect on what the adapter computes, or that are handled apart."""


def _number(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) in (int, float) and least <= value <= most


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


_RANK, _ALPHA = _number(1, _LARGEST_RANK), _number(0, 10**6)
_KNOWN: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {
    "LORA": {
        "r": _RANK,
        "lora_alpha": _ALPHA,
        "use_rslora": _flag,
        "use_dora": _flag,
        "fan_in_fan_out": _flag,
    },
    "IA3": {
        "fan_in_fan_out": _flag,
        "feedforward_modules": lambda value: _names(value) is not None,
    },
    "LOHA": {"r": _RANK, "alpha": _ALPHA, "use_effective_conv2d": _flag},
    "LOKR": {"r": _RANK, "alpha": _ALPHA, "use_effective_conv2d": _flag},
}
"""Settings that are read, by kind of adapter, and whether a value is valid."""


def is_peft_folder(path: Path) -> bool:
    """Whether ``path`` is a folder with an adapter of PEFT."""
    return (path / CONFIG).is_file()


def put_peft_on(backbone: Backbone, folder: Path) -> None:
    """Put the adapter in ``folder`` onto ``backbone``, with the linear head in it, if there is one.

    Raises:
        WeightsError: A setting is unknown, or the adapter is damaged or does not fit.
    """
    config, targets = _read_config(folder / CONFIG)
    if not (folder / TENSORS).is_file():
        raise WeightsError(
            f"{folder} has no {TENSORS}; zoo does not read adapters from pickles",
            hint="Save the adapter with model.save_pretrained(FOLDER), which writes safetensors.",
        )
    given = {
        name.removeprefix(PREFIX): tensor
        for name, tensor in read_state_dict(folder / TENSORS).items()
    }
    wrong = _inserted(backbone, config, targets, given)
    if wrong:
        raise WeightsError(
            f"the adapter in {folder} does not fit {backbone.spec.name}: {wrong}",
            hint="Use it with the backbone that it was trained on.",
        )


def _inserted(
    backbone: Backbone, config: Mapping[str, Any], targets: list[str], given: dict[str, Tensor]
) -> str:
    """Insert the adapter and load it; returns why it does not fit, in words."""
    net = backbone.net
    paths = [
        path
        for path, _ in net.named_modules()
        if any(path == target or path.endswith(f".{target}") for target in targets)
    ]
    if not paths:
        return f"it has no layers called {some(targets)}"
    head = {
        name.removeprefix(f"{backbone.head_path}."): given.pop(name)
        for name in list(given)
        if name.startswith(f"{backbone.head_path}.")
    }
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _insert(net, config, paths)
    except Exception as error:  # of PEFT
        adapter_layers.remove(net)
        return first_line(error)
    current = adapter_layers.tensors(net)
    # PEFT leaves '.weight' out of the names of DoRA's magnitudes.
    short = {name: name for name in current} | {
        name.removesuffix(".weight"): name for name in current if "_vector." in name
    }
    # A network with a head for a task has its encoder one level deeper: bert.encoder, encoder.
    deeper = {name: short.get(name, short.get(name.partition(".")[2], name)) for name in given}
    wrong = adapter_layers.load_tensors(net, {deeper[k]: t for k, t in given.items()})
    if wrong:
        adapter_layers.remove(net)
        return "; ".join(wrong)
    fitting = head_for(head, backbone.head, backbone.spec.feature_dim) if head else None
    if isinstance(fitting, nn.Module) and not difference(head, fitting.state_dict()):
        fitting.load_state_dict(head)
        backbone.replace_head(fitting)
    return ""


def _insert(net: nn.Module, config: Mapping[str, Any], paths: list[str]) -> None:
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING, inject_adapter_in_model

    options = {**config, "target_modules": "|".join(map(re.escape, paths))}
    kind = PEFT_TYPE_TO_CONFIG_MAPPING[options.pop("peft_type")]
    inject_adapter_in_model(kind(**options), net)


def _read_config(file: Path) -> tuple[dict[str, Any], list[str]]:
    """The settings that are known, and the names of the adapted layers."""
    try:
        given = json.loads(read_small(file))
    except (OSError, ValueError, RecursionError) as error:
        raise _invalid(file, first_line(error)) from error
    if not isinstance(given, dict):
        raise _invalid(file, "it is not a JSON object")
    kind = str(given.get("peft_type"))
    if kind not in _KNOWN:
        raise _invalid(file, f"peft_type is {kind!r}, expected one of {', '.join(_KNOWN)}")
    known, targets = _KNOWN[kind], _names(given.get("target_modules"))
    if not targets:
        raise _invalid(file, "target_modules must be a list of names of layers")
    config, usual = {"peft_type": kind}, None
    for key, value in given.items():
        if key in known:
            if not known[key](value):
                raise _invalid(file, f"{key} = {value!r:.60} is not valid")
            config[key] = value
        elif key not in _ABOUT_THE_FILE and value not in (None, False, "none", [], {}):
            usual = _usual_settings(kind) if usual is None else usual
            if key not in usual or value != usual[key]:
                raise _invalid(file, f"the setting {key} = {value!r:.60} is not supported")
    return config, targets


def _usual_settings(kind: str) -> Mapping[str, Any]:
    """The settings that PEFT writes, whatever the user sets."""
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING, PeftType

    usual: Mapping[str, Any] = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(kind)]().to_dict()
    return usual


def _names(value: Any) -> list[str] | None:
    """Names of layers: a list, or an expression of escaped names; never another expression."""
    parts = re.split(r"\|", value) if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        return None
    names = [part.replace("\\.", ".") for part in parts]
    return names if all(re.fullmatch(r"[\w.-]{1,300}", name) for name in names) else None


def _invalid(file: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"{file} cannot be used: {reason}",
        hint="zoo reads LoRA, DoRA, IA³, LoHa and LoKr adapters of PEFT with their usual settings. For "
        "another: merge it with PEFT (model.merge_and_unload()), and save the model.",
    )
