"""What a ranking has come to."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import Any

from zoo.ranking.candidates import LeftOut
from zoo.tasks import task_named

_LONG = 40  # characters of a name


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """A backbone with its scores; of all of them more is better.

    Attributes:
        name: What the user types.
        backbone: Canonical name.
        weights: Their tag; ``none`` for random parameters.
        probe: What a linear model on the features comes to on samples that it has not seen: a
            share that is right (accuracy), or mAP, or R². The ranking goes by this.
        logme: Log evidence of a linear model on the features, by sample.
        params: Number of parameters; 0 where it is not known.
        feature_dim: Width of the features.
        seconds: What the features of a thousand samples take on this machine; ``None`` if unknown.
        license: Of the weights, else of the code.
    """

    name: str
    backbone: str
    weights: str
    probe: float
    logme: float
    params: int
    feature_dim: int
    seconds: float | None
    license: str

    @property
    def title(self) -> str:
        """The name; of a long path the last two parts. The command to type next has all of it."""
        scheme, colon, path = self.name.partition(":")
        if not colon or len(self.name) <= _LONG:
            return self.name
        return f"{scheme}:…/{'/'.join(path.rstrip('/').split('/')[-2:])}"


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Backbones in the order of their scores, and what is not among them.

    Attributes:
        data: What the user gave.
        modality: What the data are.
        task: What the labels are.
        classes: Names of classes, or of columns of numbers.
        samples: How many the scores are from.
        ranked: The best first.
        left_out: What was not ranked, and why.
        not_reached: Names for which the time was not enough, in the order in which they would
            have been tried.
        seconds: How long it took.
        options: Of the fine-tune that follows, beside its backbone and data.
    """

    data: str
    modality: str
    task: str
    classes: tuple[str, ...]
    samples: int
    ranked: tuple[Ranked, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    not_reached: tuple[str, ...] = ()
    seconds: float = 0.0
    options: tuple[str, ...] = ()

    @property
    def best(self) -> Ranked:
        """The first."""
        return self.ranked[0]

    @property
    def metric(self) -> str:
        """What the probe's score is: ``accuracy``, ``mAP`` or ``R²``."""
        return task_named(self.task).probe.metric

    @property
    def margin(self) -> float | None:
        """Standard error of the difference to the best, if both err independently; classes alone."""
        if not self.ranked:
            return None
        return task_named(self.task).probe.margin(self.best.probe, self.samples)

    def next_command(self) -> str:
        """The fine-tune that follows."""
        random = ["--weights", "none"] if self.best.weights == "none" else []
        words = ["zoo", "finetune", self.best.name, "--data", self.data, *random, *self.options]
        return shlex.join(words)

    def with_row(self, row: Ranked) -> Ranking:
        """With one more backbone, in its place."""
        rows = sorted((*self.ranked, row), key=lambda one: (-one.probe, -one.logme, one.params))
        return replace(self, ranked=tuple(rows))

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON data, but for ``options``, which are in ``next``."""
        return {
            "data": self.data,
            "modality": self.modality,
            "task": self.task,
            "classes": list(self.classes),
            "samples": self.samples,
            "order": "probe",
            "metric": self.metric,
            "ranked": [vars(row) for row in self.ranked],
            "left_out": [vars(one) for one in self.left_out],
            "not_reached": list(self.not_reached),
            "seconds": round(self.seconds, 3),
            "next": self.next_command(),
        }


def left_out_lines(ranking: Ranking, shown: int = 6) -> list[str]:
    """What was left out: for each reason how many, and the names of some."""
    reasons: dict[str, list[str]] = {}
    for one in ranking.left_out:
        reasons.setdefault(one.reason, []).append(one.name)
    return [
        f"{len(names)} left out, {reason}: {', '.join(names[:shown])}"
        + (", …" if len(names) > shown else "")
        for reason, names in reasons.items()
    ]
