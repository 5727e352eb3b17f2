"""Compiled calls: ``torch.compile``, its artefacts in the zoo's cache, its errors in words."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.errors import UsageError
from zoo.system.paths import COMPILED, cache_folder
from zoo.system.private_folders import require_private
from zoo.system.tensors.torch_workarounds import keep_headers_in

COMPILES = ("auto", "on", "off")

_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


def quickened(
    call: Callable[[Any], Tensor], *, dynamic: bool, frozen: bool = False
) -> Callable[[Any], Tensor]:
    """``call``, compiled for each kind of input when that first comes.

    Args:
        call: A module, or a method of one.
        dynamic: Compile once for inputs of any shape, rather than once for each.
        frozen: The parameters never change, and may be worked into the code; only for inference.

    Raises:
        UsageError: Of what it gives: when the network cannot be compiled.
    """
    from torch._dynamo.exc import TorchDynamoException

    _keep()
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
                f"the network cannot be compiled here: {reason}",
                hint="Compiling needs a C++ compiler, or Triton on a GPU. "
                "It runs without: --compile off",
            ) from error
        return made

    return run


def _keep() -> None:
    """Have torch write what it compiles, and reads and runs again, in the user's own folder.

    That is in the zoo's cache unless the user says where; where it cannot be written, in a new
    temporary folder that goes with the process.

    Raises:
        UsageError: Others could have put code there.
    """
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    # Torch sets the variable itself when its compiler is imported, by whomever.
    folder = Path(os.environ.get(_VARIABLE, default_cache_dir()))
    if folder == Path(default_cache_dir()):
        folder = cache_folder() / COMPILED
    try:
        require_private(folder)
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="zoo-compiled-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[_VARIABLE] = str(folder)
    keep_headers_in(folder)
