"""Where things are kept on this machine, and what is there already. No torch."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from zoo.spec import Weights


def cache_folder() -> Path:
    """``$ZOO_CACHE``, else ``$XDG_CACHE_HOME/zoo``, else the platform's cache folder."""
    if own := os.environ.get("ZOO_CACHE"):
        return Path(own).expanduser()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).expanduser() / "zoo"
    return Path(platformdirs.user_cache_dir("zoo"))


def config_folder() -> Path:
    """``$XDG_CONFIG_HOME/zoo``, else the platform's configuration folder."""
    if xdg := os.environ.get("XDG_CONFIG_HOME"):
        return Path(xdg).expanduser() / "zoo"
    return Path(platformdirs.user_config_dir("zoo"))


def torch_folder() -> Path:
    """Where ``torch.hub`` keeps downloaded weights (``TORCH_HOME`` is respected)."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    home = os.environ.get("TORCH_HOME")
    return (Path(home).expanduser() if home else cache / "torch") / "hub" / "checkpoints"


def hub_folder() -> Path:
    """Where ``huggingface_hub`` keeps downloads (``HF_HOME``, ``HF_HUB_CACHE`` respected)."""
    if own := os.environ.get("HF_HUB_CACHE"):
        return Path(own).expanduser()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    home = os.environ.get("HF_HOME")
    return (Path(home).expanduser() if home else cache / "huggingface") / "hub"


def hub_parts(uri: str) -> tuple[str, str | None]:
    """``hf:org/name/file`` as ``("org/name", "file")``; without a file the second is ``None``."""
    org, _, rest = uri.removeprefix("hf:").partition("/")
    name, _, file = rest.partition("/")
    return (f"{org}/{name}" if name else org), file or None


def cached_file(weights: Weights) -> Path | None:
    """The file or folder that holds ``weights`` on this machine, or ``None``.

    Only looks at names: a damaged file counts as there until it is read.
    """
    uri = weights.uri
    if uri.startswith(("http://", "https://")):
        path = torch_folder() / Path(urlsplit(uri).path).name
    elif uri.startswith("hf:"):
        return _cached_from_hub(*hub_parts(uri))
    else:
        path = Path(uri).expanduser()
    return path if path.exists() else None


def _cached_from_hub(repo: str, file: str | None) -> Path | None:
    snapshots = hub_folder() / f"models--{repo.replace('/', '--')}" / "snapshots"
    for snapshot in sorted(snapshots.glob("*")):
        if file is None:
            held = any(snapshot.glob("*.safetensors")) or any(snapshot.glob("*.bin"))
            if held:
                return snapshot
        elif (snapshot / file).exists():
            return snapshot / file
    return None
