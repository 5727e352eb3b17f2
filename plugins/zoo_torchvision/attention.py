"""Attention-based families: ViT (arXiv:2010.11929), Swin (arXiv:2103.14030), Swin v2
(arXiv:2111.09883) and MaxViT (arXiv:2204.01697).

ViT and MaxViT are built for the image size in the spec. Swin accepts any size.
"""

from __future__ import annotations

import math
import re
from typing import cast

from torch import nn

from zoo import Backbone, BackboneSpec, UsageError
from zoo_torchvision.network import StateDict, cut, network, wrap

from torchvision.models.vision_transformer import (  # isort: skip
    VisionTransformer,
    interpolate_embeddings,
)

SIZE_STEPS = {
    "maxvit_t": 224,  # downsampled by 32, then split into 7 × 7 windows
    "vit_b_16": 16,
    "vit_b_32": 32,
    "vit_h_14": 14,
    "vit_l_16": 16,
    "vit_l_32": 32,
}
"""For networks with a fixed image size, in pixels: the size must be a multiple of this."""

SWIN_STAGES = cut("features", patches=1, stage1=1, stage2=2, stage3=2, stage4=2) | {
    "norm": ("norm",)
}

MAXVIT_STAGES = {
    "stem": ("stem",),
    **cut("blocks", block1=1, block2=1, block3=1, block4=1),
    "classifier.3": ("classifier.2", "classifier.3"),
}

_POSITIONS = "encoder.pos_embedding"
_OLD_MLP_NAMES = {".mlp.linear_1.": ".mlp.0.", ".mlp.linear_2.": ".mlp.3."}


def load_vit(spec: BackboneSpec) -> Backbone:
    """Build a ViT for the image size in the spec.

    Position embeddings of weights for another size are interpolated.

    Raises:
        UsageError: The image size is not a multiple of the patch size.
    """
    size = _checked_size(spec)
    net = cast(VisionTransformer, network(spec.arch, image_size=size))

    def convert(state: StateDict) -> StateDict:
        return _with_positions(_with_present_mlp_names(state), size, net.patch_size)

    return wrap(
        net,
        spec,
        head="heads.head",
        stages=_vit_stages(net),
        convert=convert,
        image_size=size,
        prefix_tokens=1,
    )


def load_swin(spec: BackboneSpec) -> Backbone:
    """Build a Swin v1 or v2.

    ``qkv`` and ``proj`` cannot have adapters: the attention uses their weights without calling
    the layers.
    """
    net = network(spec.arch)
    never_called = [
        path for path, _ in net.named_modules() if re.search(r"\.attn\.(qkv|proj)$", path)
    ]
    return wrap(net, spec, head="head", stages=SWIN_STAGES, never_adapted=never_called)


def load_maxvit(spec: BackboneSpec) -> Backbone:
    """Build a MaxViT for the image size in the spec.

    Raises:
        UsageError: The image size is not a multiple of 224.
    """
    size = _checked_size(spec)
    net = network(spec.arch, input_size=(size, size))
    return wrap(net, spec, head="classifier.5", stages=MAXVIT_STAGES, input_size=(size, size))


def _checked_size(spec: BackboneSpec) -> int:
    size, step = spec.image_input.size, SIZE_STEPS[spec.arch]
    if size % step:
        nearest = max(step, round(size / step) * step)
        raise UsageError(
            f"the image size of {spec.name} must be a multiple of {step}, got {size}",
            hint=f"The nearest size is {nearest}: --image-size {nearest}.",
        )
    return size


def _vit_stages(net: VisionTransformer) -> dict[str, tuple[str, ...]]:
    layers = [name for name, _ in cast(nn.Sequential, net.encoder.layers).named_children()]
    return {
        "patches": ("conv_proj", "class_token", _POSITIONS, "encoder.dropout"),
        **{f"layer{i}": (f"encoder.layers.{name}",) for i, name in enumerate(layers, start=1)},
        "ln": ("encoder.ln",),
    }


def _with_present_mlp_names(state: StateDict) -> StateDict:
    """Rename MLP layers: the files predate ``torchvision.ops.MLP`` (pytorch/vision#6053)."""
    renamed = dict(state)
    for old, new in _OLD_MLP_NAMES.items():
        renamed = {key.replace(old, new): value for key, value in renamed.items()}
    return renamed


def _with_positions(state: StateDict, size: int, patch: int) -> StateDict:
    """Interpolate the position embeddings in ``state`` if they are for another ``size``."""
    positions = state.get(_POSITIONS)
    if positions is None or positions.ndim != 3:
        return state
    patches = positions.shape[1] - 1  # (1, 1 + patches, width): the first is the class token's
    if patches < 1 or math.isqrt(patches) ** 2 != patches:
        return state
    return dict(interpolate_embeddings(size, patch, dict(state)))
