"""Test-time augmentation: the mean of the probabilities over several views of an input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Tensor

from zoo.contract.spec import BackboneSpec
from zoo.engine.forward import Forward
from zoo.engine.progress import Reporter
from zoo.errors import UsageError
from zoo.modalities.modality import Modality
from zoo.modalities.views import View
from zoo.tasks.task import Task


def views_of(modality: Modality, spec: BackboneSpec, data: Mapping[str, object]) -> Sequence[View]:
    """The views of the inputs of a run, beside the input as it is.

    Args:
        modality: The run's.
        spec: The run's.
        data: ``data`` in its ``run.json``.

    Raises:
        UsageError: There are none.
    """
    views = modality.test_views(spec, data)
    if not views:
        raise UsageError(
            f"--tta is not possible: there are no views of the {modality.nouns} of this run",
            hint="Leave --tta out.",
        )
    return views


def averaging(
    forward: Forward, task: Task, views: Sequence[View]
) -> Callable[[Mapping[str, Tensor]], Tensor]:
    """From a batch to logits of the mean of the probabilities, or of the values: ``(B, outputs)``."""

    def logits(batch: Mapping[str, Tensor]) -> Tensor:
        placed = forward.place(batch)
        seen = [placed, *(view(placed) for view in views)]
        outputs = [task.decode(forward.logits(each).cpu()) for each in seen]
        return task.encode(np.mean(outputs, axis=0)).float()

    return logits


def note_cost(views: Sequence[View], reporter: Reporter) -> None:
    """Report what the views of a run's inputs cost."""
    count = len(views) + 1
    reporter.note(
        f"test-time augmentation: the mean over {count} views of each input, {count} times the "
        "computation"
    )


def refuse_beside(coverage: float | None, reject: float | None) -> None:
    """Raise a :class:`UsageError` for limits that were fitted without views."""
    for option, value in (("--coverage", coverage), ("--reject", reject)):
        if value is not None:
            raise UsageError(
                f"{option} does not work with --tta: it was fitted on predictions without it",
                hint="Use one of the two.",
            )
