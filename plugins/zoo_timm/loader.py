"""Builds a timm network for a spec, and loads what was published for it or what lies in a file."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor, nn

from zoo import (
    Backbone,
    BackboneSpec,
    Batch,
    UsageError,
    Weights,
    WeightsError,
    fetch,
    read_state_dict,
)
from zoo_timm.heads import HeadLayout, find_layout, unify
from zoo_timm.library import timm
from zoo_timm.stages import stage_paths

StateDict = dict[str, Tensor]

_UNLOADABLE = (
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
)
"""What timm and torch raise for a file that is damaged or of another architecture."""


def load(spec: BackboneSpec, weights: Weights | None) -> Backbone:
    """The backbone of ``spec``; a fixed-size network is built for the size that the spec states.

    Weights that timm publishes go through timm's own conversion, the resampling of position
    embeddings included. Any other file must hold the tensors of this architecture, under timm's
    names or under names that timm converts; the head in it may have any number of outputs.

    Raises:
        UsageError: The network cannot be built for that image size.
        WeightsError: The weights cannot be had or read, or are of another architecture.
    """
    if weights is None:
        default = spec.default_weights
        classes = default.classes if default else 1000
        return assemble(build(spec, classes or 1), spec, head=classes > 0)
    path = fetch(weights)
    name = f"{spec.arch}.{weights.tag}"
    if not timm.models.is_model_pretrained(name):
        return _from_file(spec, path)
    net = _published(spec, weights, name, path)
    if weights.classes:
        return assemble(net, spec, read=True)
    backbone = assemble(build(spec, 1), spec, head=False, read=True)
    backbone.load_native_state_dict(net.state_dict(), source=f"the weights in {path}")
    return backbone


def build(spec: BackboneSpec, classes: int, *, name: str = "", **options: Any) -> nn.Module:
    """timm's own network with ``classes`` outputs; 0 leaves the head out.

    Args:
        spec: Names the architecture; a fixed-size one is built for the size that it states.
        classes: Number of outputs.
        name: With a tag, where the weights of that tag are to be loaded.
        options: Passed to ``timm.create_model``.

    Raises:
        UsageError: The network cannot be built for that image size.
        WeightsError: timm has no such architecture of its own.
    """
    if not timm.is_model(spec.arch):  # timm would look for hf-hub:… and local-dir:… elsewhere
        raise WeightsError(
            f"{spec.arch!r} is not an architecture of timm {timm.__version__}",
            hint="'zoo list timm/*' lists all.",
        )
    image = spec.image_input
    if image.fixed_size:
        if image.size < image.min_size:
            raise _invalid_size(spec, f"the smallest size is {image.min_size}")
        options["img_size"] = image.size
    try:
        with _quiet():
            net: nn.Module = timm.create_model(
                name or spec.arch, num_classes=classes, in_chans=3, **options
            )
    except (AssertionError, ArithmeticError, ValueError, RuntimeError) as error:
        if name or not image.fixed_size:
            raise
        raise _invalid_size(spec, _in_a_line(error) or type(error).__name__) from error
    _check_patch_size(net, spec)
    return net


def _check_patch_size(net: nn.Module, spec: BackboneSpec) -> None:
    """Raise for a size whose last rows and columns would not be in any patch.

    Raises:
        UsageError: The network would ignore them.
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
    """The sizes that the network was pretrained for."""
    config: Any = getattr(net, "pretrained_cfg", None) or {}
    own = {int(config["input_size"][-1])} if config.get("input_size") else set()
    return own | {int(getattr(w.input, "size", 0)) for w in spec.weights if w.input}


def _invalid_size(spec: BackboneSpec, reason: str) -> UsageError:
    size = spec.image_input.size
    return UsageError(
        f"{spec.name} cannot be built for images of {size} x {size} pixels: {reason}",
        hint=f"'zoo show {spec.name}' shows its size.",
    )


def assemble(
    net: nn.Module, spec: BackboneSpec, *, head: bool = True, read: bool = False
) -> Backbone:
    """The backbone around timm's own network, whose heads become one linear layer.

    Args:
        net: As :func:`build` gives it, with outputs.
        spec: What it was built from.
        head: Whether a head was published; if not, the backbone gets an identity for one.
        read: Whether weights are loaded here, after timm's conversion.
    """
    layout = find_layout(net)
    unify(net, layout)
    if not head:
        net.set_submodule(layout.path, nn.Identity())
    return Backbone.wrap(
        net,
        spec=spec,
        head=layout.path,
        stages=stage_paths(net, head=layout.path),
        extract=_joined_features if layout.joined else _features,
        to_native=layout.to_native,
        from_native=layout.from_native,
        native=None if layout.plain else partial(build, spec),
        native_code=_native_code,
        prefix_tokens=getattr(net, "num_prefix_tokens", None),
        loaded=partial(_loaded, net, spec.arch, layout) if read else None,
    )


_MLP_HEADS = ("caformer", "convformer")
"""timm gives them a head of two layers, unless it is told not to."""

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
    """How plain timm loads a saved state."""
    image, outputs = backbone.spec.image_input, backbone.head.out_features
    arguments = [repr(backbone.spec.arch), f"num_classes={outputs}"]
    if image.fixed_size:
        arguments.append(f"img_size={image.size}")
    if backbone.spec.arch.startswith(_MLP_HEADS):
        arguments.append("use_mlp_head=False")
    return _NATIVE_CODE.format(arguments=", ".join(arguments), outputs=outputs)


def _features(net: nn.Module, batch: Batch) -> Tensor:
    """What the head reads; a head that is a convolution reads (B, feature_dim, 1, 1)."""
    features: Tensor = net(batch["pixel_values"])
    return features.flatten(1)  # (B, feature_dim)


def _joined_features(net: nn.Module, batch: Batch) -> Tensor:
    """What the pieces of the head read, side by side: (B, feature_dim)."""
    model: Any = net
    tokens = model.forward_features(batch["pixel_values"])
    features: Tensor = model.forward_head(tokens, pre_logits=True)
    return features


def _published(spec: BackboneSpec, weights: Weights, name: str, path: Path) -> nn.Module:
    """timm's network with the weights of a tag, read from ``path`` as timm reads them.

    timm unpickles with ``weights_only=True``.
    """
    source = {"file": str(path)}
    try:
        return build(
            spec, weights.classes, name=name, pretrained=True, pretrained_cfg_overlay=source
        )
    except _UNLOADABLE as error:
        raise WeightsError(
            f"failed to load the weights {name!r} from {path}: {_in_a_line(error)}",
            hint="Delete the file and run the command again, or use another with --weights PATH.",
        ) from error


def _from_file(spec: BackboneSpec, path: Path) -> Backbone:
    """The backbone with the tensors of a file, which need not be one that timm publishes."""
    default = spec.default_weights
    net = build(spec, (default.classes if default else 0) or 1000)
    state = _converted(read_state_dict(path), net, spec.arch)
    backbone = assemble(net, spec, read=True)
    backbone.load_native_state_dict(state, source=f"the weights in {path}")
    return backbone


def _loaded(net: nn.Module, arch: str, layout: HeadLayout, state: StateDict) -> StateDict:
    """What timm's conversion makes of a file, under the names that the assembled network has."""
    return layout.from_native(_converted(state, net, arch))


def _converted(state: StateDict, net: nn.Module, arch: str) -> StateDict:
    """``state`` under timm's names and shapes, by the conversion that the model file brings."""
    state = timm.models.clean_state_dict(state)
    module = sys.modules[timm.models.model_entrypoint(arch).__module__]
    convert = getattr(module, "checkpoint_filter_fn", None)
    if convert is None:
        return state
    try:
        with _quiet():
            converted: StateDict = convert(dict(state), net)
    except _UNLOADABLE:  # not of this architecture; the comparison of names says so in full
        return state
    return converted


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """timm's log and warnings are kept from the user: what matters becomes an error."""
    logger = logging.getLogger("timm")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _in_a_line(error: Exception) -> str:
    """The first lines of a message side by side: torch names the keys in the second."""
    lines = [line.strip() for line in str(error).splitlines()]
    text = " ".join(line for line in lines if line)
    return text if len(text) <= 300 else f"{text[:299]}…"
