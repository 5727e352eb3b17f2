"""``torch.compile``, with its artefacts in zoo's cache and plain error messages.

Two things are compiled: the steps of a phase that trains the backbone, and the features of a frozen
one over the training split. Everything else runs uncompiled, also validation, so that evaluating
the run later gives the same digits.

Where a network repeats blocks these are compiled, each distinct one once; else the whole network.
Neither wraps a module, so that the names in its state stay.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.contract.network.recomputing import repeated_blocks
from zoo.engine.break_even import How
from zoo.errors import UsageError, first_line
from zoo.system.environment import variable
from zoo.system.paths import COMPILED, cache_folder
from zoo.system.private_folders import require_private
from zoo.system.tensors.torch_workarounds import headers_in

_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"

_SPARE = 16
"""How often code may be compiled again for other shapes, and for blocks that differ in more than
the shapes of their parameters, before that is an error."""

TOO_OFTEN = "its code was compiled again too often, for other shapes or parameters"
"""The reason where torch's limit on recompilations is reached."""

Call = Callable[[Any], Tensor]


def kinds(net: nn.Module) -> tuple[Sequence[nn.Module], int]:
    """The blocks to compile, and how many of them are distinct; none if that would not pay.

    Blocks are alike if class, shapes and trained parameters are. There must be two of each on
    average: a whole network compiles as fast as all its parts, and runs faster.
    """
    blocks = repeated_blocks(net)
    distinct = len({str(described(block)) for block in blocks})
    return (blocks, distinct) if len(blocks) >= 2 * distinct else ((), 0)


def described(net: nn.Module) -> list[object]:
    """What code that is compiled for ``net`` depends on, beside its inputs."""
    kind = type(net)
    return [
        f"{kind.__module__}.{kind.__qualname__}",
        [(name, list(p.shape), p.requires_grad) for name, p in net.named_parameters()],
    ]


def compiled(
    call: Call, net: nn.Module, *, dynamic: bool, frozen: bool = False, how: How = "code"
) -> Call:
    """``call``, compiled when it first gets an input of a new kind.

    It raises what torch's compiler raises; see :func:`reason_of`.

    Args:
        call: A module, or a method of one.
        net: The module, whose repeated blocks are compiled.
        dynamic: Compile once for all input shapes, rather than once for each.
        frozen: The parameters never change and may be inlined; only for inference.
        how: Whether CUDA graphs are recorded too.
    """
    import torch._dynamo.config as config

    # Dropout's random numbers as without compiling, so that only the last digits change.
    options: dict[str, Any] = {} if frozen else {"fallback_random": True}
    if how == "graphs":
        options["triton.cudagraphs"] = True
    blocks, distinct = kinds(net)
    if frozen and not blocks:
        options["freezing"] = True

    def make(function: Callable[..., Any]) -> Callable[..., Any]:
        made: Callable[..., Any] = torch.compile(function, dynamic=dynamic, options=options)
        return made

    functions = {block: make(block.forward) for block in blocks}
    whole = call if functions else make(call)

    def run(inputs: Any) -> Tensor:
        if how == "graphs":
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        limits = config.patch(
            recompile_limit=2 * distinct + _SPARE, fail_on_recompile_limit_hit=True
        )
        with limits, _replaced(functions):
            outputs: Tensor = whole(inputs)
        return outputs

    return run


@contextmanager
def _replaced(functions: Mapping[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    """While the block runs, these modules compute by other functions; hooks run as before."""
    before = {module: module.__dict__.get("forward") for module in functions}
    for module, function in functions.items():
        module.__dict__["forward"] = function
    try:
        yield
    finally:
        for module, own in before.items():
            if own is None:
                del module.__dict__["forward"]
            else:
                module.__dict__["forward"] = own


def forget_compiled() -> None:
    """Free all compiled code; counts of recompilations outlive the networks otherwise."""
    torch.compiler.reset()


def reason_of(error: Exception) -> str | None:
    """Why torch's compiler failed; ``None`` if the error is another one."""
    if "torch._dynamo.exc" not in sys.modules:  # not its error, then; its import takes seconds
        return None
    from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

    if isinstance(error, FailOnRecompileLimitHit):
        return TOO_OFTEN
    if not isinstance(error, TorchDynamoException):
        return None
    return f"failed to compile the network: {first_line(error)}"


def refusal(reason: str) -> UsageError:
    """The error for a network that cannot be compiled, where that was asked for."""
    return UsageError(
        reason,
        hint="Compiling needs a C++ compiler, or Triton on a GPU. Train without it: --compile off",
    )


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
