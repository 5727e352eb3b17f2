"""Build the library's image networks, and measure their feature dimensions and valid image sizes."""

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
"""Image sizes, in pixels, that are tried to find the smallest valid one."""


def make_config(spec: BackboneSpec, classes: int) -> PretrainedConfig:
    """Return the library's config for ``spec``, with ``classes`` labels (2 if ``classes`` is 0).

    Raises:
        NameLookupError: The installed Transformers does not have the architecture, or a size in
            the config is not valid.
    """
    changes = {}
    if spec.image_input.fixed_size and "image_size" in spec.config:
        changes["image_size"] = spec.image_input.size
    return networks.library_config(spec, classes, **changes)


def make(config: PretrainedConfig) -> PreTrainedModel:
    """Build the library's classifier, or the encoder if it has none, with random weights in float32."""
    kind: Any = AutoModelForImageClassification if has_classifier(config) else AutoModel
    net: PreTrainedModel = kind.from_config(config, dtype=torch.float32, trust_remote_code=False)
    _freeze_mask_tokens(net)
    return net


def _freeze_mask_tokens(net: nn.Module) -> None:
    """Turn mask tokens, which only pretraining uses, from parameters into buffers."""
    for module in net.modules():
        if isinstance(token := getattr(module, _MASK, None), nn.Parameter):
            delattr(module, _MASK)
            module.register_buffer(_MASK, token.detach())


def has_classifier(config: PretrainedConfig) -> bool:
    """Whether the library has an image classifier for ``config``."""
    return type(config) in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING


def head_path(net: PreTrainedModel) -> str:
    """Return the path of the head of a classifier; :data:`names.ZOO_HEAD` for an encoder."""
    return names.head_path(net) if has_classifier(net.config) else names.ZOO_HEAD


def features(net: nn.Module, batch: Batch) -> Tensor:
    """Return the inputs of the head: ``(B, feature_dim)``.

    For a classifier, whose last layer must have been replaced by an identity, these are its
    logits. For an encoder it is the pooled output or, without one, the mean of the last hidden
    states.
    """
    pixels = batch["pixel_values"]
    interpolate = needs_interpolation(net, pixels.shape[-2:])
    options = {"interpolate_pos_encoding": True} if interpolate else {}
    out = net(pixel_values=pixels, **options)
    pooled: Tensor | None = out.get("logits")
    if pooled is None:
        pooled = out.get("pooler_output")
    if pooled is None:
        hidden: Tensor = out.last_hidden_state  # (B, T, C), or (B, C, H, W)
        return hidden.mean(dim=1) if hidden.ndim == 3 else hidden.flatten(2).mean(dim=2)
    return pooled.flatten(1)


def needs_interpolation(net: nn.Module, size: Sequence[int]) -> bool:
    """Whether position embeddings must be interpolated for images of ``size`` (height, width)."""
    configured = getattr(net.config, "image_size", None)
    sides = (configured, configured) if isinstance(configured, int) else tuple(configured or ())
    supported = "interpolate_pos_encoding" in inspect.signature(net.forward).parameters
    return supported and tuple(size) != sides


@dataclass(frozen=True)
class MeasuredImageNetwork:
    """Facts measured by running a network on the meta device.

    Attributes:
        feature_dim: Width of the features.
        params: Number of parameters, including the published head.
        input: Fields of :class:`zoo.ImageInput` about valid sizes.
    """

    feature_dim: int
    params: int
    input: Mapping[str, Any]


def measure(spec: BackboneSpec, classes: int) -> MeasuredImageNetwork:
    """Build the network of ``spec`` on the meta device and run it on images of several sizes.

    Raises:
        NameLookupError: The library does not have the network, or it does not run on images.
    """
    config = make_config(spec, classes)
    networks.check_size(spec, lambda: make(config), None)
    try:
        with torch.device("meta"):
            net = make(config).train(mode=False)
            head = head_path(net)
            if has_classifier(config):
                net.set_submodule(head, nn.Identity())
            width = _feature_dim(net, spec.image_input.size, spec.image_input.size)
    except Exception as error:  # an invalid config makes the library raise anything
        raise NameLookupError(
            f"{spec.name} does not run on images of {spec.image_input.size} pixels: "
            f"{first_line(error, kind=True)}",
            hint="Use the config.json and preprocessor_config.json that belong to the weights.",
        ) from error
    params = sum(parameter.numel() for parameter in net.parameters())
    params += classes * (width + 1)
    return MeasuredImageNetwork(width, params, _sizes(net, config, spec.image_input.size))


def _sizes(net: nn.Module, config: PretrainedConfig, size: int) -> Mapping[str, Any]:
    """Return the fields of :class:`zoo.ImageInput` about valid sizes."""
    patch = getattr(config, "patch_size", 1)
    step = max(patch) if isinstance(patch, (list, tuple)) else int(patch or 1)
    if size % step:
        step = 1
    for side in [*(each for each in SIZES if each < size), size]:
        smallest = -(-side // step) * step  # rounded up
        trial = copy.deepcopy(net)  # an image smaller than a window changes Swin's layers
        try:
            _feature_dim(trial, smallest, smallest)
            _feature_dim(trial, smallest, smallest + max(step, 8))
            return {"min_size": smallest, "multiple_of": step}
        except Exception:  # each network raises another type for a size that is too small
            continue
    return {"min_size": size, "multiple_of": 1, "fixed_size": True}


def _feature_dim(net: nn.Module, height: int, width: int) -> int:
    """Return the width of the features of an image, on the meta device."""
    with torch.inference_mode():
        pixels = torch.zeros(2, 3, height, width, device="meta")
        found = features(net, {"pixel_values": pixels})
    if found.ndim != 2:
        raise ValueError(f"features of shape {tuple(found.shape)}")
    return int(found.shape[1])


def measured(spec: BackboneSpec, classes: int) -> BackboneSpec:
    """Return ``spec`` with measured feature dimension, parameter count and image sizes."""
    found = measure(spec, classes)
    return replace(spec, feature_dim=found.feature_dim, params=found.params).with_input(
        **found.input
    )
