"""Pretrained parameters: fetch them, read them safely."""

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
    """Names to tensors from a ``.safetensors`` file, or from a ``.pth`` file without running it.

    A file that holds the tensors one level down (``state_dict``, ``model``) is understood.

    Raises:
        WeightsError: The file cannot be read, would have to run code to be read, or asks for more
            memory than it has bytes.
    """
    try:
        require_regular(path)
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        _refuse_archive(path)
        with warnings.catch_warnings():  # about the pickle's protocol, which is not the user's
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    # The reader of a damaged file lets through whatever its parser ran into: RuntimeError,
    # EOFError, struct.error, IndexError, AssertionError, MemoryError, …
    except Exception as error:
        if isinstance(error, pickle.UnpicklingError) or "weights_only" in str(error):
            raise _runs_code(path) from error
        raise WeightsError(
            f"{path} cannot be read as weights: {first_line(error)}",
            hint="Give a .safetensors file or a .pth file with a state_dict.",
        ) from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in loaded.items()
    ):
        raise WeightsError(f"{path} is not a mapping of names to tensors")
    _refuse_empty_claims(path, loaded)
    return loaded


def _refuse_archive(path: Path) -> None:
    """Refuse programs, and files that unpack to more than they are: torch compresses nothing."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if any(entry.filename.rpartition("/")[2] == "constants.pkl" for entry in entries):
        raise _runs_code(path)
    unpacked, packed = sum(entry.file_size for entry in entries), path.stat().st_size
    if unpacked > packed:
        raise WeightsError(
            f"{path} has {packed:,} bytes and would unpack to {unpacked:,}; weights are not "
            "compressed",
            hint="Ask its author for a .safetensors file.",
        )


def _refuse_empty_claims(path: Path, state: Mapping[str, Tensor]) -> None:
    """Refuse tensors without values of their own: of a shape larger than the file, or of none."""
    size = path.stat().st_size
    for name, tensor in state.items():
        plain = tensor.layout == torch.strided and not tensor.is_quantized
        if not plain or tensor.is_meta or tensor.nbytes > size:
            what = f"{tuple(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"
            raise WeightsError(
                f"{path} does not hold the values of its tensor {name!r}, {what}",
                hint="Ask its author for a .safetensors file, or for a plain state_dict.",
            )


def _runs_code(path: Path) -> WeightsError:
    return WeightsError(
        f"{path} holds more than tensors, and the zoo does not run code from weights",
        hint="Ask its author for a .safetensors file, or for a plain state_dict.",
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, or of all weights files in a folder that ``save_pretrained`` wrote.

    Raises:
        WeightsError: As for :func:`read_state_dict`; or the folder holds no weights.
    """
    if not path.is_dir():
        return read_state_dict(path)
    patterns = (
        "model.safetensors",
        "model-*.safetensors",
        "pytorch_model.bin",
        "pytorch_model-*.bin",
    )
    files: list[Path] = next(filter(None, (sorted(path.glob(name)) for name in patterns)), [])
    if not files:
        raise WeightsError(
            f"{path} holds no weights",
            hint="Give a folder with model.safetensors, as save_pretrained writes it.",
        )
    return {name: tensor for file in files for name, tensor in read_state_dict(file).items()}
