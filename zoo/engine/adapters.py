"""Matrices of low rank beside a network's frozen ones, through PEFT: put in, looked through, merged."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from zoo.contract.backbone import Backbone
from zoo.engine.recipe import Recipe
from zoo.errors import UsageError

_ADAPTER = "default"


def insert(backbone: Backbone, recipe: Recipe) -> None:
    """Put adapters beside the backbone's targets; they alone take gradients then.

    Targets in stages up to ``recipe.freeze_until`` are left out. A backbone that has adapters
    keeps them.

    Raises:
        UsageError: There is nothing to put an adapter beside, or nothing that ``lora_dropout``
            could drop.
    """
    backbone.freeze()
    if not any(_layers(backbone)):
        from peft import LoraConfig, inject_adapter_in_model

        targets = _targets(backbone, recipe.freeze_until)
        if not targets:
            raise UsageError(
                f"{backbone.spec.name} has no layer that LoRA could adapt"
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
            # Of layers that keep their weights transposed, which PEFT settles by itself.
            warnings.filterwarnings("ignore", message="fan_in_fan_out is set to")
            inject_adapter_in_model(config, backbone.net)
        if recipe.lora_dropout and _tables(backbone):
            raise UsageError(
                f"--lora-dropout has no effect: LoRA adapts only embeddings of {backbone.spec.name}, "
                "and what they are given are ids",
                hint="Leave --lora-dropout out.",
            )
    backbone.unfreeze(*[path for path, _ in backbone.net.named_parameters() if is_adapter(path)])


def in_words(backbone: Backbone) -> str:
    """What the adapters stand beside, and how much of the weights that is."""
    bases = [layer.get_base_layer() for _, layer in _layers(backbone)]
    every = sum(p.numel() for path, p in backbone.net.named_parameters() if not is_adapter(path))
    beside = sum(p.numel() for base in bases for p in base.parameters())
    tables = _tables(backbone)
    one, many = ("embedding", "embeddings") if tables else ("layer", "layers")
    kind = (one if len(bases) == 1 else many) + (" alone" if tables else "")
    words = f"LoRA beside {len(bases)} {kind} with {beside / every:.0%} of the backbone's weights"
    left = [f"{count} {name}" for name, count in backbone.left_unadapted().items()]
    return words + (
        f", not beside {' and '.join(left)}, which LoRA cannot be merged with," * bool(left)
    )


def merge(backbone: Backbone) -> None:
    """Add the adapters to the weights that they stand beside, and take them out."""
    for _, layer in _layers(backbone):
        layer.merge(safe_merge=True)
    remove(backbone)


def remove(backbone: Backbone) -> None:
    """Remove the adapters; the weights that they stood beside are as they are."""
    for path, layer in list(_layers(backbone)):
        backbone.net.set_submodule(path, layer.get_base_layer(), strict=True)
    if hasattr(backbone.net, "peft_config"):
        del backbone.net.peft_config  # PEFT warns of a second injection otherwise


@contextmanager
def merged(backbone: Backbone) -> Iterator[None]:
    """Compute as :func:`merge` would leave it, bit for bit, while the block runs."""
    kept = []
    try:
        for _, layer in _layers(backbone):
            base = layer.get_base_layer()
            kept.append((layer, base, base.weight.data))
            layer.merge(safe_merge=True)  # makes a new tensor, so that what was kept stays
        yield
    finally:
        for layer, base, weight in kept:
            base.weight.data = weight
            layer.merged_adapters.clear()


def plain_state(backbone: Backbone) -> dict[str, Tensor]:
    """The state under the names that it has without adapters; without what is an adapter's."""
    return {
        key.replace(".base_layer.", "."): tensor
        for key, tensor in backbone.state_dict().items()
        if not is_adapter(key)
    }


def is_adapter(path: str) -> bool:
    """Whether a parameter's path is that of an adapter."""
    return any(part.startswith("lora_") for part in path.split("."))


def _tables(backbone: Backbone) -> bool:
    """Whether the adapters stand beside embeddings alone."""
    return all(isinstance(layer.get_base_layer(), nn.Embedding) for _, layer in _layers(backbone))


def _layers(backbone: Backbone) -> Iterator[tuple[str, Any]]:
    """The places where adapters are, by path in ``net``."""
    for path, module in backbone.net.named_modules():
        if isinstance(module, nn.Module) and hasattr(module, "lora_A"):
            yield path, module


def _targets(backbone: Backbone, freeze_until: str | None) -> list[str]:
    names = [stage.name for stage in backbone.stages()]
    left_out = names[: names.index(freeze_until) + 1] if freeze_until else []
    return [t for t in backbone.adapter_targets() if backbone.stage_of(t) not in left_out]
