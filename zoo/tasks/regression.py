"""Regression of one or more targets: squared error on standardised values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from zoo.data.cells import read_numbers
from zoo.data.classes import require_variety
from zoo.data.labels import Cells, Numbers
from zoo.data.samples import LabelArray
from zoo.data.sequences import Indices
from zoo.data.sources.columns import LABEL_COLUMNS
from zoo.data.splitting import random_split
from zoo.data.table import Table
from zoo.tasks.cases import Case, at, worst
from zoo.tasks.evaluation import Evaluation, number_rows
from zoo.tasks.label_quality import LabelQuality, of_numbers
from zoo.tasks.losses import PLAIN_LOSS, Loss, LossOptions
from zoo.tasks.metrics import Selection, own_metric
from zoo.tasks.predictions import Shown, listed, refusal_json, rows_in, unread_json
from zoo.tasks.probe import Probe, ridge
from zoo.tasks.selecting import SelectingTask
from zoo.tasks.task import Activation
from zoo.tasks.wording import Wording

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class NumberPrediction:
    """The predicted values of one input.

    Attributes:
        input: The image path, text or text pair.
        values: Predicted value by target column, in the units of the training data.
        unread: Parts of the input that the network did not see: ``end`` of a text; for images see
            :mod:`zoo.modalities.image.not_seen`.
        intervals: By target column, the lowest and highest value that a coverage was promised for;
            ``None`` if none was asked for.
        rejected: Whether the input is unlike the training data; ``None`` if that was not asked for.
        ood: The share of validation samples that are more like them; ``None`` likewise.
    """

    input: Shown
    values: Mapping[str, float]
    unread: tuple[str, ...] = ()
    intervals: Mapping[str, tuple[float, float]] | None = None
    rejected: bool | None = None
    ood: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data."""
        shown = {"input": listed(self.input), "values": dict(self.values)}
        within = {name: list(ends) for name, ends in (self.intervals or {}).items()}
        more = {} if self.intervals is None else {"intervals": within}
        refusal = refusal_json(self.rejected, self.ood)
        return {**shown, **more, **refusal, **unread_json(self.unread)}


def _standardised(labels: LabelArray) -> NDArray[np.float64]:
    values = labels.astype(np.float64)
    spread = values.std(axis=0)
    standard: NDArray[np.float64] = (values - values.mean(axis=0)) / np.where(spread, spread, 1.0)
    return standard


def _explained(predicted: NDArray[Any], labels: LabelArray) -> float:
    from sklearn.metrics import r2_score

    return float(r2_score(labels, predicted))


_DEFAULT = own_metric("loss")


@dataclass(frozen=True)
class Regression(SelectingTask):
    """Regression of one or more targets; see :class:`zoo.tasks.task.Task`.

    Attributes:
        mean: Mean of each target in the training split.
        std: Standard deviation of each target, not 0.
    """

    selection: Selection = _DEFAULT
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    name: ClassVar[str] = "regression"
    kinds: ClassVar[tuple[str, ...]] = ("regression",)
    usual_loss: ClassVar[str] = "squared-error"
    has_classes: ClassVar[bool] = False
    several: ClassVar[bool] = False
    activation: ClassVar[Activation] = "standardised"
    truth_column: ClassVar[str] = "values"
    row_metric: ClassVar[str] = "rmse"
    labels: ClassVar[type[Any]] = Numbers
    usual_columns: ClassVar[Sequence[str]] = (*LABEL_COLUMNS, "value", "score", "rating")
    labels_noun: ClassVar[str] = "numbers to predict"
    wording: ClassVar[Wording] = Wording(
        outputs="targets",
        output="target",
        output_in_words="a value for each target",
        units="in the units of your data",
        mistakes="The largest errors",
        pipeline="",
        hub_task="tabular-regression",
    )
    probe: ClassVar[Probe] = Probe(
        metric="R²",
        model=ridge,
        outputs=lambda model, features: np.asarray(model.predict(features)).reshape(
            len(features), -1
        ),
        score=_explained,
        targets=_standardised,
    )

    def fitted(
        self, labels: LabelArray, metric: Selection | None = None, *, rare: bool = False
    ) -> Self:
        """Set the metric, and mean and standard deviation of each target."""
        del rare
        chosen = metric or self.selection
        values = labels.astype(np.float64)  # (N, targets)
        mean, std = tuple(values.mean(axis=0).tolist()), tuple(values.std(axis=0).tolist())
        return replace(self, mean=mean, std=std, selection=chosen)

    def to_json(self) -> dict[str, Any]:
        """Its name, metric, mean and standard deviation."""
        return {**super().to_json(), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], selection: Selection) -> Self:
        """The inverse of :meth:`to_json`."""
        mean, std = (tuple(map(float, data[name])) for name in ("mean", "std"))
        return cls(selection, mean, std)

    # -- labels in a dataset ---------------------------------------------------------------------

    def claims(self, table: Table, columns: Sequence[str]) -> bool:
        """Never: numbers may be class names."""
        del table, columns
        return False

    def read(self, table: Table, columns: Sequence[str]) -> Cells:
        """Read one number per row and target column."""
        return read_numbers(table, columns)

    def split(self, labels: LabelArray, share: float, seed: int) -> tuple[Indices, Indices]:
        """At random."""
        return random_split(labels, share, seed, keep_classes=False)

    def strata(self, labels: LabelArray) -> Indices | None:
        """Fifths by the mean of the standardised targets."""
        values = _standardised(labels).mean(axis=1)
        fifths: Indices = np.searchsorted(np.quantile(values, (0.2, 0.4, 0.6, 0.8)), values)
        return fifths

    def too_few(self, labels: Any) -> tuple[str, str]:
        """There is only one sample."""
        del labels
        return "too few samples", ""

    def require_variety(self, labels: LabelArray, where: str, names: Sequence[str]) -> None:
        """Check that targets are not constant."""
        require_variety(labels, where, names)

    # -- training and evaluation -----------------------------------------------------------------

    def targets(self, labels: Tensor) -> Tensor:
        """Standard deviations from the mean, ``(B, targets)`` of float32."""
        mean = torch.tensor(self.mean, dtype=torch.float64)
        std = torch.tensor(self.std, dtype=torch.float64)
        centred = labels - mean.to(labels.device, labels.dtype)  # (B, targets)
        return (centred / std.to(labels.device, labels.dtype)).float()

    def loss(self, labels: LabelArray, options: LossOptions = PLAIN_LOSS) -> Loss:
        """By default squared error averaged over targets; targets ``(B, T)`` floats."""
        del labels
        return options.loss(self, lambda: None)

    def mean_loss(self, logits: Tensor, labels: LabelArray, *, smoothing: float = 0.0) -> float:
        """The mean squared error of standardised values."""
        del smoothing
        wanted = self.targets(torch.from_numpy(labels).double())
        return float(functional.mse_loss(logits.double(), wanted.double()))

    def decided(self, outputs: NDArray[np.float64]) -> NDArray[Any]:
        """The values themselves."""
        return outputs

    def decode(self, logits: Tensor) -> NDArray[np.float64]:
        """Values in the user's units."""
        return np.asarray(logits.double().numpy() * np.array(self.std) + np.array(self.mean))

    def encode(self, outputs: NDArray[np.float64]) -> Tensor:
        """Standard deviations from the mean."""
        return torch.from_numpy((outputs - np.array(self.mean)) / np.array(self.std))

    def evaluation(self, logits: Tensor, labels: LabelArray, classes: Sequence[str]) -> Evaluation:
        """Metrics overall and per target."""
        rows = number_rows(self.decode(logits), labels.astype(np.float64), classes)
        remarks: list[str] = []
        metrics = self.compute_metrics(logits, labels, classes, remarks)
        return Evaluation(metrics, rows, len(labels), notes=tuple(remarks))

    # -- calibration -----------------------------------------------------------------------------

    def conformity(self, outputs: NDArray[np.float64], labels: LabelArray) -> NDArray[np.float64]:
        """The absolute error of each target."""
        return np.asarray(np.abs(outputs - labels))

    def promised(
        self, outputs: NDArray[np.float64], limits: Sequence[float], classes: Sequence[str]
    ) -> list[dict[str, Any]]:
        """An interval for each target, of the same width for all samples."""
        ends = np.stack([outputs - np.array(limits), outputs + np.array(limits)], axis=2)
        return [
            {"intervals": dict(zip(classes, map(tuple, row), strict=True))} for row in ends.tolist()
        ]

    def promised_tensors(self, logits: Tensor, limits: Sequence[float]) -> dict[str, Tensor]:
        """``low`` and ``high``, ``(B, targets)``, standardised as the outputs are."""
        half = torch.tensor([limit / std for limit, std in zip(limits, self.std, strict=True)])
        return {"low": logits - half, "high": logits + half}

    # -- the labels themselves -------------------------------------------------------------------

    def label_quality(self, outputs: NDArray[np.float64], labels: LabelArray) -> LabelQuality:
        """By residuals."""
        return of_numbers(outputs, labels)

    # -- predictions -----------------------------------------------------------------------------

    def predictions(
        self,
        inputs: Sequence[Shown],
        outputs: NDArray[np.float64],
        classes: Sequence[str],
        *,
        threshold: float | Mapping[str, float],
        unread: Sequence[tuple[str, ...]],
    ) -> list[NumberPrediction]:
        """The numbers of each input."""
        del threshold
        return [
            NumberPrediction(name, dict(zip(classes, row, strict=True)), lack)
            for name, row, lack in zip(inputs, outputs.tolist(), unread, strict=True)
        ]

    def columns(
        self, labels: LabelArray, outputs: NDArray[np.float64], classes: Sequence[str]
    ) -> dict[str, Any]:
        """``values`` and ``predicted``, lists of numbers."""
        del classes
        return {"values": labels.astype(np.float64), "predicted": outputs}

    def labels_in(self, table: pa.Table, classes: Sequence[str]) -> LabelArray:
        """The true numbers."""
        return rows_in(table, "values", np.float32).reshape(-1, len(classes))

    def outputs_in(self, table: pa.Table) -> NDArray[np.float64]:
        """The predicted numbers."""
        return rows_in(table, "predicted", np.float64)

    def label_type(self, outputs: int) -> pa.DataType:
        """Numbers; lists of them where there are several."""
        import pyarrow as pa

        return pa.list_(pa.float32()) if outputs > 1 else pa.float32()

    def label(self, own: Any, classes: Sequence[str]) -> Any:
        """The number, or the numbers."""
        del classes
        return own.tolist() if len(own) > 1 else float(own[0])

    # -- scores and mistakes ---------------------------------------------------------------------

    def sample_scores(self, outputs: NDArray[np.float64], labels: LabelArray) -> NDArray[Any]:
        """The negative absolute error, averaged over standardised targets."""
        errors = np.abs(outputs - labels)  # (N, targets)
        spread = np.maximum(labels.std(axis=0), np.finfo(np.float32).tiny)
        return np.asarray(-(errors / spread).mean(axis=1))

    def confidences(self, outputs: NDArray[np.float64], labels: LabelArray) -> None:
        """None: there are no probabilities."""
        del outputs, labels

    def cases(
        self, outputs: NDArray[np.float64], labels: LabelArray, classes: Sequence[str]
    ) -> list[Case]:
        """The target with the largest error of each sample, in standard deviations."""
        truth = labels.astype(np.float64)
        spread = np.maximum(truth.std(axis=0), np.finfo(np.float64).tiny)
        errors = np.abs(outputs - truth) / spread  # (N, targets)
        most = np.where(np.isfinite(errors), errors, -1).argmax(axis=1)
        return [
            Case(
                index=i,
                output=(place := int(most[i])),
                predicted=f"{classes[place]} {outputs[i, place]:.4g}",
                true=f"{truth[i, place]:.4g}",
                confidence=None,
                wrong=True,
            )
            for i in worst(at(errors, most), np.full(len(errors), np.nan))
        ]

    def worst_rows(self, rows: Mapping[str, Sequence[Any]]) -> list[int]:
        """All rows by error relative to the range of each target, largest first."""
        truth = rows[self.truth_column]
        spread = [max(column) - min(column) or 1 for column in zip(*truth, strict=True)]
        off = [
            sum(abs(t - s) / width for t, s, width in zip(true, predicted, spread, strict=True))
            for true, predicted in zip(truth, rows["predicted"], strict=True)
        ]
        return sorted(range(len(off)), key=lambda i: -off[i])

    # -- in words --------------------------------------------------------------------------------

    def result_in_words(self, metrics: Mapping[str, float], count: int, where: str) -> str:
        """The selection metric, and the mean absolute error."""
        del count
        chosen = self.selection
        error = "" if chosen.key == "mae" else f", mean absolute error {metrics['mae']:.4g}"
        return f". {chosen.heading} {metrics[chosen.key]:.4g}{error} on {where}."

    def outputs_in_words(self, names: Sequence[str]) -> str:
        """A formula for each number."""
        formulas = [
            f"- {name} = {mean:.9g} + {std:.9g} × output"
            for name, mean, std in zip(names, self.mean, self.std, strict=True)
        ]
        return "The outputs are standardised:\n\n" + "\n".join(formulas)
