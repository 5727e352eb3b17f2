"""Adapt the first convolutions of a network to another number of channels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from zoo.errors import ContractError

_RGB = 3


def first_convolutions(net: nn.Module) -> tuple[str, ...]:
    """Return the paths of the convolutions that process the image.

    These are all convolutions with three input channels or, if there are none, the first one.
    Grouped convolutions are ignored.
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
    """Return the number of input channels in a state dict; ``None`` if it has no first convolution."""
    for path in first_convolutions(net)[:1]:
        weight = state.get(f"{path}.weight")
        return weight.shape[1] if weight is not None and weight.ndim == 4 else None
    return None


def fit_channels(net: nn.Module, channels: int, name: str) -> str:
    """Adapt the first convolutions to ``channels`` input channels; return a description.

    For one channel, weights are summed, so that a grey image gives the same outputs as if it were
    repeated in all channels. Otherwise they are repeated and scaled by old / new channels, as in timm
    (https://github.com/huggingface/pytorch-image-models, ``adapt_input_conv``).

    Args:
        net: The network.
        channels: The number of input channels.
        name: The backbone's name, for the error.

    Returns:
        A note for the user; empty if the network has that many channels already.

    Raises:
        ContractError: The network has no first convolution.
    """
    paths = first_convolutions(net)
    if not paths:
        raise ContractError(
            f"{name} has no first convolution to adapt to {channels} channels",
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
    """Convert a convolution's weight ``(out, in, h, w)`` to another number of input channels."""
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
        features: Features of a batch.
        without: Features of the same batch with other values in one channel.
        name: The backbone's name.
        channel: The number of that channel, starting at 1.
    """
    if torch.equal(features, without):
        raise ContractError(
            f"{name} ignores channel {channel} of its input, so it cannot use other channels than "
            "those of its weights",
            hint="Choose another backbone, such as resnet18, or use --channels 3.",
        )
