"""The state of any optimiser as tensors by name, for checkpoints.

torch's keep tensors for each parameter; others also numbers, and some of both for a group. A
number's type follows its name, as in ``step:int``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zoo.engine import sharding

_NUMBERS: Mapping[str, type] = {"int": int, "float": float, "bool": bool}
_OURS = ("params", "lr", "full_lr", "name")
_GROUP, _HOST = "group", "host"


class OptimizerState:
    """Saves and loads the state of an optimiser, which has taken no step yet.

    Args:
        optimizer: The optimiser.
        parameters: Its parameters, by name.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]
    ) -> None:
        self._optimizer, self._parameters = optimizer, parameters
        self._fresh = [dict(group) for group in optimizer.param_groups]

    def tensors(self) -> dict[str, Tensor]:
        """By ``PARAMETER/KEY``, and for what a group counts by ``group/NUMBER/KEY``."""
        found: dict[str, Tensor] = {}
        for name, parameter in self._parameters.items():
            for key, value in self._optimizer.state.get(parameter, {}).items():
                found |= _saved(f"{name}/{key}", value, parameter)
        for number, (group, fresh) in enumerate(
            zip(self._optimizer.param_groups, self._fresh, strict=True)
        ):
            for key, value in group.items():
                if key not in _OURS and (isinstance(value, Tensor) or value != fresh.get(key)):
                    found |= _saved(f"{_GROUP}/{number}/{key}", value, group["params"][0])
        return found

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Load what :meth:`tensors` returned."""
        for path, value in tensors.items():
            owner, _, named = path.rpartition("/")
            key, _, kind = named.partition(":")
            held, parameter = self._owned(owner)
            if kind in _NUMBERS:
                held[key] = _NUMBERS[kind](value.item())
            elif kind == _HOST:
                held[key] = value.clone()
            else:
                held[key] = _placed(value, parameter)

    def _owned(self, owner: str) -> tuple[dict[str, Any], nn.Parameter]:
        """The state of a parameter, or a group, with its first parameter."""
        if owner.startswith(f"{_GROUP}/"):
            group = self._optimizer.param_groups[int(owner.partition("/")[2])]
            return group, group["params"][0]
        parameter = self._parameters[owner]
        return self._optimizer.state[parameter], parameter


def _saved(path: str, value: Any, parameter: nn.Parameter) -> dict[str, Tensor]:
    """Without what is ``None``: an optimiser has that from the start."""
    for name, kind in _NUMBERS.items():
        if type(value) is kind:
            exact = torch.float64 if kind is float else None
            return {f"{path}:{name}": torch.tensor(value, dtype=exact)}
    if not isinstance(value, Tensor):
        return {}
    elsewhere = value.device != parameter.device  # a count on the host, beside a GPU
    return {f"{path}:{_HOST}" if elsewhere else path: sharding.gather(value)}


def _placed(value: Tensor, parameter: nn.Parameter) -> Tensor:
    """Where the parameter is; of its layout, or sharded as it is, if of its shape."""
    kept = value.to(parameter.device)
    if kept.shape == parameter.shape:
        return torch.empty_like(parameter, dtype=kept.dtype).copy_(
            sharding.shard_like(kept, parameter)
        )
    return kept
