"""Where a network looked: Grad-CAM on pictures, integrated gradients on texts, by captum.

Nothing here knows a family of networks. Which outputs have places, and which layer makes vectors
of tokens, the backbone says (:meth:`zoo.Backbone.maps_of`, :meth:`zoo.Backbone.token_embedding`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.contract.backbone import Backbone
from zoo.data.samples import Pair
from zoo.modalities.text.tokenization import TextEncoder
from zoo.system.tensors.hooks import hooked

_FINE = 4
"""Places a side from which on a map says something; coarser ones are taken where there are no such."""

_TRIED = 6  # stages, the last first, that are asked for a map

_WORK = 6e10
"""Floating-point operations that the maps of all texts may take, a second or two of one core; at
least one step of integration is made."""

_MOST_STEPS = 24
_LEAST_SEEN = 1e-30


class Unseen(Exception):
    """Where the network looked cannot be shown; the message says why."""


@dataclass(frozen=True)
class Heat:
    """Where a network looked on pictures.

    Attributes:
        maps: ``(B, size, size)`` in [0, 1]; all 0 where nothing spoke for the output.
        layer: The module whose output was looked at.
        grid: Places a side that the layer tells apart.
    """

    maps: NDArray[np.float32]
    layer: str
    grid: int


@dataclass(frozen=True)
class Piece:
    """A part of a text, and how much it spoke for the output: in [-1, 1], 0 for what lies between words."""

    text: str
    weight: float


# -- pictures ----------------------------------------------------------------------------------


def look_at_pictures(
    backbone: Backbone,
    pixels: Tensor,
    outputs: Sequence[int],
    against: Sequence[bool] | None = None,
) -> Heat:
    """Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391) of one output for each picture.

    It is taken of the last stage whose maps tell four places a side apart and have a gradient:
    of a transformer with a class token, that is the last but one.

    Args:
        backbone: In evaluation mode.
        pixels: Prepared, on its device: ``(B, 3, size, size)``.
        outputs: For each picture the output that is asked about.
        against: For each whether to show what spoke against the output instead: of a class that
            the network rules out, nothing may have spoken for it, and the map would be dark.

    Raises:
        Unseen: No stage puts out maps, or none has a gradient.
    """
    from captum.attr import LayerAttribution

    size = int(pixels.shape[-1])
    with torch.enable_grad(), _fixed(backbone):
        path, first = _seen(backbone, pixels[:1], outputs[:1])
        rest = _grad_cam(backbone, path, pixels[1:], outputs[1:]) if len(pixels) > 1 else first[:0]
    cams = torch.cat([first, rest])  # (B, 1, h, w)
    if against is not None:
        signs = [-1.0 if negative else 1.0 for negative in against]
        cams = cams * cams.new_tensor(signs)[:, None, None, None]
    cams = cams.relu().float()
    whole = LayerAttribution.interpolate(cams, (size, size), "bicubic")[:, 0].clamp(min=0)
    peak = whole.amax(dim=(1, 2), keepdim=True)
    maps = torch.where(peak > _LEAST_SEEN, whole / peak.clamp(min=_LEAST_SEEN), 0.0)
    return Heat(maps.detach().cpu().numpy(), path, int(cams.shape[-1]))


def _seen(backbone: Backbone, picture: Tensor, output: Sequence[int]) -> tuple[str, Tensor]:
    """The layer to look at, and the map of one picture there: ``(1, 1, h, w)``."""
    paths = _layers_with_maps(backbone, picture)
    if not paths:
        raise Unseen("none of this network's later stages puts out maps of the picture")
    for path in paths[:_TRIED]:
        cam = _grad_cam(backbone, path, picture, output)
        if cam.abs().max() > _LEAST_SEEN:
            return path, cam
    raise Unseen("the maps of its last stages have no gradient")


def _layers_with_maps(backbone: Backbone, picture: Tensor) -> list[str]:
    """For each stage the module that puts out its last maps; the last stage first.

    Those that are fine enough come before the others, and of those the finest. What the first of
    several stages puts out says nothing about the answer, and is left out.
    """
    sides: dict[str, int] = {}  # in the order in which the modules are done
    calls: dict[str, int] = {}

    paths = {module: path for path, module in backbone.net.named_modules() if path}

    def note(module: nn.Module, output: Any) -> None:
        path = paths[module]
        calls[path] = calls.get(path, 0) + 1
        maps = backbone.maps_of(output) if isinstance(output, Tensor) else None
        if maps is not None and min(maps.shape[-2:]) > 1:
            sides[path] = min(maps.shape[-2:])

    with torch.no_grad(), hooked(paths, after=note):
        backbone.features(picture)
    last = {backbone.stage_of(path): path for path in sides if calls[path] == 1}
    order = [stage.name for stage in backbone.stages()]
    late = [last[stage] for stage in reversed(order[1:] or order) if stage in last]
    fine = [path for path in late if sides[path] >= _FINE]
    coarse = [path for path in late if sides[path] < _FINE]
    return fine + sorted(coarse, key=lambda path: -sides[path])


def _grad_cam(backbone: Backbone, path: str, pixels: Tensor, outputs: Sequence[int]) -> Tensor:
    """``(B, 1, h, w)``, before negative values are left out."""
    from captum.attr import LayerGradCam

    target = torch.tensor(outputs, device=pixels.device)
    with _as_maps(backbone, path) as maps:
        cam: Tensor = LayerGradCam(backbone, maps).attribute(pixels, target=target)
    return cam.detach()


@contextmanager
def _as_maps(backbone: Backbone, path: str) -> Iterator[nn.Module]:
    """A module through which the output of the layer passes as maps, ``(B, channels, h, w)``.

    The graph begins there, so that no gradient is computed further down.
    """
    maps = nn.Identity()

    def through(_: nn.Module, output: Tensor) -> Tensor:
        whole = output.detach().clone()
        seen = backbone.maps_of(whole)  # a view
        assert seen is not None
        with torch.enable_grad():
            leaf = maps(seen.detach().clone().requires_grad_())
            view = backbone.maps_of(whole)
            assert view is not None
            view.copy_(leaf)  # back in its place among what are no places
        return whole

    with hooked([backbone.net.get_submodule(path)], after=through):
        yield maps


# -- texts -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """Which words spoke for an output.

    Attributes:
        pieces: For each input its text, or both, in pieces that put together are the text.
        steps: Of the integration.
    """

    pieces: list[list[list[Piece]]]
    steps: int


def look_at_texts(
    backbone: Backbone,
    encoder: TextEncoder,
    texts: Sequence[str | Pair],
    outputs: Sequence[int],
    device: torch.device,
) -> Reading:
    """Integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365) over the token embeddings.

    The way goes from padding, special tokens aside, to the text. The tokens of a word are added up.

    Args:
        backbone: In evaluation mode, on ``device``.
        encoder: Its tokenizer, with the limits that the run has.
        texts: The inputs.
        outputs: For each input the output that is asked about.
        device: Where it computes.

    Raises:
        Unseen: The network has no layer that makes vectors of tokens.
    """
    layer = backbone.token_embedding()
    if layer is None:
        raise Unseen("no layer of this network is known to make vectors of tokens")
    encodings = [encoder.tokenizer.encode(*_both(text)) for text in texts]
    steps = _steps(backbone, layer, sum(len(e.ids) for e in encodings))
    pieces = []
    # cuDNN's recurrent layers have no gradient outside training.
    with (
        torch.enable_grad(),
        _fixed(backbone),
        torch.backends.cudnn.flags(enabled=False),
    ):
        for text, encoding, output in zip(texts, encodings, outputs, strict=True):
            weights = _token_weights(backbone, layer, encoder, encoding, output, steps, device)
            pieces.append(_pieces(text, encoding, weights))
    return Reading(pieces, steps)


@contextmanager
def _fixed(backbone: Backbone) -> Iterator[None]:
    """No parameter takes a gradient while the block runs, so that a graph holds no more than it must."""
    trained = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_()


def _both(text: str | Pair) -> Pair | tuple[str]:
    return text if isinstance(text, tuple) else (text,)


def _steps(backbone: Backbone, layer: nn.Module, tokens: int) -> int:
    """As many as the work allows: a step costs some 6 operations a parameter and token."""
    table = sum(p.numel() for p in layer.parameters())
    parameters = sum(p.numel() for p in backbone.parameters()) - table
    return max(1, min(_MOST_STEPS, int(_WORK / (6 * max(1, parameters) * max(1, tokens)))))


def _token_weights(
    backbone: Backbone,
    layer: nn.Module,
    encoder: TextEncoder,
    encoding: Any,
    output: int,
    steps: int,
    device: torch.device,
) -> NDArray[np.float64]:
    """How much each token spoke for ``output``: ``(T,)``."""
    from captum.attr import LayerIntegratedGradients

    if not encoding.ids:
        return np.zeros(0)
    types = [encoding.type_ids] if any(encoding.type_ids) else None
    batch = {key: t.to(device) for key, t in encoder.collate([encoding.ids], types).items()}
    names = [name for name in batch if name != "input_ids"]

    def logits(ids: Tensor, *others: Tensor) -> Tensor:
        answer: Tensor = backbone({"input_ids": ids, **dict(zip(names, others, strict=True))})
        return answer

    special = torch.tensor([encoding.special_tokens_mask], device=device).bool()
    ids = batch["input_ids"]  # (1, T)
    nothing = torch.where(special, ids, encoder.input.pad_id)
    given = LayerIntegratedGradients(logits, layer).attribute(
        ids,
        baselines=nothing,
        target=output,
        additional_forward_args=tuple(batch[name] for name in names),
        n_steps=steps,
        internal_batch_size=1,  # the graph of all steps at once would be the peak of memory
    )  # (1, T, width)
    return np.asarray(given.detach().sum(dim=-1)[0].double().cpu().numpy())


def _pieces(text: str | Pair, encoding: Any, weights: NDArray[np.float64]) -> list[list[Piece]]:
    """Each text in words with their weights, the heaviest of which is 1 or -1."""
    words: dict[tuple[int, int], list[float]] = {}  # text and word, to start, end, weight
    for place, weight in enumerate(weights):
        which, word = encoding.sequence_ids[place], encoding.word_ids[place]
        if which is None or word is None:
            continue
        start, end = encoding.offsets[place]
        kept = words.setdefault((which, word), [start, end, 0.0])
        kept[:] = [min(kept[0], start), max(kept[1], end), kept[2] + float(weight)]
    heaviest = max((abs(word[2]) for word in words.values()), default=0.0) or 1.0
    return [
        _filled(own, [word for (which, _), word in words.items() if which == number], heaviest)
        for number, own in enumerate(_both(text))
    ]


def _filled(text: str, words: Sequence[list[float]], heaviest: float) -> list[Piece]:
    """The words and what lies between them, in order."""
    pieces, done = [], 0
    for start, end, weight in sorted(words):
        first, last = max(done, int(start)), int(end)
        if first > done:
            pieces.append(Piece(text[done:first], 0.0))
        if last > first:
            pieces.append(Piece(text[first:last], weight / heaviest))
        done = max(done, last)
    return [*pieces, Piece(text[done:], 0.0)] if done < len(text) else pieces
