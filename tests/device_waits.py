"""Records what would make the host wait for a device, while everything runs on the CPU.

Tensors that the engine places on the device are marked, and so is what is computed from them. To
read the value of a marked tensor on the host would wait for a device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_OPERATORS = {
    *("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "bincount"),
    *("_unique2", "unique_dim", "unique_consecutive", "repeat_interleave"),
}
_METHODS: Mapping[Callable[..., Any], str] = {
    Tensor.tolist: "tolist",
    Tensor.numpy: "numpy",
    Tensor.cpu: "cpu",
}


def mark(value: Any) -> Any:
    """Mark all tensors in ``value`` as being on the device."""
    for leaf in tree_leaves(value):
        if isinstance(leaf, Tensor):
            leaf._on_device = True  # type: ignore[attr-defined]
    return value


def marked(value: Any) -> bool:
    """Whether there is a marked tensor in ``value``."""
    return any(getattr(leaf, "_on_device", False) for leaf in tree_leaves(value))


class _Operators(TorchDispatchMode):
    def __init__(self, waits: list[str]) -> None:
        super().__init__()
        self._waits = waits

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = (args, kwargs or {})
        name = func.overloadpacket.__name__
        on_device = marked(given)
        if on_device and (name in _OPERATORS or _masks(name, args)):
            self._waits.append(name)
        result = func(*args, **(kwargs or {}))
        if on_device:
            mark((result, given))
        return result


class _Methods(TorchFunctionMode):
    def __init__(self, waits: list[str]) -> None:
        super().__init__()
        self._waits = waits

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if args and marked(args[0]):
            if func in _METHODS:
                self._waits.append(_METHODS[func])
            elif func is Tensor.to and "cpu" in args[1:] and not (kwargs or {}).get("non_blocking"):
                self._waits.append("to cpu")
        return func(*args, **(kwargs or {}))


def _masks(name: str, args: tuple[Any, ...]) -> bool:
    """Whether it indexes by a mask, whose size the host must know."""
    if not name.startswith("index"):
        return False
    indices = tree_leaves(args[1:2])
    return any(isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8) for i in indices)


@contextmanager
def recorded(waits: list[str], *modules: nn.Module) -> Iterator[None]:
    """While the block runs, append to ``waits`` what would wait; ``modules`` are on the device."""
    for module in modules:
        mark([*module.parameters(), *module.buffers()])
    with ExitStack() as stack:
        stack.enter_context(_Methods(waits))
        stack.enter_context(_Operators(waits))
        yield
