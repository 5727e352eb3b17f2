"""Serve a run over HTTP: a web page and a JSON API. Needs the extra ``zoo-finetune[serve]``.

Importing this package does not import the extra: each name is loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo_serve.app import create_app as create_app
    from zoo_serve.limits import Limits as Limits
    from zoo_serve.server import is_loopback as is_loopback
    from zoo_serve.server import open_socket as open_socket
    from zoo_serve.server import serve as serve
    from zoo_serve.several import create_app_of_runs as create_app_of_runs

_PUBLIC = {
    "create_app": "zoo_serve.app",
    "create_app_of_runs": "zoo_serve.several",
    "is_loopback": "zoo_serve.server",
    "Limits": "zoo_serve.limits",
    "open_socket": "zoo_serve.server",
    "serve": "zoo_serve.server",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'zoo_serve' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
