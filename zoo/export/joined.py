"""The network of an ensemble: its members side by side, for exports as one graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from zoo.contract.network.backbone import Backbone
from zoo.engine.adapters import merge
from zoo.errors import RunError
from zoo.runs.run import Run
from zoo.tasks.task import Activation


def joined(run: Run) -> Backbone:
    """The members of an ensemble as one network, whose logits are those of the mean.

    Raises:
        RunError: The members read their inputs differently, so that there is no one input.
    """
    members = run.members
    first = members[0].spec.input
    others = [member for member in members if member.spec.input != first or run.spec.input.tokens]
    standardised = run.task.activation not in _LOGARITHMS
    if others or standardised:
        why = "its members read inputs differently" if others else "it predicts values"
        raise RunError(
            f"{run.folder} cannot be exported as one network: {why}",
            hint=f"Export each member: zoo export {members[0].folder} …, and average their outputs.",
        )
    networks = []
    for member in members:
        backbone = member.load()
        merge(backbone)
        networks.append(backbone)
    columns = [run.columns_of(member) for member in members]
    net = _Members(networks, columns)
    width = len(members) * len(run.classes)
    spec = replace(run.spec, feature_dim=width, params=run.record["params"], weights=())
    made = Backbone.wrap(net, spec=spec, head="head", extract=_extract)
    made.head = _Mean(len(members), run.task.activation)
    return made.eval()


def _extract(net: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    features: Tensor = net(batch)
    return features


class _Members(nn.Module):
    """The logits of all members, in the columns of the ensemble: ``(B, members * classes)``."""

    def __init__(self, members: Sequence[Backbone], columns: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self._columns = [list(each) for each in columns]

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        each = zip(self.members, self._columns, strict=True)
        return torch.cat([member(batch)[:, columns] for member, columns in each], dim=1)


class _Mean(nn.Module):
    """The logits of the mean of the members' probabilities: ``(B, classes)``."""

    def __init__(self, members: int, activation: Activation) -> None:
        super().__init__()
        self._members, self._activation = members, activation

    def forward(self, logits: Tensor) -> Tensor:
        parts = logits.chunk(self._members, dim=1)
        return _LOGARITHMS[self._activation](parts)


def _softmax(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack([part.softmax(dim=1) for part in parts]).mean(dim=0).log()


def _sigmoid(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack([part.sigmoid() for part in parts]).mean(dim=0).logit()


_LOGARITHMS = {"softmax": _softmax, "sigmoid": _sigmoid}
"""By activation, the logits of the mean."""
