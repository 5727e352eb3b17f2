"""Parameters sharded over processes (FSDP2), as configured in Accelerate."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from zoo.engine.recipe import Recipe
from zoo.engine.strategies import Phase
from zoo.errors import UsageError

if TYPE_CHECKING:
    from accelerate import Accelerator

Groups = list[dict[str, Any]]


def refuse_unsharded(
    accelerator: Accelerator, recipe: Recipe, phases: Sequence[Phase], precision: str
) -> None:
    """Raise a :class:`UsageError` for options that FSDP2 does not support, and for other sharding."""
    kind = str(accelerator.distributed_type).rpartition(".")[2]
    if kind in ("DEEPSPEED", "MEGATRON_LM", "TP") or (kind == "FSDP" and not accelerator.is_fsdp2):
        raise UsageError(
            f"zoo does not support sharding by {kind}",
            hint="Configure FSDP with fsdp_version 2 (accelerate config), or no sharding.",
        )
    if not accelerator.is_fsdp2:
        return
    adapters = [phase.kind.title for phase in phases if phase.kind and phase.kind.inserts]
    given = {
        "--precision fp16": precision == "fp16",
        "--ema": recipe.ema,
        "--l2sp": recipe.l2sp,
        **dict.fromkeys(adapters, True),
    }
    for option, value in given.items():
        if value:
            raise UsageError(
                f"{option} does not work with parameters sharded over processes",
                hint="Use torchrun, which does not shard parameters.",
            )


def copy_to_shard(trained: nn.Module, groups: Groups) -> tuple[nn.Module, Groups]:
    """A copy of the module to shard, and of its parameter groups."""
    copied: tuple[nn.Module, Groups] = copy.deepcopy((trained, groups))
    return copied


def clipping(accelerator: Accelerator) -> Callable[[Sequence[Tensor], float], Tensor]:
    """The function that clips gradients to a norm, and returns their norm.

    Accelerate's is for sharded parameters: it imports their class to ask, which takes a second.
    """
    if accelerator.is_fsdp2:
        clip: Callable[[Sequence[Tensor], float], Tensor] = accelerator.clip_grad_norm_
        return clip
    return nn.utils.clip_grad_norm_


def gather(tensor: Tensor) -> Tensor:
    """The full tensor of all shards; every process must call it. Other tensors are returned as is."""
    # Not by its class, whose import takes most of a second.
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def shard_like(tensor: Tensor, sharded: Any) -> Tensor:
    """``tensor``, sharded like ``sharded`` if that is sharded."""
    if not hasattr(sharded, "placements"):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, sharded.device_mesh, sharded.placements)
