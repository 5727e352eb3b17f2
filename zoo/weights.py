"""Pretrained parameters: fetch them, read them safely, load them."""

from __future__ import annotations

import pickle
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from zoo.backbone import Backbone
from zoo.errors import WeightsError
from zoo.fetching import choose, fetch, file_sha256
from zoo.spec import Weights

__all__ = ["choose", "fetch", "file_sha256", "load_into", "read_state_dict"]


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Names to tensors from a ``.safetensors`` file, or from a ``.pth`` file without running it.

    A file that holds the tensors one level down (``state_dict``, ``model``) is understood.

    Raises:
        WeightsError: The file cannot be read, or would have to run code to be read.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} holds more than tensors, and the zoo does not run code from weights",
            hint="Ask its author for a .safetensors file, or for a plain state_dict.",
        ) from error
    except (OSError, SafetensorError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise WeightsError(
            f"{path} cannot be read as weights: {_first_line(error)}",
            hint="Give a .safetensors file or a .pth file with a state_dict.",
        ) from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise WeightsError(f"{path} is not a mapping of names to tensors")
    return loaded


def load_into(backbone: Backbone, weights: Weights | None) -> Backbone:
    """Fetch ``weights`` and load them into ``backbone``; ``None`` leaves it as it is.

    The usual last line of a loader. A published head that does not fit is left out.
    """
    if weights is not None:
        path = fetch(weights)
        backbone.load_native_state_dict(read_state_dict(path), source=f"the weights in {path}")
    return backbone


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
