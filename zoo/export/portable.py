"""Names that are valid on other machines: no folders of this one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

_ADDRESSES = ("https://", "http://", "hf:", "package:")
_SCHEME = "path:"


def is_address(text: str) -> bool:
    """Whether it is an address on the web, on the Hub or in a package."""
    return text.startswith(_ADDRESSES)


def last_part(text: str) -> str:
    """``text``; of an absolute path, or one that leads outside, the last part (of ``path:…`` too)."""
    scheme = _SCHEME if text.startswith(_SCHEME) else ""
    path = _path(text.removeprefix(scheme))
    outside = path.is_absolute() or (path.parts and path.parts[0] in ("~", ".."))
    return f"{scheme}{path.name or 'folder'}" if outside or scheme else text


def without_folders(value: Any) -> Any:
    """JSON data with :func:`last_part` of every string in it."""
    if isinstance(value, Mapping):
        return {key: without_folders(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_folders(item) for item in value]
    return last_part(value) if isinstance(value, str) else value


def data_name(source: str) -> str:
    """Public name of the data: addresses and the demo in full, the last part of paths."""
    path = _path(source)
    if is_address(source) or source.startswith("demo/") or len(path.parts) < 2:
        return source
    return path.name or "folder"


def _path(text: str) -> PurePosixPath | PureWindowsPath:
    windows = PureWindowsPath(text)
    return windows if windows.drive or "\\" in text else PurePosixPath(text)
