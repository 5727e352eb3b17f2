"""Greedy soups: the mean of the weights of several runs, as a new run.

Wortsman et al. 2022, arXiv:2203.05482. The runs are sorted by the selection metric on the validation
samples that they share. Each in turn is added to the mean of those before, and kept if the metric
does not fall.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from zoo.contract.network.backbone import Backbone
from zoo.data.memory.source import DataSource, is_path, source_name
from zoo.data.samples import Samples, Splits
from zoo.engine.adapters import merge
from zoo.engine.forward import Forward
from zoo.engine.progress import Quiet, Reporter
from zoo.errors import RunError, ZooError
from zoo.runs.combinable import CLASSES, TASK, VALIDATION, Fact, opened_runs, require_same
from zoo.runs.evaluating import evaluate, held_out_samples
from zoo.runs.feature_bank import FeatureBank
from zoo.runs.folder import Outcome, claimed, finish_run
from zoo.runs.request import Request
from zoo.runs.requested_data import named_as_given, open_requested
from zoo.runs.run import Run
from zoo.runs.soup_features import features_of_soup
from zoo.system.json_shape import finite
from zoo.tasks import tasks_for
from zoo.tasks.optimism import interval
from zoo.tasks.task import Task

_TRAIN_AGAIN = "Choose runs of the same backbone, input and head."

_FACTS: Sequence[Fact] = (
    ("backbones", lambda run: run.backbone_name, f"{_TRAIN_AGAIN} 'zoo ensemble' combines others."),
    TASK,
    ("inputs", lambda run: run.record["spec"]["input"], _TRAIN_AGAIN),
    ("heads", lambda run: run.record["head"], _TRAIN_AGAIN),
    CLASSES,
    ("order of classes", lambda run: run.classes, _TRAIN_AGAIN),
    VALIDATION,
)


@dataclass(frozen=True)
class Ingredient:
    """A run that was tried for a soup.

    Attributes:
        run: The run.
        metrics: Its metrics on the validation samples.
        tried: The metrics of the soup with it; ``None`` for the first.
        kept: Whether it is in the soup.
    """

    run: Run
    metrics: Mapping[str, float]
    tried: Mapping[str, float] | None
    kept: bool

    def to_json(self) -> dict[str, Any]:
        """Its entry in ``run.json``."""
        return {
            "run": str(self.run.folder),
            "sha256": self.run.record["sha256"],
            "metrics": finite(self.metrics),
            "tried": None if self.tried is None else finite(self.tried),
            "kept": self.kept,
        }


def make_soup(
    runs: Sequence[Run | str | Path],
    output: str | Path | None = None,
    *,
    data: DataSource = None,
    device: str = "auto",
    workers: int | None = None,
    reporter: Reporter | None = None,
) -> Run:
    """Average the weights of runs greedily, as a new run.

    Args:
        runs: At least two, of the same backbone, input, head, classes and validation samples.
        output: A folder that does not exist; the next free ``runs/soup-<number>`` by default.
        data: Where the training data is now, if it has moved; the same data again, for runs on data
            in memory.
        device: ``auto``, ``cpu``, ``cuda``, …
        workers: Number of data-loading processes.
        reporter: Gets notes and steps.

    Returns:
        The new run. Its validation metric chose the runs, and is optimistic.

    Raises:
        UsageError: There are fewer than two runs.
        RunError: The runs cannot be averaged, or their data has changed; nothing is left then.
    """
    began, reporter = time.perf_counter(), reporter or Quiet()
    opened = opened_runs(runs, "soup")
    require_same(opened, _FACTS)
    splits, request = _data_of(opened[0], data)
    ordered = _by_metric(opened)
    if len({_start(run) for run in opened}) > 1:
        reporter.note(
            "the runs started from different weights: averages of such networks are rarely good"
        )
    cook = _Cook(ordered[0][0].opened_again(), splits, device, workers, reporter)
    ingredients = cook.all(ordered)
    source = data if data is not None else request.data
    test = None if source is None else cook.test(source)
    with claimed(Path(output) if output else None, "soup") as folder:
        record = _record(ordered[0][0], ingredients, cook, test, time.perf_counter() - began)
        outcome = Outcome(
            record=record,
            backbone=cook.backbone.cpu(),
            task=cook.task,
            history=ordered[0][0].epochs(),
            tokenizer=ordered[0][0].tokenizer,
            train=named_as_given(request, splits.train),
            val=named_as_given(request, cook.val),
            logits=cook.logits,
            typical=cook.typical(ingredients),
        )
        finish_run(folder, outcome)
    return Run(folder)


def _data_of(run: Run, data: DataSource) -> tuple[Splits, Request]:
    """The data of a run, and its request.

    Raises:
        RunError: It is not recorded, or has changed.
    """
    if "request" not in run.record:
        raise RunError(
            f"{run.folder} does not record its data", hint="Use the local run, not a published one."
        )
    named = None if data is None else source_name(data)
    request = Request.from_json(run.record["request"]).but(data=named)
    in_memory = None if is_path(data) else data
    splits = open_requested(request, run.modality, tasks_for(request.task), in_memory)
    if splits.fingerprint != run.training_data.fingerprint:
        raise RunError(
            f"the data of {run.folder} has changed since it was trained: {splits.source}",
            hint="Restore it, or say where it is now with --data PATH.",
        )
    return splits, request


def _by_metric(runs: Sequence[Run]) -> list[tuple[Run, Mapping[str, float]]]:
    """The runs with their metrics, the best first, judged by the selection metric of the first."""
    task, found = runs[0].task, []
    for run in runs:
        kept = run.kept_predictions()
        metrics = task.compute_metrics(task.encode(kept.outputs), kept.labels, run.classes)
        found.append((run, metrics))
    return sorted(found, key=lambda each: task.score(each[1]), reverse=True)


def _start(run: Run) -> str:
    weights = run.record["weights"]
    return str(weights["sha256"]) if weights else f"random {run.record['recipe'].get('seed')}"


class _Cook:
    """Tries means of weights on the validation samples."""

    def __init__(
        self, best: Run, splits: Splits, device: str, workers: int | None, reporter: Reporter
    ) -> None:
        assert splits.val is not None
        self._run, self._train, self.val = best, splits.train, splits.val
        self._device, self._workers, self._reporter = device, workers, reporter
        self.task: Task = best.task
        merge(best.backbone)
        self.backbone: Backbone = best.backbone
        self.metrics: Mapping[str, float] = {}
        self.logits = torch.empty(0)
        self.outputs: list[NDArray[Any]] = []
        self.recomputed = False

    def all(self, ordered: Sequence[tuple[Run, Mapping[str, float]]]) -> list[Ingredient]:
        """Try all runs, the best first; the backbone then holds the soup."""
        (first, metrics), *rest = ordered
        kept, total, count = _plain(self.backbone), _plain(self.backbone), 1
        self.metrics, self.logits = self._judge()
        found = [Ingredient(first, metrics, None, kept=True)]
        for run, own in rest:
            backbone = run.load()
            merge(backbone)
            added = {name: each + tensor for (name, each), tensor in _pairs(total, backbone)}
            self._take({name: each / (count + 1) for name, each in added.items()}, backbone)
            tried, logits = self._judge()
            better = self.task.score(tried)[0] >= self.task.score(self.metrics)[0]
            found.append(Ingredient(run, own, tried, kept=better))
            if better:
                total, count, kept = added, count + 1, _plain(self.backbone)
                self.metrics, self.logits = tried, logits
        self.backbone.load_state_dict(kept, strict=False)
        return found

    def typical(
        self, ingredients: Sequence[Ingredient]
    ) -> tuple[FeatureBank, NDArray[np.float64]] | None:
        """Features of the mean network, if the runs in it keep features."""
        return features_of_soup(
            self._run,
            [each.run for each in ingredients if each.kept],
            self._train,
            self.val,
            device=self._device,
            workers=self._workers,
            reporter=self._reporter,
        )

    def test(self, data: DataSource) -> dict[str, Any] | None:
        """The metrics on the test split, if the data has one."""
        try:
            held = held_out_samples(self._run, data, None, bad_files="error", reporter=Quiet())
        except ZooError as error:  # the soup itself does not need it
            self._reporter.note(f"no test metrics: {error.message}")
            return None
        if "test" not in held:
            return None
        evaluated = evaluate(
            self._run,
            {"test": held["test"]},
            task=self.task,
            device=self._device,
            workers=self._workers,
            reporter=Quiet(),
        )
        return dict(finite(evaluated["test"].metrics))

    def _judge(self) -> tuple[Mapping[str, float], Tensor]:
        logits, _ = self._run.logits(
            self.val, device=self._device, workers=self._workers, reporter=Quiet()
        )
        assert self.val.labels is not None
        self.outputs.append(self.task.decode(logits))
        return self.task.compute_metrics(logits, self.val.labels, self._run.classes), logits

    def _take(self, mean: Mapping[str, Tensor], other: Backbone) -> None:
        """Put a mean into the backbone; batch statistics that differ are computed for it."""
        norms = _other_statistics(self.backbone, other)
        self.backbone.load_state_dict(mean, strict=False)
        if norms:
            self.recomputed = True
            forward = self._run.forward(self._device)
            with self._run.loaders(self._workers).plain(self._train) as loader:
                compute_statistics(forward, norms, loader)


def _plain(backbone: Backbone) -> dict[str, Tensor]:
    """A copy of the floating-point tensors, in float32."""
    return {
        name: tensor.detach().cpu().float().clone()
        for name, tensor in backbone.state_dict().items()
        if tensor.is_floating_point()
    }


def _pairs(total: Mapping[str, Tensor], backbone: Backbone) -> Any:
    return zip(total.items(), _plain(backbone).values(), strict=True)


def _other_statistics(one: Backbone, other: Backbone) -> list[_BatchNorm]:
    """The batch normalisations of ``one`` whose statistics are not those of ``other``."""
    theirs = dict(other.named_modules())
    return [
        module
        for name, module in one.named_modules()
        if isinstance(module, _BatchNorm)
        and module.running_mean is not None
        and not torch.equal(module.running_mean.cpu(), theirs[name].running_mean.cpu())
    ]


@torch.no_grad()
def compute_statistics(forward: Forward, norms: Sequence[_BatchNorm], loader: Any) -> None:
    """Compute the statistics of batch normalisations over the batches of ``loader``.

    As stochastic weight averaging does (Izmailov et al. 2018, arXiv:1803.05407): the mean of two
    networks' statistics is not that of the mean network.
    """
    backbone = forward.backbone.eval()
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    try:
        for batch in loader:
            if len(batch["index"]) > 1:
                backbone.features(forward.place(batch))
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
        backbone.eval()


def _record(
    best: Run,
    ingredients: Sequence[Ingredient],
    cook: _Cook,
    test: Mapping[str, Any] | None,
    seconds: float,
) -> dict[str, Any]:
    """The contents of ``run.json``: those of the best run, with the soup's own results."""
    labels = _labels(cook.val)
    found = interval(cook.task, cook.outputs, labels, best.classes, cook.val.groups)
    results = {
        **best.record["results"],
        "metrics": finite(cook.metrics),
        "interval": found.to_json() if found else None,
        "seconds": round(seconds, 2),
        "parts": {},
        "memory": {},
        "compiled": [],
        "membership": None,
    }
    return {
        **best.record,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "adapter": None,
        "privacy": None,  # nothing is claimed of several runs together
        "results": results,
        "soup": {
            "metric": cook.task.metric,
            "ingredients": [each.to_json() for each in ingredients],
            "batch_norm": "recomputed" if cook.recomputed else "equal",
            "test": test,
        },
    }


def _labels(samples: Samples) -> Any:
    assert samples.labels is not None
    return samples.labels
