"""Multi-label classification: a sigmoid and binary cross-entropy per class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from zoo.data.cells import holds_several, read_sets
from zoo.data.labels import Cells, LabelSets
from zoo.data.samples import LabelArray
from zoo.data.sequences import Indices
from zoo.data.sources.columns import LABEL_COLUMNS
from zoo.data.splitting import random_split
from zoo.data.table import Table
from zoo.tasks.cases import Case, at, worst
from zoo.tasks.evaluation import Evaluation, class_rows
from zoo.tasks.label_quality import LabelQuality, of_sets
from zoo.tasks.losses import PLAIN_LOSS, Loss, LossOptions, positive_weights
from zoo.tasks.measures import average_precisions, best_f1_threshold
from zoo.tasks.metrics import THRESHOLD, Selection, own_metric
from zoo.tasks.predictions import Shown, by_probability, listed, refusal_json, rows_in, unread_json
from zoo.tasks.probe import Probe, ridge_classifier
from zoo.tasks.selecting import SelectingTask
from zoo.tasks.task import Activation
from zoo.tasks.wording import CLASSES, Wording

if TYPE_CHECKING:
    import pyarrow as pa

_SMALL = 1e-15
"""Probabilities are clipped this far from 0 and 1 for finite log-odds."""


@dataclass(frozen=True)
class SetPrediction:
    """The predicted classes of one input.

    Attributes:
        input: The image path, text or text pair.
        labels: Classes whose probability reaches the threshold, the likeliest first.
        probabilities: Probability in [0, 1] by class name, the likeliest first.
        unread: Parts of the input that the network did not see: ``end`` of a text; for images see
            :mod:`zoo.modalities.image.not_seen`.
        rejected: Whether the input is unlike the training data; ``None`` if that was not asked for.
        ood: The share of validation samples that are more like them; ``None`` likewise.
    """

    input: Shown
    labels: tuple[str, ...]
    probabilities: Mapping[str, float]
    unread: tuple[str, ...] = ()
    rejected: bool | None = None
    ood: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data."""
        return {
            "input": listed(self.input),
            "labels": list(self.labels),
            "probabilities": dict(self.probabilities),
            **refusal_json(self.rejected, self.ood),
            **unread_json(self.unread),
        }


def _precision_of(decisions: NDArray[Any], labels: LabelArray) -> float:
    from sklearn.metrics import average_precision_score

    occurs = labels.any(axis=0)
    return float(average_precision_score(labels[:, occurs], decisions[:, occurs], average="macro"))


def _decisions(model: Any, features: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(model.decision_function(features)).reshape(len(features), -1)


_DEFAULT = own_metric("map")


@dataclass(frozen=True)
class MultiLabel(SelectingTask):
    """Multi-label classification; see :class:`zoo.tasks.task.Task`."""

    selection: Selection = _DEFAULT

    name: ClassVar[str] = "multi-label"
    kinds: ClassVar[tuple[str, ...]] = ("multi-label",)
    usual_loss: ClassVar[str] = "binary-cross-entropy"
    has_classes: ClassVar[bool] = True
    several: ClassVar[bool] = True
    activation: ClassVar[Activation] = "sigmoid"
    truth_column: ClassVar[str] = "labels"
    row_metric: ClassVar[str] = "f1"
    labels: ClassVar[type[Any]] = LabelSets
    usual_columns: ClassVar[Sequence[str]] = LABEL_COLUMNS
    labels_noun: ClassVar[str] = "labels"
    wording: ClassVar[Wording] = replace(
        CLASSES,
        each=", multi-label",
        units="at a threshold of 0.5",
        judgements="decisions, one a class and sample",
        metric_titles={"accuracy": "exact match"},
    )
    probe: ClassVar[Probe] = Probe(
        metric="mAP",
        model=ridge_classifier,
        outputs=_decisions,
        score=_precision_of,
        targets=lambda labels: labels.astype(np.float64)[:, labels.any(axis=0)],
    )

    def fitted(
        self, labels: LabelArray, metric: Selection | None = None, *, rare: bool = False
    ) -> Self:
        """Set the metric; mean average precision already weighs rare classes equally."""
        del labels, rare
        return replace(self, selection=metric or self.selection)

    # -- labels in a dataset ---------------------------------------------------------------------

    def claims(self, table: Table, columns: Sequence[str]) -> bool:
        """Whether rows have several labels."""
        return holds_several(table, columns)

    def read(self, table: Table, columns: Sequence[str]) -> Cells:
        """Read the labels of each row: a list, or one 0/1 column per label."""
        return read_sets(table, columns)

    def split(self, labels: LabelArray, share: float, seed: int) -> tuple[Indices, Indices]:
        """Split at random, keeping a training sample of each class."""
        return random_split(labels, share, seed, keep_classes=True)

    def strata(self, labels: LabelArray) -> Indices | None:
        """The rarest label of each sample; one more class of those without labels."""
        counts = np.where(labels > 0, labels.sum(axis=0), np.inf)  # (N, classes)
        rarest: Indices = counts.argmin(axis=1)
        rarest[~np.isfinite(counts).any(axis=1)] = labels.shape[1]
        return rarest

    def too_few(self, labels: Any) -> tuple[str, str]:
        """Every sample is needed for training."""
        del labels
        return "too few samples", ""

    def require_variety(self, labels: LabelArray, where: str, names: Sequence[str]) -> None:
        """Nothing to check: each class has a sample."""

    # -- training and evaluation -----------------------------------------------------------------

    def targets(self, labels: Tensor) -> Tensor:
        """0 and 1, ``(B, classes)`` of float32."""
        return labels.float()

    def loss(self, labels: LabelArray, options: LossOptions = PLAIN_LOSS) -> Loss:
        """The mean over the classes of binary cross-entropy; targets ``(B, C)`` in [0, 1]."""
        return options.loss(self, lambda: positive_weights(labels))

    def mean_loss(self, logits: Tensor, labels: LabelArray, *, smoothing: float = 0.0) -> float:
        """The mean binary cross-entropy."""
        truth = torch.from_numpy(labels).double() * (1 - smoothing) + smoothing / 2
        return float(functional.binary_cross_entropy_with_logits(logits.double(), truth))

    def decided(self, outputs: NDArray[np.float64]) -> NDArray[Any]:
        """Whether each class reaches a threshold of 0.5."""
        return np.asarray(outputs >= THRESHOLD)

    def decode(self, logits: Tensor) -> NDArray[np.float64]:
        """Independent probabilities in [0, 1]."""
        return np.asarray(logits.double().sigmoid().numpy())

    def encode(self, outputs: NDArray[np.float64]) -> Tensor:
        """Log-odds."""
        return torch.from_numpy(outputs).logit(eps=_SMALL)

    def evaluation(self, logits: Tensor, labels: LabelArray, classes: Sequence[str]) -> Evaluation:
        """Each class; without average precision where it does not occur."""
        chances = self.decode(logits)
        rows = class_rows(chances >= THRESHOLD, labels, classes)
        for place, precision in average_precisions(chances, labels > 0).items():
            rows[classes[place]]["average_precision"] = precision
        remarks: list[str] = []
        metrics = self.compute_metrics(logits, labels, classes, remarks)
        return Evaluation(metrics, rows, len(labels), notes=tuple(remarks))

    # -- calibration -----------------------------------------------------------------------------

    def best_thresholds(
        self, outputs: NDArray[np.float64], labels: LabelArray
    ) -> NDArray[np.float64]:
        """Halfway between two probabilities; 0.5 for a class that does not occur."""
        return np.array(
            [
                best_f1_threshold(y > 0, p) if y.any() else THRESHOLD
                for p, y in zip(outputs.T, labels.T, strict=True)
            ]
        )

    # -- the labels themselves -------------------------------------------------------------------

    def label_quality(self, outputs: NDArray[np.float64], labels: LabelArray) -> LabelQuality:
        """Confident learning, class by class."""
        return of_sets(outputs, labels)

    # -- predictions -----------------------------------------------------------------------------

    def predictions(
        self,
        inputs: Sequence[Shown],
        outputs: NDArray[np.float64],
        classes: Sequence[str],
        *,
        threshold: float | Mapping[str, float],
        unread: Sequence[tuple[str, ...]],
    ) -> list[SetPrediction]:
        """The classes of each input whose probability reaches the threshold."""
        limits = threshold if isinstance(threshold, Mapping) else dict.fromkeys(classes, threshold)
        return [
            SetPrediction(name, tuple(key for key, p in row.items() if p >= limits[key]), row, lack)
            for name, row, lack in zip(
                inputs, by_probability(outputs, classes), unread, strict=True
            )
        ]

    def columns(
        self, labels: LabelArray, outputs: NDArray[np.float64], classes: Sequence[str]
    ) -> dict[str, Any]:
        """``labels`` and ``predicted``, lists of names, and ``probabilities``."""
        return {
            "labels": _names_in(labels > 0, classes),
            "predicted": _names_in(outputs >= THRESHOLD, classes),
            "probabilities": outputs,
        }

    def labels_in(self, table: pa.Table, classes: Sequence[str]) -> LabelArray:
        """1 for each class that a sample has, else 0."""
        places = {name: place for place, name in enumerate(classes)}
        labels = np.zeros((len(table), len(classes)), dtype=np.float32)
        for row, names in enumerate(table["labels"].to_pylist()):
            labels[row, [places[name] for name in names]] = 1
        return labels

    def outputs_in(self, table: pa.Table) -> NDArray[np.float64]:
        """Probabilities."""
        return rows_in(table, "probabilities", np.float64)

    def label_type(self, outputs: int) -> pa.DataType:
        """Lists of texts."""
        import pyarrow as pa

        del outputs
        return pa.list_(pa.string())

    def label(self, own: Any, classes: Sequence[str]) -> list[str]:
        """The names of its classes."""
        return [classes[int(place)] for place in np.flatnonzero(own)]

    # -- scores and mistakes ---------------------------------------------------------------------

    def sample_scores(self, outputs: NDArray[np.float64], labels: LabelArray) -> NDArray[Any]:
        """Whether all labels of a sample are right."""
        right = (outputs >= THRESHOLD) == (labels > 0)
        return np.asarray(right.all(axis=1))

    def confidences(
        self, outputs: NDArray[np.float64], labels: LabelArray
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Probability and truth of every class of every sample."""
        return outputs.ravel(), (labels > 0).ravel()

    def cases(
        self, outputs: NDArray[np.float64], labels: LabelArray, classes: Sequence[str]
    ) -> list[Case]:
        """The class with the largest error of each sample: missed, or wrongly given."""
        truth = labels > 0
        wrong = (outputs >= THRESHOLD) != truth  # (N, classes)
        sure = np.maximum(outputs, 1 - outputs)
        most = np.where(wrong, sure, -1).argmax(axis=1)  # (N,)
        least = sure.argmin(axis=1)
        found = []
        for i in worst(np.where(wrong.any(axis=1), at(sure, most), np.nan), -at(sure, least)):
            mistaken = bool(wrong[i].any())
            place = int(most[i] if mistaken else least[i])
            yes, name = bool(outputs[i, place] >= THRESHOLD), classes[place]
            true_classes = [classes[int(k)] for k in np.flatnonzero(truth[i])]
            given = [classes[int(k)] for k in np.flatnonzero(outputs[i] >= THRESHOLD)]
            found.append(
                Case(
                    index=i,
                    output=place,
                    predicted=", ".join(given) or "none of the classes",
                    true=", ".join(true_classes) or "none of the classes",
                    confidence=float(outputs[i, place]),
                    wrong=mistaken,
                    against=not yes,
                    output_name=name,
                    decision=(f"{name} wrongly given" if yes else f"{name} missed")
                    if mistaken
                    else (name if yes else f"not {name}"),
                )
            )
        return found

    def worst_rows(self, rows: Mapping[str, Sequence[Any]]) -> list[int]:
        """Sorted by the number of wrong labels."""
        pairs = list(zip(rows[self.truth_column], rows["predicted"], strict=True))
        wrong = [i for i, (true, predicted) in enumerate(pairs) if true != predicted]
        return sorted(wrong, key=lambda i: -len(set(pairs[i][0]) ^ set(pairs[i][1])))

    # -- in words --------------------------------------------------------------------------------

    def result_in_words(self, metrics: Mapping[str, float], count: int, where: str) -> str:
        """The selection metric."""
        del count
        return f" (multi-label). {self.selection.heading} {metrics[self.selection.key]:.4g} on {where}."

    def outputs_in_words(self, names: Sequence[str]) -> str:
        """How to compute probabilities."""
        del names
        return "A class's probability is the sigmoid of its output."


def _names_in(flags: NDArray[np.bool_], classes: Sequence[str]) -> list[list[str]]:
    return [[classes[int(i)] for i in np.flatnonzero(row)] for row in flags]
