"""The rows of a new head that are copied from the run which training starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from zoo.contract.network.backbone import Backbone
from zoo.contract.network.loading import difference, part_head
from zoo.engine.heads import find_head, make_head
from zoo.engine.linear_fit import Prior
from zoo.errors import UsageError, ZooError
from zoo.registry.adapter_record import ADAPTER_FILE
from zoo.registry.registry import Registry
from zoo.registry.run_record import FinishedRun
from zoo.tasks.task import Task
from zoo.weights.loading.load import read_tensors

_NAMED = 8  # classes that the header names


@dataclass(frozen=True)
class KeptRows:
    """What a new head has from an old one.

    Attributes:
        classes: The classes whose rows it has, in the order of the new head.
        outputs: The number of its outputs.
        prior: The rows, and zeros for the other classes; ``None`` if the head is not linear.
    """

    classes: tuple[str, ...]
    outputs: int
    prior: Prior | None

    def in_words(self) -> str:
        """The line of the header."""
        names = ", ".join(self.classes[:_NAMED]) + (", …" if len(self.classes) > _NAMED else "")
        return f"kept the head's rows of {len(self.classes)} of {self.outputs} classes: {names}"


def old_head(
    backbone: Backbone, run: FinishedRun, path: Path, registry: Registry
) -> nn.Module | None:
    """The head of the run that a backbone was built from; ``None`` if it cannot be built.

    Args:
        backbone: With the head of the run, if that is linear.
        run: The run.
        path: Its weights or its adapter.
        registry: Plugins that may provide the head.
    """
    if isinstance(backbone.head, nn.Linear):
        return backbone.head
    width, outputs = backbone.spec.feature_dim, len(run.classes)
    try:
        head = make_head(find_head(run.record["head"], registry), width, outputs)
        prefix = "head" if path.name == ADAPTER_FILE else backbone.head_path
        tensors, _ = part_head(read_tensors(path), prefix)
    except ZooError:  # the backbone is whole; only the head's plugin or its names are unknown
        return None
    if difference(tensors, head.state_dict()):
        return None
    head.load_state_dict(tensors)
    return head


@torch.no_grad()
def keep_rows(
    new: nn.Module, classes: Sequence[str], old: nn.Module | None, known: Sequence[str]
) -> KeptRows | None:
    """Copy the rows of the classes that both heads have, and the layers below them.

    Args:
        new: The head to train, with random parameters.
        classes: Names of its outputs.
        old: The head of the run.
        known: Names of its outputs.

    Returns:
        ``None`` if no class is known, or the heads differ in more than their outputs.
    """
    places = {name: place for place, name in enumerate(known)}
    pairs = [(place, places[name]) for place, name in enumerate(classes) if name in places]
    layer, source = _last(new), None if old is None else _last(old)
    if not pairs or old is None or layer is None or source is None:
        return None
    own, theirs = (
        {key: t for key, t in head.state_dict().items() if not key.startswith(last)}
        for head, last in ((new, layer[0]), (old, source[0]))
    )
    last, given = layer[1], source[1]
    same_input = last.in_features == given.in_features
    if layer[0] != source[0] or difference(theirs, own) or not same_input:
        return None
    if (last.bias is None) != (given.bias is None):
        return None
    new.load_state_dict(theirs, strict=False)
    targets, origins = (torch.tensor(side) for side in zip(*pairs, strict=True))
    prior = Prior(torch.zeros_like(last.weight), torch.zeros(last.out_features))
    prior.weight[targets] = last.weight[targets] = given.weight[origins].to(last.weight)
    if last.bias is not None:
        prior.bias[targets] = last.bias[targets] = given.bias[origins].to(last.bias)
    kept = tuple(classes[place] for place, _ in pairs)
    return KeptRows(kept, len(classes), prior if layer[0] == "" else None)


def _last(head: nn.Module) -> tuple[str, nn.Linear] | None:
    """The path and the module of the last linear layer, which has the outputs."""
    found = [(path, each) for path, each in head.named_modules() if isinstance(each, nn.Linear)]
    return found[-1] if found else None


def kept_rows(
    head: nn.Module,
    classes: Sequence[str],
    task: Task,
    found: tuple[FinishedRun, nn.Module | None] | None,
    *,
    asked: bool | None,
) -> KeptRows | None:
    """Copy the rows of old classes, unless the user does not want it.

    Args:
        head: The head to train.
        classes: Names of its outputs.
        task: What they mean: rows are kept from a run on the same task.
        found: The run that training starts from, and its head.
        asked: ``--keep-head``, if given.

    Raises:
        UsageError: The user asks for it, or against it, and nothing can be kept.
    """
    run, old = found or (None, None)
    same = run is not None and task.has_classes and run.record["task"].get("name") == task.name
    kept = (
        keep_rows(head, classes, old, run.classes) if same and run and asked is not False else None
    )
    possible = kept is not None or (same and run and set(classes) & set(run.classes))
    if asked is not None and not (kept if asked else possible):
        raise UsageError(
            f"--{'' if asked else 'no-'}keep-head has no effect: {_why(run, classes, same=same)}",
            hint="Leave it out.",
        )
    return kept


def _why(run: FinishedRun | None, classes: Sequence[str], *, same: bool) -> str:
    if run is None:
        return "training does not start from a run"
    if not same:
        return f"{run.folder} was trained for another task"
    if set(classes) & set(run.classes):
        return f"the head of {run.folder} has another structure"
    return f"{run.folder} knows none of these classes"
