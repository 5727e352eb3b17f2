"""Parameters that are sharded over processes while they train: FSDP2, as Accelerate is configured."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from accelerate import Accelerator
from torch import Tensor, nn

from zoo.engine.recipe import Recipe
from zoo.engine.strategies import Phase
from zoo.errors import UsageError

Groups = list[dict[str, Any]]


def refuse_unsharded(accelerator: Accelerator, recipe: Recipe, phases: Sequence[Phase]) -> None:
    """Raise a :class:`UsageError` for what does not work on shards, and for other ways to shard."""
    kind = str(accelerator.distributed_type).rpartition(".")[2]
    if kind in ("DEEPSPEED", "MEGATRON_LM", "TP") or (kind == "FSDP" and not accelerator.is_fsdp2):
        raise UsageError(
            f"the zoo does not shard parameters in this way ({kind})",
            hint="Configure FSDP with fsdp_version 2 (accelerate config), or no sharding.",
        )
    if not accelerator.is_fsdp2:
        return
    adapters = any(phase.parameters == "lora" for phase in phases)
    for requested, given in {"--ema": recipe.ema, "--l2sp": recipe.l2sp, "LoRA": adapters}.items():
        if given:
            raise UsageError(
                f"{requested} does not work on parameters that are sharded over processes",
                hint="Start with torchrun, which shards nothing.",
            )


def copy_to_shard(trained: nn.Module, groups: Groups) -> tuple[nn.Module, Groups]:
    """A copy to be sharded, and the groups of its parameters; what is copied stays whole."""
    copied: tuple[nn.Module, Groups] = copy.deepcopy((trained, groups))
    return copied


def gather(tensor: Tensor) -> Tensor:
    """The tensor of all shards together; every process must ask. Others are given back as they are."""
    # Not by its class, whose import takes most of a second that few runs need.
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def shard_like(tensor: Tensor, sharded: Any) -> Tensor:
    """``tensor``, sharded as ``sharded`` is, if it is."""
    if not hasattr(sharded, "placements"):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, sharded.device_mesh, sharded.placements)
