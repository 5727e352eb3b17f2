"""Parameter groups of the optimiser: learning rate and weight decay of each parameter."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from torch import nn

from zoo.contract.network.backbone import Backbone


def parameter_groups(
    backbone: Backbone,
    *,
    lr: float,
    layer_decay: float,
    weight_decay: float,
    base_width: int | None = None,
) -> list[dict[str, Any]]:
    """Optimiser groups with every trained parameter once.

    The head and the last stage get ``lr``, each stage before it ``layer_decay`` times the one
    after it (Howard and Ruder 2018, arXiv:1801.06146, there called discriminative fine-tuning).
    With ``base_width``, a matrix with more inputs than that gets a proportionally smaller rate,
    as Adam needs it with random initialisation (Yang et al. 2022, arXiv:2203.03466), and a filter
    with more than twice as many. Vectors (biases, normalisation) have no weight decay.
    """
    stages = [stage.name for stage in backbone.stages()]
    depth = {name: len(stages) - 1 - index for index, name in enumerate(stages)}
    parts = [(name, list(backbone.stage_parameters(name).values())) for name in stages]
    rates = [("head", lr, list(backbone.head.parameters()))]
    rates += [(name, lr * layer_decay ** depth[name], held) for name, held in reversed(parts)]
    groups: dict[tuple[str, float, float], list[nn.Parameter]] = defaultdict(list)
    for name, rate, parameters in rates:
        for parameter in parameters:
            if parameter.requires_grad:
                decay = weight_decay if parameter.ndim > 1 else 0.0
                groups[name, rate * _rate_factor(parameter, base_width), decay].append(parameter)
    return [
        {"name": name, "lr": rate, "params": chosen, "weight_decay": decay}
        for (name, rate, decay), chosen in groups.items()
    ]


def _rate_factor(parameter: nn.Parameter, base_width: int | None) -> float:
    """The factor on the learning rate for the number of inputs that a parameter sums over.

    It is 1 for vectors, class tokens and positions, ``(1, …)``. A filter, mostly followed by a
    normalisation, may have twice ``base_width`` inputs at the full rate.
    """
    if base_width is None or parameter.ndim <= 1 or len(parameter) == 1:
        return 1.0
    width = base_width if parameter.ndim == 2 else 2 * base_width
    return min(1.0, width / parameter[0].numel())
