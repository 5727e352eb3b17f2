"""LoRA adapters, through PEFT: inserted, merged, removed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from zoo.contract.network.backbone import Backbone
from zoo.engine.recipe import Recipe
from zoo.errors import UsageError

_ADAPTER = "default"


def insert(backbone: Backbone, recipe: Recipe) -> None:
    """Insert adapters at the backbone's targets; then they alone take gradients.

    Targets in stages up to ``recipe.freeze_until`` are left out. A backbone that has adapters
    keeps them.

    Raises:
        UsageError: There are no targets, or ``lora_dropout`` would have no effect.
    """
    backbone.freeze()
    if not any(_layers(backbone)):
        from peft import LoraConfig, inject_adapter_in_model

        targets = _targets(backbone, recipe.freeze_until)
        if not targets:
            raise UsageError(
                f"{backbone.spec.name} has no layers that LoRA supports"
                + (f" after --freeze-until {recipe.freeze_until}" if recipe.freeze_until else ""),
                hint="Choose --strategy full, bias or two-stage.",
            )
        config = LoraConfig(
            r=recipe.lora_rank,
            lora_alpha=recipe.lora_alpha,
            lora_dropout=recipe.lora_dropout,
            target_modules=targets,
        )
        with warnings.catch_warnings():
            # PEFT warns of layers with transposed weights, and corrects the setting itself.
            warnings.filterwarnings("ignore", message="fan_in_fan_out is set to")
            inject_adapter_in_model(config, backbone.net)
        if recipe.lora_dropout and _only_embeddings(backbone):
            raise UsageError(
                f"--lora-dropout has no effect: LoRA adapts only the embeddings of "
                f"{backbone.spec.name}, whose inputs are ids",
                hint="Leave --lora-dropout out.",
            )
    backbone.unfreeze(*[path for path, _ in backbone.net.named_parameters() if is_adapter(path)])


def in_words(backbone: Backbone) -> str:
    """Which layers have adapters, and their share of the weights."""
    bases = [layer.get_base_layer() for _, layer in _layers(backbone)]
    every = sum(p.numel() for path, p in backbone.net.named_parameters() if not is_adapter(path))
    adapted = sum(p.numel() for base in bases for p in base.parameters())
    embeddings = _only_embeddings(backbone)
    one, many = ("embedding", "embeddings") if embeddings else ("layer", "layers")
    kind = (one if len(bases) == 1 else many) + (" only" if embeddings else "")
    words = f"LoRA on {len(bases)} {kind} with {adapted / every:.0%} of the backbone's weights"
    left = [f"{count} {name}" for name, count in backbone.left_unadapted().items()]
    return words + (
        f", not on {' and '.join(left)}, into which LoRA cannot be merged," * bool(left)
    )


def merge(backbone: Backbone) -> None:
    """Merge the adapters into the weights, and remove them."""
    for _, layer in _layers(backbone):
        layer.merge(safe_merge=True)
    remove(backbone)


def remove(backbone: Backbone) -> None:
    """Remove the adapters; the weights stay as they are."""
    for path, layer in list(_layers(backbone)):
        backbone.net.set_submodule(path, layer.get_base_layer(), strict=True)
    if hasattr(backbone.net, "peft_config"):
        del backbone.net.peft_config  # else PEFT warns about a second injection


@contextmanager
def merged(backbone: Backbone) -> Iterator[None]:
    """Compute with merged weights, bit-identical to :func:`merge`, while the block runs."""
    kept = []
    try:
        for _, layer in _layers(backbone):
            base = layer.get_base_layer()
            kept.append((layer, base, base.weight.data))
            layer.merge(safe_merge=True)  # makes a new tensor; the kept one is unchanged
        yield
    finally:
        for layer, base, weight in kept:
            base.weight.data = weight
            layer.merged_adapters.clear()


def plain_state(backbone: Backbone) -> dict[str, Tensor]:
    """The state dict under the names without adapters, and without their tensors."""
    return {
        key.replace(".base_layer.", "."): tensor
        for key, tensor in backbone.state_dict().items()
        if not is_adapter(key)
    }


def is_adapter(path: str) -> bool:
    """Whether a parameter belongs to an adapter."""
    return any(part.startswith("lora_") for part in path.split("."))


def _only_embeddings(backbone: Backbone) -> bool:
    """Whether only embeddings have adapters."""
    return all(isinstance(layer.get_base_layer(), nn.Embedding) for _, layer in _layers(backbone))


def _layers(backbone: Backbone) -> Iterator[tuple[str, Any]]:
    """The layers with adapters, by path in ``net``."""
    for path, module in backbone.net.named_modules():
        if isinstance(module, nn.Module) and hasattr(module, "lora_A"):
            yield path, module


def _targets(backbone: Backbone, freeze_until: str | None) -> list[str]:
    names = [stage.name for stage in backbone.stages()]
    left_out = names[: names.index(freeze_until) + 1] if freeze_until else []
    return [t for t in backbone.adapter_targets() if backbone.stage_of(t) not in left_out]
