"""Workarounds for bugs in torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn


def spare_group_norms(net: nn.Module) -> None:
    """Avoid a crash of group normalisations.

    On the CPU, the backward pass of torch 2.13 crashes with a segmentation fault if the input of a
    group normalisation is channels-last and needs no gradient, as after a frozen stage.
    """
    for module in net.modules():
        if isinstance(module, nn.GroupNorm):
            module.register_forward_pre_hook(_row_by_row)


def _row_by_row(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    x = inputs[0]
    affected = (
        x.is_cpu and not x.requires_grad and torch.is_grad_enabled() and not x.is_contiguous()
    )
    return (x.contiguous(), *inputs[1:]) if affected else None


@contextmanager
def headers_in(folder: Path) -> Iterator[None]:
    """Have torch's compiler store precompiled headers in ``folder`` while the block runs.

    There is no setting for this: it uses ``torchinductor_USER`` in the system's temporary folder,
    where other users could place headers that are then compiled into networks (torch 2.11 to 2.14,
    ``torch/_inductor/codecache.py``).
    """
    from torch._inductor import codecache

    headers = folder / "precompiled_headers"
    before = codecache._HEADER_DIR, codecache._HEADER_LOCK_DIR
    codecache._HEADER_DIR = str(headers)
    codecache._HEADER_LOCK_DIR = str(headers / "locks")
    try:
        yield
    finally:
        codecache._HEADER_DIR, codecache._HEADER_LOCK_DIR = before
        codecache._precompile_header.cache_clear()  # of paths in the folder, which may go
