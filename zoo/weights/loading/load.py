"""Read weights files safely."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from zoo.errors import WeightsError, first_line
from zoo.system.files import require_regular
from zoo.weights.find import choose, fetch, file_sha256

__all__ = ["choose", "fetch", "file_sha256", "read_state_dict", "read_tensors"]


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a ``.safetensors`` or ``.pth`` file, without executing code.

    The state dict may be nested under ``state_dict``, ``model`` or ``model_state_dict``.

    Raises:
        WeightsError: The file cannot be read, contains code, or needs more memory than its size.
    """
    try:
        require_regular(path)
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        _check_archive(path)
        with warnings.catch_warnings():  # about the pickle protocol, which the user cannot change
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    # For damaged files the parsers raise anything: RuntimeError, EOFError, struct.error,
    # IndexError, AssertionError, MemoryError, …
    except Exception as error:
        if isinstance(error, pickle.UnpicklingError) or "weights_only" in str(error):
            raise _contains_code(path) from error
        raise WeightsError(
            f"failed to read weights from {path}: {first_line(error)}",
            hint="Use a .safetensors file, or a .pth file with a state_dict.",
        ) from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in loaded.items()
    ):
        raise WeightsError(
            f"{path} does not contain a state_dict (a mapping of names to tensors)",
            hint="Save one: torch.save(network.state_dict(), PATH).",
        )
    _check_sizes(path, loaded)
    return loaded


def _check_archive(path: Path) -> None:
    """Reject TorchScript programs, and compressed archives, which torch does not write."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if any(entry.filename.rpartition("/")[2] == "constants.pkl" for entry in entries):
        raise _contains_code(path)
    unpacked, packed = sum(entry.file_size for entry in entries), path.stat().st_size
    if unpacked > packed:
        raise WeightsError(
            f"{path} is compressed ({packed:,} bytes unpack to {unpacked:,}); weights must not be",
            hint="Ask its author for a .safetensors file.",
        )


def _check_sizes(path: Path, state: Mapping[str, Tensor]) -> None:
    """Reject tensors without stored values, e.g. larger than the file."""
    size = path.stat().st_size
    for name, tensor in state.items():
        plain = tensor.layout == torch.strided and not tensor.is_quantized
        if not plain or tensor.is_meta or tensor.nbytes > size:
            description = f"{tuple(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"
            raise WeightsError(
                f"{path} does not contain the values of its tensor {name!r}, {description}",
                hint="Ask its author for a .safetensors file, or for a plain state_dict.",
            )


def _contains_code(path: Path) -> WeightsError:
    return WeightsError(
        f"{path} contains code; zoo does not execute code from weights files",
        hint="Ask its author for a .safetensors file, or for a plain state_dict.",
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file, or of all weights files in a ``save_pretrained`` folder.

    Raises:
        WeightsError: As for :func:`read_state_dict`; or the folder has no weights.
    """
    if not path.is_dir():
        return read_state_dict(path)
    if (path / "adapter_config.json").exists():
        raise WeightsError(
            f"{path} contains a PEFT adapter (adapter_config.json), not a complete model",
            hint="Merge the adapter and save the model: PEFT's merge_and_unload(), save_pretrained().",
        )
    patterns = (
        "model.safetensors",
        "model-*.safetensors",
        "pytorch_model.bin",
        "pytorch_model-*.bin",
    )
    files: list[Path] = next(filter(None, (sorted(path.glob(name)) for name in patterns)), [])
    if not files:
        raise WeightsError(
            f"{path} contains no weights",
            hint="Use a folder with model.safetensors, as written by save_pretrained.",
        )
    return {name: tensor for file in files for name, tensor in read_state_dict(file).items()}
