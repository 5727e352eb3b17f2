"""The device to compute on."""

from __future__ import annotations

import torch

from zoo.errors import UsageError, first_line


def choose_device(requested: str) -> torch.device:
    """The device for ``auto`` (an accelerator if there is one) or a name such as ``cuda:1``.

    Raises:
        UsageError: There is no such device on this machine.
    """
    if requested == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator or torch.device("cpu")
    try:
        device = torch.device(requested)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(
            f"--device {requested} is not available: {first_line(error)}",
            hint="Use --device auto or --device cpu; --device cuda is an NVIDIA or AMD GPU.",
        ) from error
    return device
