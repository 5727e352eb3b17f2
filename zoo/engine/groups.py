"""Which parameter trains with which learning rate and weight decay."""

from __future__ import annotations

from typing import Any

from torch import nn

from zoo.backbone import Backbone


def parameter_groups(
    backbone: Backbone, *, lr: float, layer_decay: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Groups for an optimiser: every parameter that trains, once.

    The head and the last stage get ``lr``, each stage before it ``layer_decay`` times the one
    after it (Howard and Ruder 2018, arXiv:1801.06146, there called discriminative fine-tuning).
    Vectors (biases, normalisation) have no weight decay.
    """
    stages = [stage.name for stage in backbone.stages()]
    depth = {name: len(stages) - 1 - index for index, name in enumerate(stages)}
    parts = [(name, list(backbone.stage_parameters(name).values())) for name in stages]
    groups = [("head", lr, list(backbone.head.parameters()))]
    groups += [(name, lr * layer_decay ** depth[name], held) for name, held in reversed(parts)]
    return [
        {"name": name, "lr": rate, "params": chosen, "weight_decay": decay}
        for name, rate, parameters in groups
        for chosen, decay in _by_decay(parameters, weight_decay)
        if chosen
    ]


def _by_decay(
    parameters: list[nn.Parameter], weight_decay: float
) -> list[tuple[list[nn.Parameter], float]]:
    trained = [p for p in parameters if p.requires_grad]
    matrices = [p for p in trained if p.ndim > 1]
    vectors = [p for p in trained if p.ndim <= 1]
    return [(matrices, weight_decay), (vectors, 0.0)]
