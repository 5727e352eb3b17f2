"""Build timm networks as backbones."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn

from zoo import (
    Backbone,
    BackboneSpec,
    Batch,
    Native,
    TokenOptions,
    UsageError,
    WeightsError,
    first_line,
)
from zoo_timm.conversion import clean, converted
from zoo_timm.heads import find_layout, unify
from zoo_timm.library import quiet, timm
from zoo_timm.stages import stage_paths

StateDict = dict[str, Tensor]


def load(spec: BackboneSpec) -> Backbone:
    """Build the backbone of ``spec``; fixed-size networks for the image size in the spec.

    Raises:
        UsageError: The network cannot be built for that image size.
        WeightsError: timm does not have the architecture.
    """
    default = spec.default_weights
    classes = default.classes if default else 1000
    return assemble(build(spec, classes or 1), spec, head=classes > 0)


def build(spec: BackboneSpec, classes: int, **options: Any) -> nn.Module:
    """Build timm's network with ``classes`` outputs; without a head for 0.

    Args:
        spec: States the architecture and, for fixed-size networks, the image size.
        classes: Number of outputs.
        options: Passed to ``timm.create_model``.

    Raises:
        UsageError: The network cannot be built for that image size.
        WeightsError: timm does not have the architecture.
    """
    arch = architecture(spec)
    if not timm.is_model(arch):  # timm would look for hf-hub:… and local-dir:… elsewhere
        raise WeightsError(
            f"{arch!r} is not an architecture of timm {timm.__version__}",
            hint="'zoo list timm/*' lists all.",
        )
    image = spec.image_input
    if image.fixed_size:
        if image.size < image.min_size:
            raise _invalid_size(spec, f"the smallest size is {image.min_size}")
        options["img_size"] = image.size
    try:
        with quiet():
            net: nn.Module = timm.create_model(
                arch,
                num_classes=classes,
                in_chans=3,
                **{**spec.config.get("arguments", {}), **options},
            )
    except (AssertionError, ArithmeticError, ValueError, RuntimeError) as error:
        if not image.fixed_size:
            raise
        raise _invalid_size(spec, first_line(error)) from error
    _check_patch_size(net, spec)
    return net


def architecture(spec: BackboneSpec) -> str:
    """Return timm's name of the architecture: that of the row, or of a Hub repository's config."""
    return str(spec.config.get("architecture", spec.arch))


def _check_patch_size(net: nn.Module, spec: BackboneSpec) -> None:
    """Check that an image size is a multiple of the patch size.

    Raises:
        UsageError: The network would ignore the last rows and columns.
    """
    patches = getattr(net, "patch_embed", None)
    sides = getattr(patches, "patch_size", None)
    if (
        not spec.image_input.fixed_size
        or sides is None
        or getattr(patches, "dynamic_img_pad", False)
    ):
        return
    side, size = max(sides) if isinstance(sides, tuple) else sides, spec.image_input.size
    if size in _published_sizes(net, spec):  # some were pretrained so, and go on as they were
        return
    if rest := size % side:
        raise UsageError(
            f"{spec.name} would ignore the last {rest} rows and columns of {size}: it reads "
            f"patches of {side} x {side} pixels",
            hint=f"The nearest sizes are {size - rest} and {size - rest + side}.",
        )


def _published_sizes(net: nn.Module, spec: BackboneSpec) -> set[int]:
    """Return the image sizes that the network was pretrained with."""
    config: Any = getattr(net, "pretrained_cfg", None) or {}
    sizes = {int(config["input_size"][-1])} if config.get("input_size") else set()
    return sizes | {int(getattr(w.input, "size", 0)) for w in spec.weights if w.input}


def _invalid_size(spec: BackboneSpec, reason: str) -> UsageError:
    size = spec.image_input.size
    return UsageError(
        f"{spec.name} cannot be built for images of {size} x {size} pixels: {reason}",
        hint=f"'zoo show {spec.name}' shows its size.",
    )


def assemble(net: Any, spec: BackboneSpec, *, head: bool = True) -> Backbone:
    """Make a backbone of timm's network, whose heads become one linear layer.

    Args:
        net: A network from :func:`build`, with outputs.
        spec: The spec that it was built from.
        head: Whether a head was published; if not, the backbone's head is an identity.
    """
    layout, outputs = find_layout(net), int(net.num_classes)
    unify(net, layout)
    if not head:
        net.set_submodule(layout.path, nn.Identity())

    def convert(state: StateDict) -> StateDict:
        state = clean(state)
        plain, network_state = layout.from_native(state), dict(net.state_dict())
        shapes = {k: v.shape for k, v in plain.items() if not k.startswith(f"{layout.path}.")}
        if shapes == {name: tensor.shape for name, tensor in network_state.items()}:
            return plain
        return layout.from_native(converted(state, partial(build, spec, outputs), network_state))

    return Backbone.wrap(
        net,
        spec=spec,
        head=layout.path,
        stages=stage_paths(net, head=layout.path),
        extract=_joined_features if layout.joined else _features,
        convert=convert,
        native=Native(
            names=layout.to_native,
            network=None if layout.plain else partial(build, spec),
            code=_native_code,
        ),
        tokens=TokenOptions(prefix=getattr(net, "num_prefix_tokens", None)),
    )


_MLP_HEADS = ("caformer", "convformer")
"""timm gives these architectures a head of two layers by default."""

_NATIVE_CODE = """\
from pathlib import Path

import timm
from safetensors.torch import load_file


def load(folder):
    network = timm.create_model({arguments})
    network.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    return network.eval()


def logits(network, batch):
    return network(batch["pixel_values"])  # (B, {outputs})
"""


def _native_code(backbone: Backbone) -> str:
    """Return code that loads saved weights with timm alone."""
    image, outputs = backbone.spec.image_input, backbone.head.out_features
    arch = architecture(backbone.spec)
    arguments = [repr(arch), f"num_classes={outputs}"]
    own = backbone.spec.config.get("arguments", {})
    arguments += [f"{name}={value!r}" for name, value in own.items()]
    if image.fixed_size:
        arguments.append(f"img_size={image.size}")
    if arch.startswith(_MLP_HEADS):
        arguments.append("use_mlp_head=False")
    return _NATIVE_CODE.format(arguments=", ".join(arguments), outputs=outputs)


def _features(net: nn.Module, batch: Batch) -> Tensor:
    """Return the inputs of the head, flattened: a convolutional head gets (B, feature_dim, 1, 1)."""
    features: Tensor = net(batch["pixel_values"])
    return features.flatten(1)  # (B, feature_dim)


def _joined_features(net: nn.Module, batch: Batch) -> Tensor:
    """Return the concatenated inputs of the parts of the head: (B, feature_dim)."""
    model: Any = net
    tokens = model.forward_features(batch["pixel_values"])
    features: Tensor = model.forward_head(tokens, pre_logits=True)
    return features
