"""Single-label classification: softmax and cross-entropy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from zoo.data.cells import holds_several, read_classes
from zoo.data.classes import all_numbers
from zoo.data.labels import Cells, Labels
from zoo.data.samples import LabelArray
from zoo.data.sequences import Indices
from zoo.data.sources.columns import LABEL_COLUMNS
from zoo.data.splitting import stratified_split
from zoo.data.table import Table
from zoo.tasks.cases import Case, worst
from zoo.tasks.evaluation import Evaluation, class_rows, confusion_of
from zoo.tasks.label_quality import LabelQuality, of_classes
from zoo.tasks.losses import PLAIN_LOSS, Loss, LossOptions, balanced_weights
from zoo.tasks.metric_table import ACCURACY
from zoo.tasks.metrics import Selection, own_metric
from zoo.tasks.predictions import Shown, by_probability, listed, refusal_json, rows_in, unread_json
from zoo.tasks.probe import Probe, ridge_classifier
from zoo.tasks.selecting import SelectingTask
from zoo.tasks.task import Activation
from zoo.tasks.wording import CLASSES, Wording

if TYPE_CHECKING:
    import pyarrow as pa

_LEAST = 1e-300
"""Probabilities are clipped here for a finite logarithm."""


@dataclass(frozen=True)
class Prediction:
    """The predicted class of one input.

    Attributes:
        input: The image path, text or text pair.
        label: The class with the highest probability, or by the threshold of one of two classes.
        probabilities: Probability in [0, 1] by class name, the likeliest first.
        unread: Parts of the input that the network did not see: ``end`` of a text; for images see
            :mod:`zoo.modalities.image.not_seen`.
        prediction_set: The classes that a coverage was promised for, the likeliest first; may be
            empty. ``None`` if none was asked for.
        rejected: Whether the input is unlike the training data; ``None`` if that was not asked for.
        ood: The share of validation samples that are more like them; ``None`` likewise.
    """

    input: Shown
    label: str
    probabilities: Mapping[str, float]
    unread: tuple[str, ...] = ()
    prediction_set: tuple[str, ...] | None = None
    rejected: bool | None = None
    ood: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data."""
        members = self.prediction_set
        return {
            "input": listed(self.input),
            "label": self.label,
            "probabilities": dict(self.probabilities),
            **({} if members is None else {"prediction_set": list(members)}),
            **refusal_json(self.rejected, self.ood),
            **unread_json(self.unread),
        }


_DEFAULT = own_metric(ACCURACY)


@dataclass(frozen=True)
class SingleLabel(SelectingTask):
    """Single-label classification; see :class:`zoo.tasks.task.Task`."""

    selection: Selection = _DEFAULT

    name: ClassVar[str] = "single-label"
    kinds: ClassVar[tuple[str, ...]] = ("single-label",)
    usual_loss: ClassVar[str] = "cross-entropy"
    has_classes: ClassVar[bool] = True
    several: ClassVar[bool] = False
    activation: ClassVar[Activation] = "softmax"
    truth_column: ClassVar[str] = "label"
    row_metric: ClassVar[str] = "f1"
    wording: ClassVar[Wording] = CLASSES
    labels: ClassVar[type[Any]] = Labels
    usual_columns: ClassVar[Sequence[str]] = LABEL_COLUMNS
    labels_noun: ClassVar[str] = "labels"
    probe: ClassVar[Probe] = Probe(
        metric="accuracy",
        model=ridge_classifier,
        outputs=lambda model, features: np.asarray(model.predict(features)),
        score=lambda predicted, labels: float((predicted == labels).mean()),
        targets=lambda labels: np.eye(int(labels.max()) + 1)[labels],
        stratified=True,
        margin=lambda share, samples: math.sqrt(2 * share * (1 - share) / samples),
    )

    def fitted(
        self, labels: LabelArray, metric: Selection | None = None, *, rare: bool = False
    ) -> Self:
        """Set the metric; by default balanced accuracy if rare classes count."""
        del labels
        default = own_metric("balanced_accuracy") if rare else self.selection
        return replace(self, selection=metric or default)

    # -- labels in a dataset ---------------------------------------------------------------------

    def claims(self, table: Table, columns: Sequence[str]) -> bool:
        """Whether rows have one label each."""
        return not holds_several(table, columns)

    def read(self, table: Table, columns: Sequence[str]) -> Cells:
        """Read the class of each row: a name, or a one-hot column."""
        return read_classes(table, columns)

    def split(self, labels: LabelArray, share: float, seed: int) -> tuple[Indices, Indices]:
        """Split stratified by class."""
        return stratified_split(labels, share, seed)

    def strata(self, labels: LabelArray) -> Indices | None:
        """The classes."""
        return labels

    def too_few(self, labels: Any) -> tuple[str, str]:
        """Each class has one sample; numeric classes may be meant as regression targets."""
        advice = "To predict numbers, use --task regression." if all_numbers(labels) else ""
        return "one sample per class", advice

    def require_variety(self, labels: LabelArray, where: str, names: Sequence[str]) -> None:
        """Nothing to check: there are at least two classes with samples."""

    # -- training and evaluation -----------------------------------------------------------------

    def targets(self, labels: Tensor) -> Tensor:
        """Class indices, ``(B,)`` of int64."""
        return labels

    def loss(self, labels: LabelArray, options: LossOptions = PLAIN_LOSS) -> Loss:
        """Cross-entropy; targets ``(B,)`` int64, or shares ``(B, C)`` of mixed samples."""
        return options.loss(self, lambda: balanced_weights(labels, options.outputs))

    def mean_loss(self, logits: Tensor, labels: LabelArray, *, smoothing: float = 0.0) -> float:
        """The mean cross-entropy in nats."""
        truth = torch.from_numpy(labels)
        return float(functional.cross_entropy(logits.double(), truth, label_smoothing=smoothing))

    def decided(self, outputs: NDArray[np.float64]) -> NDArray[Any]:
        """The class with the largest output, ``(N,)``."""
        return np.asarray(outputs.argmax(axis=1))

    def decode(self, logits: Tensor) -> NDArray[np.float64]:
        """Probabilities that add up to 1."""
        return np.asarray(logits.double().softmax(dim=1).numpy())

    def encode(self, outputs: NDArray[np.float64]) -> Tensor:
        """The logarithms."""
        return torch.from_numpy(outputs).clamp(min=_LEAST).log()

    def evaluation(self, logits: Tensor, labels: LabelArray, classes: Sequence[str]) -> Evaluation:
        """Per-class metrics and the confusion matrix."""
        predicted, remarks = self.decided(self.decode(logits)), list[str]()
        return Evaluation(
            self.compute_metrics(logits, labels, classes, remarks),
            class_rows(predicted, labels, classes),
            len(labels),
            confusion_of(predicted, labels, classes),
            notes=tuple(remarks),
        )

    # -- calibration -----------------------------------------------------------------------------

    def conformity(self, outputs: NDArray[np.float64], labels: LabelArray) -> NDArray[np.float64]:
        """One minus the probability of the true class (LAC, Sadinle et al. 2019)."""
        return np.asarray(1 - outputs[np.arange(len(labels)), labels])[:, None]

    def promised(
        self, outputs: NDArray[np.float64], limits: Sequence[float], classes: Sequence[str]
    ) -> list[dict[str, Any]]:
        """The classes that are likely enough, the likeliest first."""
        least = 1 - limits[0] - 1e-12  # a sum of floats may be off by that
        order = np.argsort(-outputs, axis=1, kind="stable")
        return [
            {"prediction_set": tuple(classes[i] for i in places if row[i] >= least)}
            for row, places in zip(outputs, order, strict=True)
        ]

    def promised_tensors(self, logits: Tensor, limits: Sequence[float]) -> dict[str, Tensor]:
        """``in_set``, ``(B, classes)``: whether each class is likely enough."""
        return {"in_set": logits.softmax(dim=1) >= 1 - limits[0]}

    # -- the labels themselves -------------------------------------------------------------------

    def label_quality(self, outputs: NDArray[np.float64], labels: LabelArray) -> LabelQuality:
        """Confident learning."""
        return of_classes(outputs, labels)

    # -- predictions -----------------------------------------------------------------------------

    def predictions(
        self,
        inputs: Sequence[Shown],
        outputs: NDArray[np.float64],
        classes: Sequence[str],
        *,
        threshold: float | Mapping[str, float],
        unread: Sequence[tuple[str, ...]],
    ) -> list[Prediction]:
        """The likeliest class of each input; with thresholds by class, the one most above its own."""
        above = threshold if isinstance(threshold, Mapping) else dict.fromkeys(classes, 0.0)
        return [
            Prediction(name, max(row, key=lambda key: row[key] - above[key]), row, lack)
            for name, row, lack in zip(
                inputs, by_probability(outputs, classes), unread, strict=True
            )
        ]

    def columns(
        self, labels: LabelArray, outputs: NDArray[np.float64], classes: Sequence[str]
    ) -> dict[str, Any]:
        """``label``, ``predicted``, ``probability`` and ``probabilities``."""
        return {
            "label": [classes[i] for i in labels],
            "predicted": [classes[i] for i in outputs.argmax(axis=1)],
            "probability": outputs.max(axis=1),
            "probabilities": outputs,
        }

    def labels_in(self, table: pa.Table, classes: Sequence[str]) -> LabelArray:
        """Class indices."""
        places = {name: place for place, name in enumerate(classes)}
        return np.array([places[name] for name in table["label"].to_pylist()], dtype=np.int64)

    def outputs_in(self, table: pa.Table) -> NDArray[np.float64]:
        """Probabilities."""
        return rows_in(table, "probabilities", np.float64)

    def label_type(self, outputs: int) -> pa.DataType:
        """Text."""
        import pyarrow as pa

        del outputs
        return pa.string()

    def label(self, own: Any, classes: Sequence[str]) -> str:
        """The name of its class."""
        return classes[int(own)]

    # -- scores and mistakes ---------------------------------------------------------------------

    def sample_scores(self, outputs: NDArray[np.float64], labels: LabelArray) -> NDArray[Any]:
        """Whether each sample is right."""
        return np.asarray(outputs.argmax(axis=1) == labels)

    def confidences(
        self, outputs: NDArray[np.float64], labels: LabelArray
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Of the class that was named."""
        return outputs.max(axis=1), outputs.argmax(axis=1) == labels

    def cases(
        self, outputs: NDArray[np.float64], labels: LabelArray, classes: Sequence[str]
    ) -> list[Case]:
        """The most confident mistakes."""
        best, sure = outputs.argmax(axis=1), outputs.max(axis=1)
        wrong = best != labels
        return [
            Case(
                index=i,
                output=int(best[i]),
                predicted=classes[int(best[i])],
                true=classes[int(labels[i])],
                confidence=float(sure[i]),
                wrong=bool(wrong[i]),
            )
            for i in worst(np.where(wrong, sure, np.nan), -sure)
        ]

    def worst_rows(self, rows: Mapping[str, Sequence[Any]]) -> list[int]:
        """Mistakes sorted by confidence."""
        pairs = zip(rows[self.truth_column], rows["predicted"], strict=True)
        wrong = [i for i, (true, predicted) in enumerate(pairs) if true != predicted]
        return sorted(wrong, key=lambda i: -rows["probability"][i])

    # -- in words --------------------------------------------------------------------------------

    def result_in_words(self, metrics: Mapping[str, float], count: int, where: str) -> str:
        """How many are right."""
        return f". {round(metrics['accuracy'] * count):,} of {where} classified correctly."

    def outputs_in_words(self, names: Sequence[str]) -> str:
        """Nothing: they are logits."""
        del names
        return ""
