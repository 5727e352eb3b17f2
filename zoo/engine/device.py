"""Where to compute."""

from __future__ import annotations

import torch

from zoo.errors import UsageError, first_line


def choose_device(requested: str) -> torch.device:
    """The device that ``auto`` (an accelerator if there is one) or a name like ``cuda:1`` means.

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
            f"--device {requested} cannot be used here: {first_line(error)}",
            hint="Give 'auto' or 'cpu'.",
        ) from error
    return device
