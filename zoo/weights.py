"""Pretrained parameters: find or download them, check them, read them safely."""

from __future__ import annotations

import os
import pickle
import sys
import urllib.error
from pathlib import Path
from urllib.parse import urlsplit

import safetensors.torch
import torch
from filelock import FileLock
from safetensors import SafetensorError
from torch import Tensor

from zoo.backbone import Backbone
from zoo.errors import WeightsError, WeightsUnavailable
from zoo.files import sha256_of
from zoo.places import cached_file, hub_parts, torch_folder
from zoo.reach import hub_reachable, reachable
from zoo.run_record import LOCK_FILE, read_run
from zoo.spec import BackboneSpec, Weights


def fetch(weights: Weights) -> Path:
    """The file (or, for a whole Hub repository, the folder) that holds ``weights``.

    Looks into the usual caches first (torch.hub's, the Hub's), then downloads into them.

    Raises:
        WeightsUnavailable: They are not here and their host is out of reach.
        WeightsError: The download failed, or its hash is not the published one.
    """
    if (path := cached_file(weights)) is not None:
        return _verified(path, weights)
    if weights.uri.startswith(("http://", "https://")):
        return _fetch_url(weights)
    if weights.uri.startswith("hf:"):
        return _fetch_from_hub(weights)
    raise WeightsError(
        f"there is no file of weights at {weights.uri}",
        hint="Give the path of a .safetensors or .pth file, a tag of 'zoo show NAME', or none.",
    )


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


def choose(spec: BackboneSpec, wish: str) -> Weights | None:
    """The weights that ``auto``, ``none``, a tag or a path stands for.

    A run folder stands for what the run wrote, which :func:`fetch` then holds it to; a file for
    whatever is in it.

    Raises:
        WeightsError: There is no such tag and no such file.
        RunError: It is the folder of a run that is damaged.
    """
    if wish == "none":
        return None
    if wish == "auto":
        return spec.default_weights
    for weights in spec.weights:
        if weights.tag == wish:
            return weights
    path = Path(wish).expanduser()
    if os.path.isfile(path / LOCK_FILE):
        return read_run(path).weights
    if path.exists():
        inside = path / "model.safetensors"  # a folder that save_pretrained wrote
        return Weights(
            tag="file", uri=str((inside if inside.is_file() else path).resolve()), classes=0
        )
    tags = ", ".join(w.tag for w in spec.weights) or "none published"
    raise WeightsError(
        f"{spec.name} has no weights called {wish!r}, and there is no such file",
        hint=f"Its weights: {tags}. Or give a path, 'auto', or 'none'.",
    )


def file_sha256(path: Path) -> str:
    """All 64 hexadecimal digits of a file's sha256; of a folder, those of its weights file."""
    if path.is_dir():
        files = sorted(path.glob("*.safetensors")) or sorted(path.glob("*.bin"))
        if not files:
            return ""
        path = files[0]
    return sha256_of(path)


def _fetch_url(weights: Weights) -> Path:
    if not reachable(weights.uri):
        raise _unavailable(weights, torch_folder() / Path(urlsplit(weights.uri).path).name)
    target = torch_folder() / Path(urlsplit(weights.uri).path).name
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.exists():
            try:
                torch.hub.download_url_to_file(
                    weights.uri, str(target), weights.sha256 or None, progress=sys.stderr.isatty()
                )
            except (OSError, urllib.error.URLError, RuntimeError) as error:
                raise WeightsError(
                    f"downloading {weights.uri} failed: {_first_line(error)}",
                    hint=f"Try again, or put the file at {target} yourself.",
                ) from error
    return target


def _fetch_from_hub(weights: Weights) -> Path:
    import huggingface_hub
    from huggingface_hub import errors

    repo, file = hub_parts(weights.uri)
    if not hub_reachable():
        raise _unavailable(weights, None)
    try:
        if file is None:
            return Path(huggingface_hub.snapshot_download(repo, allow_patterns=_wanted(repo)))
        return Path(huggingface_hub.hf_hub_download(repo, file))
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError, ValueError) as error:
        raise WeightsError(
            f"fetching {weights.uri} failed: {_first_line(error)}",
            hint="Try again, or give a local file or folder with --weights PATH.",
        ) from error


def _wanted(repo: str) -> list[str]:
    """Configuration, tokenizer, and one form of the weights: safetensors where there are any."""
    import huggingface_hub

    files = huggingface_hub.list_repo_files(repo)
    safe = any(file.endswith(".safetensors") for file in files)
    return ["*.json", "*.txt", "*.model", "*.safetensors" if safe else "pytorch_model*.bin"]


def _verified(path: Path, weights: Weights) -> Path:
    """``path``, after its hash has been compared with the published digits, where there are any."""
    if not weights.sha256 or path.is_dir():
        return path
    found = file_sha256(path)
    if not found.startswith(weights.sha256):
        ours = not weights.uri.startswith(("http://", "https://", "hf:"))
        raise WeightsError(
            f"{path} is damaged: its sha256 begins with {found[: len(weights.sha256)]}, "
            f"the published one with {weights.sha256}",
            hint=f"Put the right file back, or take it as it is with --weights {path}."
            if ours
            else "Delete the file and run the command again.",
        )
    return path


def _unavailable(weights: Weights, place: Path | None) -> WeightsUnavailable:
    put = f", put the file at {place}" if place else ""
    return WeightsUnavailable(
        f"the weights {weights.tag!r} are not on this machine and {weights.uri} is out of reach",
        hint=f"Give --weights PATH for a local file, --weights none to start from random ones{put}.",
    )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
