"""Attribution for images: Grad-CAM.

Computed here because importing captum, which imports Matplotlib, takes longer than all the maps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from zoo.contract.network.backbone import Backbone
from zoo.errors import first_line
from zoo.modalities.attribution import (
    Attributed,
    Attribution,
    NotAttributed,
    Question,
    without_parameter_gradients,
)
from zoo.modalities.image.arrays import FoundArray, as_array, shown
from zoo.modalities.image.showing import image_uri, overlay_uri, whereabouts
from zoo.modalities.image.transforms import RGB, Normalise
from zoo.system.tensors.hooks import hooked

_FINE = 4
"""Minimum side of a useful feature map; coarser maps are used only if there are no others."""

_TRIED = 6  # stages to try, the last first

_LEAST_SEEN = 1e-30


@dataclass(frozen=True)
class Heat:
    """Heat maps of images.

    Attributes:
        maps: ``(B, size, size)`` in [0, 1]; all 0 if there is no evidence for the output.
        layer: The module whose feature maps were used.
        grid: The side of its feature maps.
    """

    maps: NDArray[np.float32]
    layer: str
    grid: int


def attribute(question: Question) -> Attributed:
    """The images as the network sees them, with heat maps if the network supports them."""
    batch = question.loader.batch([(0, i) for i in range(len(question.samples))])
    pixels = batch["pixel_values"]  # (B, C, size, size)
    shown = [
        Attribution(question.samples.input(i), image_uri(image))
        for i, image in enumerate(_bytes(pixels, question))
    ]
    try:
        backbone = question.network().to(question.device).eval()
        given = pixels.to(question.device)
        if given.dtype == torch.uint8:
            given = Normalise(backbone.spec.image_input)(given)
        heat = grad_cam(backbone, given, question.outputs, question.against)
    except Exception as error:  # a plugin's network may raise anything; show plain images then
        return Attributed(tuple(shown), absent=first_line(error))
    shown = [
        replace(each, overlay=overlay_uri(image, heat_map), place=whereabouts(heat_map))
        for each, image, heat_map in zip(shown, _bytes(pixels, question), heat.maps, strict=True)
    ]
    method = f"Grad-CAM at {heat.layer}, {heat.grid} × {heat.grid}"
    return Attributed(tuple(shown), method)


def _bytes(pixels: Tensor, question: Question) -> NDArray[np.uint8]:
    """``(B, size, size, 3)``, of 0 to 255."""
    if pixels.shape[1] != RGB:
        return np.stack([np.asarray(shown(FoundArray(as_array(each, "")))) for each in pixels])
    if pixels.dtype != torch.uint8:
        pixels = Normalise(question.spec.image_input).inverse(pixels)
    return np.asarray(pixels.permute(0, 2, 3, 1).numpy())


def grad_cam(
    backbone: Backbone,
    pixels: Tensor,
    outputs: Sequence[int],
    against: Sequence[bool] | None = None,
) -> Heat:
    """Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391) of one output for each image.

    It uses the last stage whose feature maps are at least 4 × 4 and have a gradient: in a
    transformer with a class token, the last but one.

    Args:
        backbone: In evaluation mode.
        pixels: Prepared, on its device: ``(B, C, size, size)``.
        outputs: The output to attribute, for each image.
        against: Whether to show evidence against the output instead, for each image: for a class
            that is not predicted, the map of evidence for it may be empty.

    Raises:
        NotAttributed: No stage outputs feature maps, or none has a gradient.
    """
    size = int(pixels.shape[-1])
    with torch.enable_grad(), without_parameter_gradients(backbone):
        path, first = _seen(backbone, pixels[:1], outputs[:1])
        rest = _map_at(backbone, path, pixels[1:], outputs[1:]) if len(pixels) > 1 else first[:0]
    cams = torch.cat([first, rest])  # (B, 1, h, w)
    if against is not None:
        signs = [-1.0 if negative else 1.0 for negative in against]
        cams = cams * cams.new_tensor(signs)[:, None, None, None]
    cams = cams.relu().float()
    whole = functional.interpolate(cams, (size, size), mode="bicubic")[:, 0].clamp(min=0)
    peak = whole.amax(dim=(1, 2), keepdim=True)
    maps = torch.where(peak > _LEAST_SEEN, whole / peak.clamp(min=_LEAST_SEEN), 0.0)
    return Heat(maps.detach().cpu().numpy(), path, int(cams.shape[-1]))


def _seen(backbone: Backbone, image: Tensor, output: Sequence[int]) -> tuple[str, Tensor]:
    """The layer to use, and its map of one image: ``(1, 1, h, w)``."""
    paths = _layers_with_maps(backbone, image)
    if not paths:
        raise NotAttributed("no later stage of this network outputs feature maps")
    for path in paths[:_TRIED]:
        cam = _map_at(backbone, path, image, output)
        if cam.abs().max() > _LEAST_SEEN:
            return path, cam
    raise NotAttributed("the feature maps of the last stages have no gradient")


def _layers_with_maps(backbone: Backbone, image: Tensor) -> list[str]:
    """The module with the last feature maps of each stage; the last stage first.

    Fine maps come first, then coarse ones, the finest first. The first of several stages is left
    out, since its maps say nothing about the prediction.
    """
    sides: dict[str, int] = {}  # in execution order
    calls: dict[str, int] = {}

    paths = {module: path for path, module in backbone.net.named_modules() if path}

    def note(module: nn.Module, output: Any) -> None:
        path = paths[module]
        calls[path] = calls.get(path, 0) + 1
        maps = backbone.maps_of(output) if isinstance(output, Tensor) else None
        if maps is not None and min(maps.shape[-2:]) > 1:
            sides[path] = min(maps.shape[-2:])

    with torch.no_grad(), hooked(paths, after=note):
        backbone.features(image)
    last = {backbone.stage_of(path): path for path in sides if calls[path] == 1}
    order = [stage.name for stage in backbone.stages()]
    late = [last[stage] for stage in reversed(order[1:] or order) if stage in last]
    fine = [path for path in late if sides[path] >= _FINE]
    coarse = [path for path in late if sides[path] < _FINE]
    return fine + sorted(coarse, key=lambda path: -sides[path])


def _map_at(backbone: Backbone, path: str, pixels: Tensor, outputs: Sequence[int]) -> Tensor:
    """``(B, 1, h, w)``, with negative values."""
    target = torch.tensor(outputs, device=pixels.device)
    with _as_leaf(backbone, path) as leaves:
        logits = backbone(pixels)  # (B, outputs)
    (maps,) = leaves  # (B, channels, h, w)
    chosen = logits.gather(1, target[:, None]).sum()
    (gradient,) = torch.autograd.grad(chosen, maps)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * maps.detach()).sum(dim=1, keepdim=True)


@contextmanager
def _as_leaf(backbone: Backbone, path: str) -> Iterator[list[Tensor]]:
    """A list that the layer's feature maps, ``(B, channels, h, w)``, are added to when it runs.

    The autograd graph starts there, so no gradient is computed for earlier layers.
    """
    leaves: list[Tensor] = []

    def through(_: nn.Module, output: Tensor) -> Tensor:
        whole = output.detach().clone()
        seen = backbone.maps_of(whole)  # a view
        assert seen is not None
        with torch.enable_grad():
            leaves.append(seen.detach().clone().requires_grad_())
            view = backbone.maps_of(whole)
            assert view is not None
            view.copy_(leaves[-1])  # back among other tokens
        return whole

    with hooked([backbone.net.get_submodule(path)], after=through):
        yield leaves
