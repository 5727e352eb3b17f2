"""Remove and replace the head of a network, and check the width of a new one."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from zoo.errors import HeadWidthError, first_line


def take_out(net: nn.Module, path: str) -> nn.Module:
    """Replace the module at ``path`` by an identity and return it; an identity if there is none."""
    parent_path, _, name = path.rpartition(".")
    try:
        parent = net.get_submodule(parent_path)
        head = parent.get_submodule(name)
    except AttributeError:
        return nn.Identity()
    setattr(parent, name, nn.Identity())
    return head


def with_head(net: nn.Module, head: nn.Module, path: str) -> nn.Module | None:
    """Return a copy of a network with its head; ``None`` if ``path`` is not one of its modules."""
    whole = copy.deepcopy(net)
    try:
        whole.set_submodule(path, copy.deepcopy(head), strict=True)
    except AttributeError:
        return None
    return whole


def check_head(head: nn.Module, width: int, name: str, reference: Tensor) -> None:
    """Check that ``head`` maps ``(B, width)`` to ``(B, outputs)``.

    Args:
        head: The head, with the device and dtype of ``reference``.
        width: Width of the features.
        name: The backbone's name.
        reference: A parameter of the backbone.

    Raises:
        HeadWidthError: The head does not accept the features, or has another output shape.
    """
    training = head.training
    probe = torch.zeros(2, width, device=reference.device, dtype=reference.dtype)
    try:
        with torch.no_grad():
            output = head.eval()(probe)
    except RuntimeError as error:
        raise HeadWidthError(
            f"the head does not accept features of {name}, which have width {width}: "
            f"{first_line(error)}",
            hint=f"Build the head for (B, {width}), e.g. torch.nn.Linear({width}, classes).",
        ) from error
    finally:
        head.train(training)
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != 2:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise HeadWidthError(
            f"the head must return shape (B, outputs), got {shape} for B = 2",
            hint="Flatten its output, e.g. with torch.nn.Flatten().",
        )
