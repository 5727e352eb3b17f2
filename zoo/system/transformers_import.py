"""Keep what training on several machines needs from being imported with Transformers.

Importing its models imports ``torch.distributed.tensor``, with SymPy, and SciPy for a loss of object
detection: twice the time that torch takes. Both are left out where Transformers believes that they
are not installed.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
from types import ModuleType

_ASKED = "transformers.utils.import_utils"
_ABSENT = ("is_torch_distributed_available", "is_scipy_available")


def leave_out_distributed() -> None:
    """Let Transformers do without, for this process, which must not have imported it.

    For the command line, where nobody else uses Transformers; not in a process of ``torchrun``.
    """
    if "WORLD_SIZE" not in os.environ and _ASKED not in sys.modules:
        sys.meta_path.insert(0, _LibraryCheckFinder())


class _LibraryCheckFinder(importlib.abc.MetaPathFinder):
    """Finds the module in which Transformers looks for libraries."""

    def find_spec(
        self,
        fullname: str,
        path: object,
        target: object = None,  # noqa: ARG002 - the signature of a finder
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _ASKED:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)  # type: ignore[arg-type]
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    """Loads that module, and changes its answers."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        for name in _ABSENT:
            if hasattr(module, name):
                setattr(module, name, _absent)


def _absent() -> bool:
    return False
