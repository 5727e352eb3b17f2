"""``timm/hf-hub:<org>/<name>``: any Hub repository with a timm ``config.json``.

The config comes from the Hub's cache on this machine, or else from the Hub. Feature dimension and
parameter count are measured on the meta device, for which timm is imported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from zoo import BackboneSpec, NameLookupError, Weights, WeightsUnavailable, fetch, read_small

NAMESPACE = "timm/hf-hub:"

_HUB_NAME = re.compile(r"(?:timm/hf-hub|hf):([\w-][\w.-]*/[\w-][\w.-]*)")
_FILES = ("model.safetensors", "pytorch_model.bin")
_NOT_ARGUMENTS = (
    "num_classes",
    "in_chans",
    "img_size",
    "checkpoint_path",
    "cache_dir",
    "scriptable",
)
"""What zoo settles, or what would have timm read a file that the config names."""

_REPAIR = (
    "Use a repository that timm's push_to_hf_hub wrote, e.g. timm/hf-hub:timm/resnet18.a1_in1k."
)

Json = Mapping[str, Any]


def resolve(name: str) -> BackboneSpec | None:
    """Return the spec of ``timm/hf-hub:<org>/<name>`` or ``hf:<org>/<name>``; ``None`` for other names.

    Raises:
        NameLookupError: The repository has no valid timm ``config.json``, or the installed timm
            does not have its architecture.
        WeightsUnavailable: The config is not on this machine, and the Hub is unreachable.
    """
    found = _HUB_NAME.fullmatch(name)
    if found is None:
        return None
    repo = found[1]
    config = _config(repo)
    try:
        return _spec(f"{NAMESPACE}{repo}", repo, config)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise NameLookupError(
            f"the config.json of {repo} is not valid for timm: {error}", hint=_REPAIR
        ) from error


def _config(repo: str) -> Json:
    try:
        path = fetch(Weights(tag="config", uri=f"hf:{repo}/config.json"))
    except WeightsUnavailable as error:
        raise WeightsUnavailable(
            f"the config.json of {repo} is not on this machine, and the Hub is unreachable",
            hint="Connect to the network, or see 'zoo list timm/*' for other backbones.",
        ) from error
    try:
        config = json.loads(read_small(path))
    except ValueError as error:
        raise NameLookupError(f"{path} is not JSON: {error}", hint=_REPAIR) from error
    if not isinstance(config, dict) or not isinstance(config.get("architecture"), str):
        raise NameLookupError(
            f"the Hub's {repo} is not a timm model: its config.json has no 'architecture'",
            hint=_REPAIR,
        )
    return config


def _spec(name: str, repo: str, config: Json) -> BackboneSpec:
    from zoo.testing import without_values
    from zoo_timm.catalogue import image_input, license_of
    from zoo_timm.library import timm
    from zoo_timm.loader import assemble, build
    from zoo_timm.rows import CATALOGUE, COMMON, read

    arch = config["architecture"]
    if not timm.is_model(arch):
        raise NameLookupError(
            f"the Hub's {repo} has the architecture {arch!r}, which timm {timm.__version__} does "
            "not have",
            hint="Try a newer version: pip install --upgrade timm",
        )
    default: Any = timm.models.get_pretrained_cfg(arch, allow_unregistered=True)
    usual = default.to_dict() if default else {}
    stated = {**usual, **(config.get("pretrained_cfg") or config)}
    classes = int(config.get("num_classes") or 0)
    row = next((spec for spec in read(CATALOGUE) if spec.name == arch), None)
    known = row.image_input if row else None
    image = image_input(
        SimpleNamespace(**{"fixed_input_size": False, "crop_mode": "center", **stated})
    )
    if known is not None:
        image = replace(
            image,
            fixed_size=known.fixed_size,
            min_size=known.min_size,
            multiple_of=known.multiple_of,
        )
    weights = Weights(
        tag="hub",
        uri=f"hf:{repo}/{_weights_file(repo)}",
        license=license_of(stated.get("license")),
        default=True,
        classes=classes,
    )
    spec = BackboneSpec(
        name=name,
        feature_dim=1,
        params=0,
        input=image,
        weights=(weights,),
        paper=row.paper if row else "",
        tags=row.tags if row else (),
        config={"architecture": arch, "arguments": _arguments(config.get("model_args") or {})},
        **COMMON,
    )
    with without_values():
        net: Any = build(spec, classes or 1)
    params = sum(p.numel() for p in net.parameters())
    spec = replace(spec, feature_dim=int(net.head_hidden_size))
    if not classes:
        params -= sum(p.numel() for p in assemble(net, spec).head.parameters())
    return replace(spec, params=params)


def _arguments(given: Json) -> dict[str, Any]:
    """Return the arguments of the architecture, without those that zoo sets itself."""
    return {
        key: value
        for key, value in given.items()
        if key.isidentifier() and key not in _NOT_ARGUMENTS and not key.startswith("pretrained")
    }


def _weights_file(repo: str) -> str:
    """Return the weights file: the cached one, or else the one that timm prefers."""
    from huggingface_hub import try_to_load_from_cache

    cached = (file for file in _FILES if isinstance(try_to_load_from_cache(repo, file), str))
    return next(cached, _FILES[0])
