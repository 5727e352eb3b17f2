"""The subject of a report: a run and its evaluated samples."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zoo.contract.network.backbone import Backbone
from zoo.data.samples import Samples
from zoo.engine.loader_factory import LoaderFactory
from zoo.errors import RunError
from zoo.runs.predictions import EvaluatedSamples
from zoo.system.small_files import read_small
from zoo.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A finished run, and the samples that it is evaluated on.

    Attributes:
        folder: The run folder.
        record: Contents of ``run.json``.
        history: The lines of ``metrics.jsonl``.
        task: What the outputs mean.
        evaluated: The samples with labels and outputs.
        evaluated_on: Description of these samples: ``the validation samples``.
        samples: The same samples, with their inputs; ``None`` if they are not available.
        absent: Why they are not.
        network: Returns the fine-tuned backbone.
        loaders: Prepares samples as in training.
        device: Device for attributions.
    """

    folder: Path
    record: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]
    task: Task
    evaluated: EvaluatedSamples
    evaluated_on: str
    samples: Samples | None
    absent: str
    network: Callable[[], Backbone]
    loaders: LoaderFactory
    device: torch.device

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of classes, or of columns of numbers."""
        return tuple(self.record["classes"])


def read_history(path: Path) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl``, with NaN for ``null``; empty if there is no such file.

    Raises:
        RunError: It is damaged.
    """
    try:
        lines = [json.loads(line) for line in read_small(path).decode().splitlines()]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(
            f"{path} cannot be read: {reason}", hint="Restore it from a copy of the run."
        ) from error
    if not all(isinstance(line, dict) and isinstance(line.get("phase"), str) for line in lines):
        raise RunError(
            f"{path} is damaged: a line does not describe an epoch",
            hint="Restore it from a copy of the run.",
        )
    return [{k: math.nan if v is None else v for k, v in line.items()} for line in lines]
