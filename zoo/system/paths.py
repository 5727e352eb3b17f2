"""Folders of caches and settings on this machine. No torch."""

from __future__ import annotations

import os
from pathlib import Path

COMPILED = "compiled"
"""The folder in the cache that keeps compiled networks."""


def cache_folder() -> Path:
    """``$ZOO_CACHE``, else ``$XDG_CACHE_HOME/zoo``, else the platform's cache folder."""
    if override := os.environ.get("ZOO_CACHE"):
        return Path(os.path.expanduser(override))
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(os.path.expanduser(xdg)) / "zoo"
    import platformdirs

    return Path(platformdirs.user_cache_dir("zoo"))


def config_folder() -> Path:
    """``$XDG_CONFIG_HOME/zoo``, else the platform's configuration folder."""
    if xdg := os.environ.get("XDG_CONFIG_HOME"):
        return Path(os.path.expanduser(xdg)) / "zoo"
    import platformdirs

    return Path(platformdirs.user_config_dir("zoo"))


def torch_folder() -> Path:
    """Where ``torch.hub`` keeps downloaded weights (``TORCH_HOME`` is respected)."""
    home = os.environ.get("TORCH_HOME")
    return (Path(os.path.expanduser(home)) if home else _caches() / "torch") / "hub" / "checkpoints"


def hub_folder() -> Path:
    """Where ``huggingface_hub`` keeps downloads (``HF_HOME``, ``HF_HUB_CACHE`` respected)."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if override := os.environ.get(name):
            return Path(os.path.expanduser(os.path.expandvars(override)))
    if home := os.environ.get("HF_HOME"):
        return Path(os.path.expanduser(os.path.expandvars(home))) / "hub"
    return _caches() / "huggingface" / "hub"


def _caches() -> Path:
    return Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache"))
