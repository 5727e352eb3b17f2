"""Fit the first convolutions of a network to another number of channels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from zoo.errors import ContractError

_RGB = 3


def first_convolutions(net: nn.Module) -> tuple[str, ...]:
    """Paths of the convolutions that read the image.

    All with three input channels, or if there are none the first one. Grouped convolutions, which
    take their channels apart, do not count.
    """
    found = _convolutions(net)
    colour = tuple(path for path, module in found.items() if module.in_channels == _RGB)
    return colour or tuple(found)[:1]


def _convolutions(net: nn.Module) -> dict[str, nn.Conv2d]:
    return {
        path: module
        for path, module in net.named_modules()
        if isinstance(module, nn.Conv2d) and module.groups == 1
    }


def channels_of(net: nn.Module, state: Mapping[str, Tensor]) -> int | None:
    """The input channels of the first convolution in weights; ``None`` if it is not in them."""
    for path in first_convolutions(net)[:1]:
        weight = state.get(f"{path}.weight")
        return weight.shape[1] if weight is not None and weight.ndim == 4 else None
    return None


def fit_channels(net: nn.Module, channels: int, name: str) -> str:
    """Give the first convolutions ``channels`` input channels; return how, in words.

    For one channel the weights are summed: a grey image has the outputs of the same image in
    colour. For others they are repeated in turn and scaled by old / new channels, as in timm
    (https://github.com/huggingface/pytorch-image-models, ``adapt_input_conv``).

    Args:
        net: The network.
        channels: How many it is to have.
        name: The backbone's name, for the error.

    Returns:
        Nothing where the network has that many channels already.

    Raises:
        ContractError: The network has no such convolution.
    """
    paths = first_convolutions(net)
    if not paths:
        raise ContractError(
            f"{name} has no first convolution that could be given {channels} channels",
            hint="Use --channels 3, or a convolutional backbone such as resnet18.",
        )
    if next(iter(_convolutions(net).values())).in_channels == channels:
        return ""  # of a network of one channel, later convolutions may take three
    before = 0
    for path in paths:
        convolution = net.get_submodule(path)
        assert isinstance(convolution, nn.Conv2d)
        before = convolution.in_channels
        convolution.weight = nn.Parameter(
            fitted_weight(convolution.weight.detach(), channels),
            requires_grad=convolution.weight.requires_grad,
        )
        convolution.in_channels = channels
    _note_channels(net, before, channels)
    how = "summed" if channels == 1 else f"repeated and scaled by {before}/{channels}"
    many = "channel" if channels == 1 else "channels"
    return f"{channels} {many} instead of {before}: the weights of {', '.join(paths)} are {how}"


def fitted_weight(weight: Tensor, channels: int) -> Tensor:
    """The weight ``(out, in, h, w)`` of a convolution for another number of input channels."""
    before = weight.shape[1]
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    turns = -(-channels // before)
    repeated = weight.repeat(1, turns, 1, 1)[:, :channels]
    return torch.mul(repeated, before / channels).contiguous()


def _note_channels(net: nn.Module, before: int, channels: int) -> None:
    """Update the attributes by which Transformers' modules check their input."""
    for module in net.modules():
        for holder in (module, getattr(module, "config", None)):
            if getattr(holder, "num_channels", None) == before:
                holder.num_channels = channels  # type: ignore[union-attr]


def require_all_channels(features: Tensor, without: Tensor, name: str, channel: int) -> None:
    """Raise a :class:`ContractError` if the features do not depend on a channel.

    Args:
        features: Of a batch.
        without: Of the batch with other values in one channel.
        name: The backbone's name.
        channel: The number of that channel, from 1.
    """
    if torch.equal(features, without):
        raise ContractError(
            f"{name} ignores channel {channel} of its input, so it cannot use other channels than "
            "those of its weights",
            hint="Choose another backbone, such as resnet18, or use --channels 3.",
        )
