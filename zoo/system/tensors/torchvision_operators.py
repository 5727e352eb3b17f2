"""Make torchvision importable with a torch build that its operators do not match.

A torchvision wheel built for CUDA beside a CPU build of torch (or any other mismatched pair)
cannot load its operator library, and its import then fails with "operator torchvision::nms does
not exist". Declaring the two operator schemas that the import asks for is enough for its models
and transforms; detection operators and its own JPEG decoder stay unavailable.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

import torch

from zoo.system.tensors.compiler_import import compiler_unimported

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@functools.cache
def declare_missing_operators() -> bool:
    """Declare torchvision's operators if its own library cannot be loaded.

    Call before the first ``import torchvision``; :mod:`zoo.contract.network.backbone` does.

    Returns:
        Whether torchvision's own operators work, i.e. nothing had to be declared.
    """
    found = importlib.util.find_spec("torchvision")
    if found is None or not found.submodule_search_locations:
        return False
    folder = Path(next(iter(found.submodule_search_locations)))
    for library in (*folder.glob("_C*.so"), *folder.glob("_C*.pyd")):
        try:
            torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]
        except (OSError, ImportError):
            continue
        return True
    _declare()
    return False


def transforms() -> Any:
    """``torchvision.transforms``, with ``v2``; imported without torch's compiler."""
    declare_missing_operators()
    with compiler_unimported():
        import torchvision.transforms.v2

        return torchvision.transforms


def _declare() -> None:
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for schema in _SCHEMAS:
        library.define(schema)  # type: ignore[no-untyped-call]
    _keep.append(library)


_keep: list[torch.library.Library] = []  # a Library that is collected takes its schemas along
