"""The families with attention: ViT (arXiv:2010.11929), Swin (arXiv:2103.14030, and version 2,
arXiv:2111.09883), MaxViT (arXiv:2204.01697).

ViT and MaxViT are built for one size of image, the one that the spec states. Swin takes any.
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
    "maxvit_t": 224,  # five halvings, then windows of seven
    "vit_b_16": 16,
    "vit_b_32": 32,
    "vit_h_14": 14,
    "vit_l_16": 16,
    "vit_l_32": 32,
}
"""Of the networks built for one size: the sizes that they can be built for are its multiples."""

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
    """ViT for images of the spec's size; position embeddings of another size are interpolated.

    Raises:
        UsageError: The size is not a whole number of patches.
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
    """Swin, version 1 or 2. Its attention reads the weights of two linear layers itself."""
    net = network(spec.arch)
    read = [path for path, _ in net.named_modules() if re.search(r"\.attn\.(qkv|proj)$", path)]
    return wrap(net, spec, head="head", stages=SWIN_STAGES, never_adapted=read)


def load_maxvit(spec: BackboneSpec) -> Backbone:
    """MaxViT for images of the spec's size.

    Raises:
        UsageError: The size does not divide into the network's windows.
    """
    size = _checked_size(spec)
    net = network(spec.arch, input_size=(size, size))
    return wrap(net, spec, head="classifier.5", stages=MAXVIT_STAGES, input_size=(size, size))


def _checked_size(spec: BackboneSpec) -> int:
    size, step = spec.image_input.size, SIZE_STEPS[spec.arch]
    if size % step:
        near = max(step, round(size / step) * step)
        raise UsageError(
            f"the image size of {spec.name} must be a multiple of {step}, got {size}",
            hint=f"The nearest size is {near}: --image-size {near}.",
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
    """The published files predate ``torchvision.ops.MLP`` (torchvision's pull request 6053)."""
    renamed = dict(state)
    for old, new in _OLD_MLP_NAMES.items():
        renamed = {key.replace(old, new): value for key, value in renamed.items()}
    return renamed


def _with_positions(state: StateDict, size: int, patch: int) -> StateDict:
    """``state`` with position embeddings for images of ``size``, interpolated where needed."""
    positions = state.get(_POSITIONS)
    if positions is None or positions.ndim != 3:
        return state
    places = positions.shape[1] - 1  # (1, 1 + places, width): the class token has one too
    if places < 1 or math.isqrt(places) ** 2 != places:
        return state
    return dict(interpolate_embeddings(size, patch, dict(state)))
