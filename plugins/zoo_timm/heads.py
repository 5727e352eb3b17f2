"""The heads of timm's networks, and how one linear head replaces them.

Most networks end in one linear layer (or a 1x1 convolution, which is equivalent). Some end in
several: one for each of two distillation tokens, or one for each branch. All of these compute
``mean over g of sum over i of s_gi (W_gi x_i + b_gi)``: ``g`` counts parallel heads, ``i`` the
parts of one head, and the ``s_g`` are weights that sum to one. One linear layer on the
concatenated parts computes the same, and its parameters can be converted back so that the native
network gives the same outputs.

The conversion of published parameters is exact, with two exceptions. Parallel heads with
different inputs (two tokens, two normalisations: DeiT, PiT, LeViT, RepViT and iFormer, the
distilled ones) become one averaged head on the average of the inputs. VOLO's auxiliary head takes
the maximum over all tokens, which is not a function of the features; it is dropped, and exported
as zeros, which add nothing.

CAFormer and ConvFormer end in a small MLP, which timm counts as part of the head; the features
are its input. A linear head in its place has the native names of ``use_mlp_head=False``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoo import ContractError

StateDict = dict[str, Tensor]

AUXILIARY = ("aux_head",)
"""Heads that add to the output and are not a function of the features."""

MIXES = {"heads": "weights", "heads_dist": "weights_dist"}
"""Paths of the parts of a head, and the parameter whose softmax weights them."""


@dataclass(frozen=True)
class HeadLayout:
    """Native names of a head.

    Attributes:
        path: Path of the single head in zoo's network.
        groups: Parallel heads; each is the paths of its layers, one per part.
        widths: The width of each part.
        mixes: For each group the parameter whose softmax gives the weights; empty if all parts
            have the same weight.
        auxiliary: A head that is dropped; empty if there is none.
        convolution: Whether the layers are 1x1 convolutions.
    """

    path: str
    groups: tuple[tuple[str, ...], ...]
    widths: tuple[int, ...]
    mixes: tuple[str, ...] = ()
    auxiliary: str = ""
    convolution: bool = False

    @property
    def joined(self) -> bool:
        """Whether the head's input is a concatenation of several parts."""
        return len(self.widths) > 1

    @property
    def plain(self) -> bool:
        """Whether names and shapes are already the native ones."""
        whole = self.groups == ((self.path,),)
        return whole and not (self.convolution or self.auxiliary)

    def to_native(self, state: StateDict) -> StateDict:
        """Convert the head's parameters to the native names; heads that are not linear stay
        unchanged."""
        weight, bias = state.get(f"{self.path}.weight"), state.get(f"{self.path}.bias")
        if self.plain or weight is None or weight.ndim != 2:
            return state
        native = _without(state, [self.path])
        pieces = torch.split(weight * len(self.widths), list(self.widths), dim=1)
        for group in self.groups:
            for path, piece in zip(group, pieces, strict=True):
                shaped = piece[:, :, None, None] if self.convolution else piece
                native[f"{path}.weight"] = shaped.clone()  # safetensors stores nothing twice
                if bias is not None:
                    native[f"{path}.bias"] = bias.clone()
        native |= {mix: torch.ones(len(self.widths)).to(weight) for mix in self.mixes}
        if self.auxiliary:
            native[f"{self.auxiliary}.weight"] = torch.zeros_like(weight)
            native[f"{self.auxiliary}.bias"] = weight.new_zeros(len(weight))
        return native

    def from_native(self, state: StateDict) -> StateDict:
        """The inverse of :meth:`to_native`; an incomplete head stays unchanged."""
        if self.plain:
            return state
        layers = [path for group in self.groups for path in group]
        plain = _without(state, [self.auxiliary])
        if not all(name in state for name in [*(f"{p}.weight" for p in layers), *self.mixes]):
            return plain
        plain = _without(plain, [*layers, *self.mixes])
        plain[f"{self.path}.weight"] = self._average(state, "weight")
        if f"{layers[0]}.bias" in state:
            plain[f"{self.path}.bias"] = self._average(state, "bias")
        return plain

    def _average(self, state: StateDict, what: str) -> Tensor:
        """Average the parallel heads; their parts are concatenated, or (biases) added."""
        heads = []
        for number, group in enumerate(self.groups):
            pieces = [state[f"{path}.{what}"] for path in group]
            if self.joined:
                shares = self._shares(state, number).to(pieces[0])
                pieces = [piece * share for piece, share in zip(pieces, shares, strict=True)]
            if what == "weight":
                heads.append(torch.cat([piece.flatten(1) for piece in pieces], dim=1))
            else:
                heads.append(torch.stack(pieces).sum(0))
        return torch.stack(heads).mean(0) if len(heads) > 1 else heads[0]

    def _shares(self, state: StateDict, number: int) -> Tensor:
        count = len(self.widths)
        if self.mixes:
            return state[self.mixes[number]].float().softmax(-1)
        return torch.full((count,), 1 / count)


def find_layout(net: Any) -> HeadLayout:
    """Return where the head of timm's network ``net``, built with outputs, is.

    Raises:
        ContractError: The layers that timm calls the classifier do not have the width that the
            network states.
    """
    stated = net.pretrained_cfg.get("classifier") or ()
    places = [stated] if isinstance(stated, str) else list(stated)
    paths = _with_unstated(net, [path for path in places if path not in AUXILIARY])
    layers = {path: net.get_submodule(path) for path in paths}
    widths = [_width(path, layer) for path, layer in layers.items()]
    if len(paths) == 1 and widths[0] != net.head_hidden_size:
        whole = _place_of(net, net.get_classifier())
        return HeadLayout(path=whole, groups=((whole,),), widths=(net.head_hidden_size,))
    groups = _grouped(list(layers), widths, net.head_hidden_size)
    joined = len(groups[0]) > 1
    parents = [group[0].rpartition(".")[0] for group in groups]
    mixes = [MIXES[parent] for parent in parents if joined and parent in MIXES]
    return HeadLayout(
        path=parents[0] if joined else groups[0][0],
        groups=groups,
        widths=tuple(widths[: len(groups[0])]),
        mixes=tuple(mixes),
        auxiliary=next((path for path in places if path in AUXILIARY), ""),
        convolution=any(isinstance(layer, nn.Conv2d) for layer in layers.values()),
    )


def unify(net: nn.Module, layout: HeadLayout) -> None:
    """Replace timm's heads by one equivalent linear layer."""
    if layout.plain:
        return
    native = {name: value.detach() for name, value in net.state_dict().items()}
    state = layout.from_native(native)
    weight, bias = state[f"{layout.path}.weight"], state.get(f"{layout.path}.bias")
    outputs, width = weight.shape
    with torch.device("meta"):
        head = nn.Linear(width, outputs, bias=bias is not None)
    head.weight = nn.Parameter(weight.clone())
    if bias is not None:
        head.bias = nn.Parameter(bias.clone())
    for group in layout.groups:
        for path in group:
            net.set_submodule(path, nn.Identity())
    for name in filter(None, (layout.auxiliary, *layout.mixes)):
        setattr(net, name, None)
    net.set_submodule(layout.path, head)


def _with_unstated(net: Any, paths: list[str]) -> list[str]:
    """``paths``, and those of parallel heads that are missing from timm's configuration
    (levit_384_s8).

    ``get_classifier`` returns all heads; the layer has the same path in each.
    """
    classifier = net.get_classifier()
    if not isinstance(classifier, tuple):
        return paths
    heads = [_place_of(net, module) for module in classifier]
    within = paths[0].removeprefix(heads[0])
    unstated = [head for head in heads if not any(f"{p}.".startswith(f"{head}.") for p in paths)]
    return [*paths, *(f"{head}{within}" for head in unstated)]


def _place_of(net: nn.Module, module: nn.Module) -> str:
    places: dict[int, str] = {id(found): path for path, found in net.named_modules()}
    return places[id(module)]


def _width(path: str, layer: nn.Module) -> int:
    if isinstance(layer, nn.Linear):
        return layer.in_features
    if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and layer.groups == 1:
        return layer.in_channels
    raise ContractError(f"the head at {path} is a {type(layer).__name__}, not a linear layer")


def _grouped(
    paths: Sequence[str], widths: Sequence[int], whole: int
) -> tuple[tuple[str, ...], ...]:
    """Group ``paths`` into heads whose parts have the total width ``whole``."""
    groups: list[tuple[str, ...]] = []
    pieces: list[str] = []
    total = 0
    for path, width in zip(paths, widths, strict=True):
        pieces.append(path)
        total += width
        if total == whole:
            groups.append(tuple(pieces))
            pieces, total = [], 0
    if pieces or not groups:
        raise ContractError(
            f"the heads at {', '.join(paths) or 'no path'} have widths {list(widths)}, "
            f"expected {whole} in total"
        )
    return tuple(groups)


def _without(state: StateDict, layers: Iterable[str]) -> StateDict:
    """``state`` without the tensors at or under ``layers``."""
    gone = tuple(f"{layer}." for layer in layers if layer)
    return {k: v for k, v in state.items() if not f"{k}.".startswith(gone or ("\0",))}
