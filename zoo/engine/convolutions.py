"""Gradients of convolution weights by matrix products, on processors where that is faster.

On a processor with AVX2 but not AVX-512, the library computes the gradient of a channels-last
convolution's weight at half the speed of a matrix product, and everything else at full speed. So
the windows of a few images at a time are copied to a matrix, and multiplied by the gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

from zoo.engine.replacing import Functions

_MOST_BYTES = 4 * 2**20
"""Size of the matrix of windows, so that it stays in the cache."""

_FEWEST_CHANNELS = 16  # below, copying costs more than is gained


def fast_weight_gradients(net: nn.Module, device: torch.device) -> Functions:
    """Replaces convolutions that would gain, for the gradients of their weights.

    Nothing on other devices and processors, and where no convolution of ``net`` trains.
    """
    slow = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2"
    if slow and any(isinstance(m, nn.Conv2d) and _gains(m.weight) for m in net.modules()):
        return {torch.conv2d: _conv2d}
    return {}


def _gains(weight: Tensor) -> bool:
    """Whether a weight trains, is channels-last, and large enough.

    Args:
        weight: ``(outputs, channels, height, width)``.
    """
    _, channels, height, width = weight.shape
    return (
        weight.requires_grad
        and height * width > 1
        and channels >= _FEWEST_CHANNELS
        and weight.is_contiguous(memory_format=torch.channels_last)
    )


def _conv2d(
    input: Tensor,  # noqa: A002 - the names of torch.conv2d
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    if (
        groups == 1
        and not isinstance(padding, str)
        and input.ndim == 4
        and input.dtype == weight.dtype == torch.float32
        and _gains(weight)
        and torch.is_grad_enabled()
        and not torch.is_autocast_enabled(input.device.type)
        and input.is_contiguous(memory_format=torch.channels_last)
    ):
        sizes = tuple(
            (n, n) if isinstance(n, int) else tuple(n) for n in (stride, padding, dilation)
        )
        result: Tensor = _Convolution.apply(input, weight, bias, *sizes)  # type: ignore[no-untyped-call]
        return result
    return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
        dilation: tuple[int, int],
    ) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.sizes = stride, padding, dilation  # type: ignore[attr-defined]
        return torch.conv2d(images, weight, bias, stride, padding, dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        stride, padding, dilation = ctx.sizes
        of_images, of_weight, of_bias = ctx.needs_input_grad[:3]
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        others = [of_images, False, of_bias]
        to_images, _, to_bias = (
            torch.ops.aten.convolution_backward(
                *(gradient, images, weight, [len(weight)] if of_bias else None),
                *(stride, padding, dilation, False, [0, 0], 1, others),
            )
            if any(others)
            else (None, None, None)
        )
        to_weight = _of_weight(images, weight, gradient, *ctx.sizes) if of_weight else None
        return to_images, to_weight, to_bias, None, None, None


def _of_weight(
    images: Tensor,
    weight: Tensor,
    gradient: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Tensor:
    """The gradient of ``weight``, given that of the output; channels-last, as all of them."""
    outputs, channels, *kernel = weight.shape
    height, width = gradient.shape[2:]
    pixels, columns = height * width, channels * kernel[0] * kernel[1]
    rows = gradient.permute(0, 2, 3, 1).reshape(-1, outputs)  # (b · pixels, outputs)
    around = (0, 0, padding[1], padding[1], padding[0], padding[0])
    few = max(1, _MOST_BYTES // (pixels * columns * 4))
    matrix = images.new_empty(min(few, len(images)) * pixels, columns)
    total = images.new_zeros(outputs, columns)
    for first in range(0, len(images), few):
        some = functional.pad(images[first : first + few].permute(0, 2, 3, 1), around)
        part = matrix[: len(some) * pixels]
        each, down, right, one = some.stride()
        windows = some.as_strided(
            (len(some), height, width, *kernel, channels),
            (
                each,
                stride[0] * down,
                stride[1] * right,
                dilation[0] * down,
                dilation[1] * right,
                one,
            ),
        )
        part.view(windows.shape).copy_(windows)
        total.addmm_(rows[first * pixels : (first + len(some)) * pixels].T, part)
    return total.view(outputs, *kernel, channels).permute(0, 3, 1, 2)
