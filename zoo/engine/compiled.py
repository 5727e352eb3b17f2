"""``--compile on``: ``torch.compile``, its artefacts in zoo's cache, its errors in words.

Two things are compiled: the steps of a phase that trains the backbone, and the features of a frozen
one over the training split. All else runs uncompiled, validation too, so that a later evaluation of
a run agrees to the last digit.
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
    """``call``, compiled for each kind of input when that first comes.

    Args:
        call: A module, or a method of one.
        dynamic: Compile once for inputs of any shape, rather than once for each.
        frozen: The parameters never change, and may be worked into the code; only for inference.

    Raises:
        UsageError: From the result: the network cannot be compiled.
    """
    from torch._dynamo.exc import TorchDynamoException

    # Counts of how often a function was compiled outlive the networks that it was compiled for.
    torch.compiler.reset()
    # With dropout's own random numbers, so that compiling changes the last digits alone.
    options: dict[str, Any] = {"freezing": True} if frozen else {"fallback_random": True}
    quick = torch.compile(call, dynamic=dynamic, options=options)

    def run(inputs: Any) -> Tensor:
        try:
            made: Tensor = quick(inputs)
        except TorchDynamoException as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = lines[0] if lines else type(error).__name__
            raise UsageError(
                f"failed to compile the network: {reason}",
                hint="Compiling needs a C++ compiler, or Triton on a GPU. "
                "Train without it: --compile off",
            ) from error
        return made

    return run


@contextmanager
def compile_cache() -> Iterator[Path]:
    """While the block runs, torch keeps what it compiles, and runs again, in the user's own folder.

    That is in zoo's cache unless the user says where; where it cannot be written, in a
    temporary folder that goes with the block.

    Raises:
        UsageError: Others could have put code there.
    """
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    # Torch sets the variable itself when its compiler is imported, by whomever.
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
    """What compiles while the block runs: :func:`compiled` if ``requested`` is ``on``, else nothing.

    Raises:
        UsageError: As :func:`compile_cache`.
    """
    if requested == "off":
        yield None
        return
    with compile_cache():
        yield compiled
