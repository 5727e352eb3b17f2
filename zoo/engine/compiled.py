"""``--compile on``: ``torch.compile`` with its artefacts in zoo's cache and plain error messages.

Two things are compiled: the steps of a phase that trains the backbone, and the features of a frozen
one over the training split. Everything else runs uncompiled, also validation, so that evaluating
the run later gives the same digits.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from zoo.errors import UsageError
from zoo.system.environment import variable
from zoo.system.paths import COMPILED, cache_folder
from zoo.system.private_folders import require_private
from zoo.system.tensors.torch_workarounds import headers_in

_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"

Call = Callable[[Any], Tensor]


class Compiler(Protocol):
    """As :func:`compiled`."""

    def __call__(self, call: Call, *, dynamic: bool, frozen: bool = False) -> Call:
        """``call``, compiled."""


def compiled(call: Call, *, dynamic: bool, frozen: bool = False) -> Call:
    """``call``, compiled when it first gets an input of a new kind.

    Args:
        call: A module, or a method of one.
        dynamic: Compile once for all input shapes, rather than once for each.
        frozen: The parameters never change and may be inlined; only for inference.

    Raises:
        UsageError: Raised by the result: the network cannot be compiled.
    """
    from torch._dynamo.exc import TorchDynamoException

    # Recompilation counts outlive the networks that were compiled.
    torch.compiler.reset()
    # Dropout's random numbers as without compiling, so that only the last digits change.
    options: dict[str, Any] = {"freezing": True} if frozen else {"fallback_random": True}
    function = torch.compile(call, dynamic=dynamic, options=options)

    def run(inputs: Any) -> Tensor:
        try:
            outputs: Tensor = function(inputs)
        except TorchDynamoException as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = lines[0] if lines else type(error).__name__
            raise UsageError(
                f"failed to compile the network: {reason}",
                hint="Compiling needs a C++ compiler, or Triton on a GPU. "
                "Train without it: --compile off",
            ) from error
        return outputs

    return run


@contextmanager
def compile_cache() -> Iterator[Path]:
    """While the block runs, torch keeps compiled code in a folder that only the user can write.

    It is in zoo's cache, or where ``TORCHINDUCTOR_CACHE_DIR`` says; if it is not writable, it is a
    temporary folder.

    Raises:
        UsageError: Other users can write to it.
    """
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    # Torch sets the variable itself when its compiler is imported.
    folder = Path(os.environ.get(_VARIABLE, default_cache_dir()))
    if folder == Path(default_cache_dir()):
        folder = cache_folder() / COMPILED
    with ExitStack() as stack:
        try:
            require_private(folder)
        except OSError:
            made = tempfile.TemporaryDirectory(prefix="zoo-compiled-", ignore_cleanup_errors=True)
            folder = Path(stack.enter_context(made))
        stack.enter_context(variable(_VARIABLE, str(folder)))
        stack.enter_context(headers_in(folder))
        yield folder


@contextmanager
def compiling(requested: str) -> Iterator[Compiler | None]:
    """The compiler while the block runs: :func:`compiled` if ``requested`` is ``on``, else ``None``.

    Raises:
        UsageError: As :func:`compile_cache`.
    """
    if requested == "off":
        yield None
        return
    with compile_cache():
        yield compiled
