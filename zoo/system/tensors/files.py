"""Write tensors atomically, and report a full disk as the system's error."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from zoo.system.files import replacing


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write ``tensors`` to a safetensors file at ``path``.

    Raises:
        OSError: They cannot be written; ``path`` does not change.
    """
    plain = _unshared({name: tensor.detach().cpu() for name, tensor in tensors.items()})
    with replacing(path) as temporary:
        try:
            safetensors.torch.save_file(plain, temporary, metadata=dict(metadata))
        except SafetensorError as error:
            raise _as_the_systems(error) from error


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors that safetensors cannot store: channels-last ones, and all that share memory."""
    users = Counter(tensor.untyped_storage().data_ptr() for tensor in tensors.values())
    return {
        name: tensor
        if tensor.is_contiguous() and users[tensor.untyped_storage().data_ptr()] == 1
        else tensor.clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }


def _as_the_systems(error: SafetensorError) -> OSError:
    """The system's error, whose number is at the end of the library's message."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(found[1]), os.strerror(int(found[1]))) if found else OSError(str(error))
