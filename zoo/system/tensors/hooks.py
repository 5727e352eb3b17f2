"""Forward hooks for the duration of a block: to record, change or stop a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

Before = Callable[[nn.Module, Any], None]
After = Callable[[nn.Module, Any], Any]


@contextmanager
def hooked(
    modules: Iterable[nn.Module], *, before: Before | None = None, after: After | None = None
) -> Iterator[None]:
    """Call ``before`` and ``after`` whenever one of ``modules`` runs, while the block does.

    Args:
        modules: Modules, each once.
        before: Called with the module and the tuple of its inputs.
        after: Called with the module and its output; replaces the output by its result, unless that
            is ``None``.
    """
    with ExitStack() as stack:
        for module in modules:
            if before is not None:
                stack.callback(module.register_forward_pre_hook(before).remove)
            if after is not None:
                stack.callback(module.register_forward_hook(_output_only(after)).remove)
        yield


def _output_only(after: After) -> Callable[[nn.Module, Any, Any], Any]:
    return lambda module, _inputs, output: after(module, output)
