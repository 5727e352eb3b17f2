"""Build networks without values, on the meta device, where the largest take a tenth of a second."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_FILLS = frozenset(
    (
        *("add_", "clamp_", "copy_", "erfinv_", "fill_", "mul_", "normal_", "uniform_", "zero_"),
        *("constant_", "kaiming_uniform_"),  # of torch.nn.init, as are two of those above
    )
)

_MOST = 2**20  # the longest range that is made


class _NoFilling(TorchFunctionMode):
    """Skips what fills a tensor in place: without values it does nothing, and takes most of the time."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _FILLS:
            filled = args[0] if args else kwargs["tensor"]  # torch.nn.init names it
            if filled.is_meta:
                return filled
        if func is torch.arange and str(kwargs.get("device")) == "meta" and _few(args):
            # It imports SymPy there.
            return func(*args, **{**kwargs, "device": "cpu"}).to("meta")
        return func(*args, **kwargs)


def _few(limits: tuple[Any, ...]) -> bool:
    """Whether a range is short enough to be made; a configuration may say anything."""
    return all(isinstance(each, (int, float)) and abs(each) <= _MOST for each in limits)


def light_meta() -> contextlib.AbstractContextManager[Any]:
    """What is built on the meta device in the block is built faster, and without importing SymPy."""
    return _NoFilling()


@contextlib.contextmanager
def without_values() -> Iterator[None]:
    """Networks built in the block are on the meta device."""
    with light_meta(), torch.device("meta"):
        yield
