"""Keep torch's compiler from being imported where nothing is compiled.

Importing ``torch._dynamo`` takes as long as importing the rest of torch. It is imported to be told
not to trace: by every optimizer at its first step (``torch/optim/optimizer.py``), by operators on
the meta device (``torch/_compile.py``) and, for one function of a detection operator, by torchvision
(``torchvision/ops/roi_align.py``). While it is not imported nothing can trace, so there is nothing
to tell it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.machinery
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

_COMPILER = "torch._dynamo"
_UTILS = f"{_COMPILER}.utils"
_MASKS = f"{_COMPILER}._trace_wrapped_higher_order_op"

_lock = threading.RLock()
_windows = 0


@contextmanager
def compiler_unimported() -> Iterator[None]:
    """While the block runs, ``import torch._dynamo`` imports a stand-in.

    The stand-in has what torch, torchvision, Accelerate and Transformers ask of it without
    compiling; anything else imports the compiler, as does ``torch.compile``. May be nested, and
    used in threads.
    """
    global _windows
    with _lock:
        if _COMPILER not in sys.modules:
            utils = _StandIn(_UTILS, is_compile_supported=_is_compile_supported)
            masks = _StandIn(_MASKS, TransformGetItemToIndex=_transform_get_item_to_index)
            sys.modules.update({_COMPILER: _stand_in(), _UTILS: utils, _MASKS: masks})
            sys.meta_path.insert(0, _FINDER)
        _windows += 1
    try:
        yield
    finally:
        with _lock:
            _windows -= 1
            if not _windows:
                _remove()


class _StandIn(ModuleType):
    """Imports the module whose name it has when it is asked for what it lacks."""

    def __init__(self, name: str, **held: Any) -> None:
        super().__init__(name)
        self.__path__ = []  # its submodules go to _Finder
        vars(self).update(held)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by the import system
            raise AttributeError(name)
        return getattr(_real(self.__name__), name)


class _Finder(importlib.abc.MetaPathFinder):
    """Imports the compiler when one of its submodules is imported."""

    def find_spec(
        self,
        fullname: str,
        path: object,  # noqa: ARG002 - the signature of a finder
        target: object = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith(f"{_COMPILER}.") or not _remove():
            return None
        compiler = _real(_COMPILER)
        if fullname in sys.modules:
            return importlib.machinery.ModuleSpec(fullname, _Imported())
        return importlib.machinery.PathFinder.find_spec(fullname, compiler.__path__)


class _Imported(importlib.abc.Loader):
    """Loads a module that is there, which the import system would execute a second time."""

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = sys.modules[spec.name]
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


_FINDER = _Finder()


def _remove() -> bool:
    """Take the stand-ins away; returns whether they were there."""
    with _lock:
        found = isinstance(sys.modules.get(_COMPILER), _StandIn)
        for name in (_COMPILER, _UTILS, _MASKS):
            if isinstance(sys.modules.get(name), _StandIn):
                del sys.modules[name]
        if _FINDER in sys.meta_path:
            sys.meta_path.remove(_FINDER)
        return found


def _real(name: str) -> ModuleType:
    _remove()
    return importlib.import_module(name)


def _stand_in() -> ModuleType:
    # A class without instances, as nothing has been compiled.
    compiled = SimpleNamespace(OptimizedModule=type("OptimizedModule", (), {}))
    return _StandIn(
        _COMPILER,
        graph_break=_do_nothing,
        disable=_disable,
        assume_constant_result=_assume_constant_result,
        allow_in_graph=_allow_in_graph,
        eval_frame=compiled,
    )


def _do_nothing() -> None:
    """As ``torch._dynamo.graph_break`` does where nothing is traced."""


def _disable(
    fn: Callable[..., Any] | None = None, recursive: bool = True, **options: Any
) -> Callable[..., Any]:
    """``fn``, or a decorator; disabled by the compiler itself as soon as that is imported."""
    if fn is None:
        return functools.partial(_disable, recursive=recursive, **options)
    disabled: Callable[..., Any] | None = None

    def unless_imported(*args: Any, **kwargs: Any) -> Any:
        nonlocal disabled
        if disabled is None:
            compiler = sys.modules.get(_COMPILER)
            if compiler is None or isinstance(compiler, _StandIn):
                return fn(*args, **kwargs)
            disabled = compiler.disable(fn, recursive, **options)
        return disabled(*args, **kwargs)

    return unless_imported


def _assume_constant_result(fn: Callable[..., Any]) -> Callable[..., Any]:
    """As ``torch._dynamo.assume_constant_result``, for Transformers."""
    fn._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return fn


def _allow_in_graph(fn: Callable[..., Any]) -> Callable[..., Any]:
    """``fn``: Transformers marks functions that load kernels for 8-bit weights from the Hub.

    A graph breaks at one that a compiled network calls, which the zoo's do not.
    """
    return fn


def _transform_get_item_to_index() -> Any:
    return _real(_MASKS).TransformGetItemToIndex()


def _is_compile_supported(device_type: Any) -> Any:
    return _real(_UTILS).is_compile_supported(device_type)
