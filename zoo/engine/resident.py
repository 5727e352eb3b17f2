"""Cached features on the device, where they take a modest part of its memory."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SHARE = 0.25
"""Of the device's free memory that one array may take."""


def on_device(array: NDArray[np.float32], device: torch.device) -> Tensor:
    """The array on the device if it fits there, else on the CPU, where it stays memory-mapped."""
    tensor = torch.from_numpy(array)
    return tensor.to(device) if tensor.nbytes <= SHARE * free_memory(device) else tensor


def free_memory(device: torch.device) -> int:
    """Free bytes on the device; 0 on a CPU, or if unknown."""
    if device.type == "cpu":
        return 0
    try:
        return torch.accelerator.get_memory_info(device)[0]
    except RuntimeError:  # not every kind of device reports it
        return 0
