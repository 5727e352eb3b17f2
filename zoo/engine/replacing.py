"""Replacing torch's functions by faster ones while a network runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

from torch.overrides import TorchFunctionMode

Functions: TypeAlias = Mapping[Callable[..., Any], Callable[..., Any]]
"""By the function of torch that it replaces, with the same parameters."""


def replaced(functions: Functions) -> AbstractContextManager[Any]:
    """Replace the functions while the block runs, also where a network calls them itself."""
    return _Replacing(functions) if functions else nullcontext()


class _Replacing(TorchFunctionMode):
    def __init__(self, functions: Functions) -> None:
        super().__init__()
        self._functions = functions

    def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._functions.get(func, func)(*args, **(kwargs or {}))
