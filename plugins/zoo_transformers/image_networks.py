"""Makes the library's image networks, and finds out what they take and give."""

from __future__ import annotations

from zoo import Backbone as Backbone  # first: readies torch for torchvision

# isort: split
import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING,
    AutoModel,
    AutoModelForImageClassification,
    PretrainedConfig,
    PreTrainedModel,
)

from zoo import BackboneSpec, Batch, NameLookupError, first_line
from zoo_transformers import names, networks

_MASK = "mask_token"

SIZES = (32, 64, 128, 192, 224)
"""Image sizes that are tried, to find the smallest that a network takes."""


def make_config(spec: BackboneSpec, classes: int) -> PretrainedConfig:
    """The library's config for ``spec``, with ``classes`` labels (2 where no head is published).

    Raises:
        NameLookupError: The installed Transformers does not have the architecture, or a number
            cannot be.
    """
    changes = {}
    if spec.image_input.fixed_size and "image_size" in spec.config:
        changes["image_size"] = spec.image_input.size
    return networks.library_config(spec, classes, **changes)


def make(config: PretrainedConfig) -> PreTrainedModel:
    """The library's classifier, else its bare encoder, with random parameters, in float32."""
    kind: Any = AutoModelForImageClassification if classifies(config) else AutoModel
    net: PreTrainedModel = kind.from_config(config, dtype=torch.float32, trust_remote_code=False)
    _set_mask_tokens_aside(net)
    return net


def _set_mask_tokens_aside(net: nn.Module) -> None:
    """Make buffers of the parameters that stand for masked patches in pretraining alone."""
    for module in net.modules():
        if isinstance(token := getattr(module, _MASK, None), nn.Parameter):
            delattr(module, _MASK)
            module.register_buffer(_MASK, token.detach())


def classifies(config: PretrainedConfig) -> bool:
    """Whether the library has an image classifier for ``config``."""
    return type(config) in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING


def head_path(net: PreTrainedModel) -> str:
    """Where the head of a classifier sits; an encoder gets :data:`names.ZOO_HEAD`."""
    return names.head_path(net) if classifies(net.config) else names.ZOO_HEAD


def features(net: nn.Module, batch: Batch) -> Tensor:
    """What the head reads: ``(B, feature_dim)``.

    Of a classifier, what it hands to its last layer; of an encoder its own pooled output, else the
    average of its last hidden states.
    """
    pixels = batch["pixel_values"]
    options = {"interpolate_pos_encoding": True} if resizes(net, pixels.shape[-2:]) else {}
    out = net(pixel_values=pixels, **options)
    found: Tensor | None = out.get("logits")
    if found is None:
        found = out.get("pooler_output")
    if found is None:
        hidden: Tensor = out.last_hidden_state  # (B, T, C), or (B, C, H, W)
        return hidden.mean(dim=1) if hidden.ndim == 3 else hidden.flatten(2).mean(dim=2)
    return found.flatten(1)


def resizes(net: nn.Module, size: Sequence[int]) -> bool:
    """Whether the network's positions have to be interpolated for images of height and width ``size``."""
    own = getattr(net.config, "image_size", None)
    sides = (own, own) if isinstance(own, int) else tuple(own or ())
    takes = "interpolate_pos_encoding" in inspect.signature(net.forward).parameters
    return takes and tuple(size) != sides


@dataclass(frozen=True)
class MeasuredImageNetwork:
    """What building a network on the meta device and running it shows."""

    feature_dim: int
    params: int
    input: Mapping[str, Any]


def measure(spec: BackboneSpec, classes: int) -> MeasuredImageNetwork:
    """Build the network of ``spec`` and run it on images of several sizes, without values.

    Raises:
        NameLookupError: The library has no such network, or it does not run on images.
    """
    config = make_config(spec, classes)
    networks.check_size(spec, lambda: make(config), None)
    try:
        with torch.device("meta"):
            net = make(config).train(mode=False)
            head = head_path(net)
            if classifies(config):
                net.set_submodule(head, nn.Identity())
            width = _width(net, spec.image_input.size, spec.image_input.size)
    except Exception as error:  # the library lets through whatever a config runs into
        raise NameLookupError(
            f"{spec.name} does not run on images of {spec.image_input.size} pixels: "
            f"{first_line(error, kind=True)}",
            hint="Use the config.json and preprocessor_config.json that belong to the weights.",
        ) from error
    params = sum(parameter.numel() for parameter in net.parameters())
    params += classes * (width + 1)
    return MeasuredImageNetwork(width, params, _sizes(net, config, spec.image_input.size))


def _sizes(net: nn.Module, config: PretrainedConfig, size: int) -> Mapping[str, Any]:
    """The fields of :class:`zoo.ImageInput` that say which sizes a network takes."""
    patch = getattr(config, "patch_size", 1)
    step = max(patch) if isinstance(patch, (list, tuple)) else int(patch or 1)
    if size % step:
        step = 1
    for side in [*(each for each in SIZES if each < size), size]:
        least = -(-side // step) * step
        tried = copy.deepcopy(net)  # Swin's layers change when an image is too small for a window
        try:
            _width(tried, least, least)
            _width(tried, least, least + max(step, 8))
            return {"min_size": least, "multiple_of": step}
        except Exception:  # as refusing is each network's own affair
            continue
    return {"min_size": size, "multiple_of": 1, "fixed_size": True}


def _width(net: nn.Module, height: int, width: int) -> int:
    """The width of the features of an image, on the meta device."""
    with torch.inference_mode():
        pixels = torch.zeros(2, 3, height, width, device="meta")
        found = features(net, {"pixel_values": pixels})
    if found.ndim != 2:
        raise ValueError(f"features of shape {tuple(found.shape)}")
    return int(found.shape[1])


def measured(spec: BackboneSpec, classes: int) -> BackboneSpec:
    """``spec`` with the width, the number of parameters and the sizes that are measured."""
    found = measure(spec, classes)
    return replace(spec, feature_dim=found.feature_dim, params=found.params).with_input(
        **found.input
    )
