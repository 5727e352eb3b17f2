"""Activation checkpointing: blocks whose activations are computed again in the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint


def repeated_blocks(net: nn.Module) -> list[nn.Module]:
    """The modules that follow one another in a list or sequence, in pairs at least.

    A block has parts of its own: only then are there activations inside it to save. A stage with
    blocks of one class counts as these.
    """
    found: list[nn.Module] = []
    for child in net.children():
        blocks = [part for part in child.children() if _is_block(part)]
        if isinstance(child, nn.ModuleList | nn.Sequential) and len(blocks) > 1:
            for block in blocks:
                found += _of_stage(block) or [block]
        else:
            found += repeated_blocks(child)
    return found


@contextmanager
def recomputed(blocks: Sequence[nn.Module]) -> Iterator[None]:
    """While the block runs, a forward pass keeps the inputs of ``blocks`` instead of what is inside.

    Gradients are the same, dropout included. Statistics of normalisations count each input once,
    which checkpointing by the libraries does not see to.
    """
    for block in blocks:
        block.__dict__["forward"] = _checkpointed(block, block.forward)
    try:
        yield
    finally:
        for block in blocks:
            block.__dict__.pop("forward", None)


def _of_stage(stage: nn.Module) -> list[nn.Module]:
    """The blocks of one class in a stage, if it has several."""
    for held in (stage, *stage.children()):
        parts = list(held.children())
        same = len({type(part) for part in parts}) == 1 and len(parts) > 1
        if isinstance(held, nn.ModuleList | nn.Sequential) and same and all(map(_is_block, parts)):
            return parts
    return []


def _is_block(module: nn.Module) -> bool:
    return any(module.children()) and any(True for _ in module.parameters())


def _checkpointed(block: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _buffers_kept(block)

    def run(*inputs: Any, **named: Any) -> Any:
        return checkpoint(forward, *inputs, use_reentrant=False, context_fn=contexts, **named)

    return run


@contextmanager
def _buffers_kept(module: nn.Module) -> Iterator[None]:
    kept = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        for buffer, before in kept:
            buffer.data.copy_(before)  # autograd must not see it as a change
