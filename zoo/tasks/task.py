"""The task protocol: everything that differs between single-label, multi-label and regression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from zoo.data.labels import LabelKind
from zoo.data.samples import LabelArray
from zoo.tasks.cases import Case
from zoo.tasks.evaluation import Evaluation
from zoo.tasks.label_quality import LabelQuality
from zoo.tasks.losses import PLAIN_LOSS, Loss, LossOptions
from zoo.tasks.metrics import Selection
from zoo.tasks.predictions import AnyPrediction, Shown
from zoo.tasks.probe import Probe
from zoo.tasks.wording import Wording

if TYPE_CHECKING:
    import pyarrow as pa

Activation = Literal["softmax", "sigmoid", "standardised"]
"""How predictions are computed from outputs; ``standardised`` uses mean and standard deviation."""


class Task(LabelKind, Protocol):
    """What the outputs of a network mean; frozen data plus functions.

    A task is a module in :mod:`zoo.tasks` with a row in :data:`zoo.tasks.TASKS`. No other module
    checks which task it has. Reading labels from a dataset is in :class:`LabelKind`.

    Below, ``outputs`` are ``(N, outputs)`` of float64, as returned by :meth:`decode`:
    probabilities, or values in the user's units. ``labels`` are ``(N,)`` class indices of int64,
    or ``(N, outputs)`` of float32. ``classes`` are class names or target columns.
    """

    # -- facts -----------------------------------------------------------------------------------

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the tasks whose metrics and losses apply to its outputs; the first that has one."""

    @property
    def selection(self) -> Selection:
        """The metric that selects the best epoch."""

    @property
    def metric(self) -> str:
        """Its key; see :mod:`zoo.tasks.metrics`."""

    @property
    def usual_loss(self) -> str:
        """The name of its default loss."""

    @property
    def has_classes(self) -> bool:
        """Whether the outputs are classes rather than target values."""

    @property
    def several(self) -> bool:
        """Whether a sample may have several classes: those above a probability threshold."""

    @property
    def activation(self) -> Activation:
        """How predictions are computed from the network's outputs."""

    @property
    def truth_column(self) -> str:
        """The column of ``predictions.parquet`` with the labels."""

    @property
    def row_metric(self) -> str:
        """The key in the rows of :class:`Evaluation` for comparing runs class by class."""

    @property
    def wording(self) -> Wording:
        """Its terms in texts."""

    @property
    def probe(self) -> Probe:
        """The linear probe for ranking backbones."""

    # -- for one dataset ------------------------------------------------------------------------

    def fitted(
        self, labels: LabelArray, metric: Selection | None = None, *, rare: bool = False
    ) -> Self:
        """The task fitted to the training labels.

        Args:
            labels: Labels of the training split.
            metric: The selection metric; ``None`` for the default.
            rare: Whether rare classes count as much as others (``--class-weights``,
                ``--balanced``, ``--focal``). The default metric is then mean recall, since accuracy
                could select an epoch that never predicts them.
        """

    def selecting(self, metric: Selection) -> Self:
        """The same task with another metric."""

    def to_json(self) -> dict[str, Any]:
        """Its entry in ``run.json``."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any], selection: Selection) -> Self:
        """The inverse of :meth:`to_json`."""

    # -- training and evaluation -----------------------------------------------------------------

    def targets(self, labels: Tensor) -> Tensor:
        """The targets of the loss, on the device of ``labels``."""

    def loss(self, labels: LabelArray, options: LossOptions = PLAIN_LOSS) -> Loss:
        """The training loss.

        Args:
            labels: Labels of the training split.
            options: Which loss, and its options.

        Raises:
            UsageError: The loss does not support an option.
        """

    def compute_metrics(
        self,
        logits: Tensor,
        labels: LabelArray,
        classes: Sequence[str] = (),
        remarks: list[str] | None = None,
    ) -> dict[str, float]:
        """The metrics of an epoch, including ``loss``; NaN if an output is not finite.

        Args:
            logits: ``(N, outputs)``, on the CPU.
            labels: Labels of the same samples.
            classes: Class names or target columns, for remarks.
            remarks: Receives why a value is undefined (NaN), and what a mean leaves out.
        """

    def value(
        self, outputs: NDArray[np.float64], labels: LabelArray, classes: Sequence[str]
    ) -> float:
        """The selection metric alone; NaN if it is undefined."""

    def mean_loss(self, logits: Tensor, labels: LabelArray, *, smoothing: float = 0.0) -> float:
        """The mean of its usual loss, with label smoothing where there are classes."""

    def score(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """The sort key of epochs, from :meth:`compute_metrics`: higher is better."""

    def decode(self, logits: Tensor) -> NDArray[np.float64]:
        """From logits to probabilities, or values in the user's units."""

    def decided(self, outputs: NDArray[np.float64]) -> NDArray[Any]:
        """Predictions as metrics get them; see :class:`zoo.MetricInput`."""

    def encode(self, outputs: NDArray[np.float64]) -> Tensor:
        """The inverse of :meth:`decode`, up to rounding: logits ``(N, outputs)``."""

    def evaluation(self, logits: Tensor, labels: LabelArray, classes: Sequence[str]) -> Evaluation:
        """The result of ``zoo evaluate``."""

    # -- calibration, on held-out samples --------------------------------------------------------

    def best_thresholds(
        self, outputs: NDArray[np.float64], labels: LabelArray
    ) -> NDArray[np.float64] | None:
        """By class, the probability threshold with the highest F1; ``None`` without thresholds."""

    def conformity(
        self, outputs: NDArray[np.float64], labels: LabelArray
    ) -> NDArray[np.float64] | None:
        """How far each sample is from its label, ``(N, scores)``; ``None`` without prediction sets.

        One minus the probability of the true class, or the absolute error of each target.
        """

    def promised(
        self, outputs: NDArray[np.float64], limits: Sequence[float], classes: Sequence[str]
    ) -> list[dict[str, Any]]:
        """By sample, the fields of its prediction that hold what is within the limits.

        Args:
            outputs: ``(N, outputs)``, before the temperature.
            limits: The largest of each score of :meth:`conformity`.
            classes: Class names or target columns.
        """

    def promised_tensors(self, logits: Tensor, limits: Sequence[float]) -> dict[str, Tensor]:
        """As :meth:`promised`, from logits before the temperature, as outputs of an export."""

    # -- the labels themselves -------------------------------------------------------------------

    def label_quality(self, outputs: NDArray[np.float64], labels: LabelArray) -> LabelQuality:
        """How likely labels are right, by predictions of networks that have not seen them."""

    # -- predictions -----------------------------------------------------------------------------

    def predictions(
        self,
        inputs: Sequence[Shown],
        outputs: NDArray[np.float64],
        classes: Sequence[str],
        *,
        threshold: float | Mapping[str, float],
        unread: Sequence[tuple[str, ...]],
    ) -> Sequence[AnyPrediction]:
        """One prediction per input: dataclasses with the fields ``rejected`` and ``ood``.

        Args:
            inputs: The image path, text or text pair of each input.
            outputs: ``(len(inputs), len(classes))``.
            classes: Class names or target columns.
            threshold: The probability from which a label is predicted, or by class; one for all classes
                is for multi-label only.
            unread: The parts of each input that the network did not see.
        """

    def columns(
        self, labels: LabelArray, outputs: NDArray[np.float64], classes: Sequence[str]
    ) -> dict[str, Any]:
        """The columns of ``predictions.parquet`` besides the inputs; see :func:`zoo.system.arrow.table`."""

    def labels_in(self, table: pa.Table, classes: Sequence[str]) -> LabelArray:
        """Read the labels from a table of :meth:`columns`; ``LookupError`` if there are none."""

    def outputs_in(self, table: pa.Table) -> NDArray[np.float64]:
        """Read the outputs from a table of :meth:`columns`."""

    def label_type(self, outputs: int) -> pa.DataType:
        """The Arrow type of a column of labels, as :meth:`label` returns them."""

    def label(self, own: Any, classes: Sequence[str]) -> Any:
        """The label of one sample as JSON data: a name, a list of names, a number or numbers."""

    # -- scores and mistakes ---------------------------------------------------------------------

    def sample_scores(self, outputs: NDArray[np.float64], labels: LabelArray) -> NDArray[Any]:
        """A score per sample, ``(N,)``: whether it is right, or for regression the negative error."""

    def confidences(
        self, outputs: NDArray[np.float64], labels: LabelArray
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
        """Probability and correctness of all predictions, both ``(M,)``; ``None`` for regression."""

    def cases(
        self, outputs: NDArray[np.float64], labels: LabelArray, classes: Sequence[str]
    ) -> list[Case]:
        """The :data:`zoo.tasks.cases.MOST` worst samples, the worst first.

        If there are no mistakes, half as many of the least confident ones. Samples whose outputs
        are not finite are left out.
        """

    def worst_rows(self, rows: Mapping[str, Sequence[Any]]) -> list[int]:
        """The rows of ``predictions.parquet`` with a mistake, the worst first.

        Args:
            rows: By column: :attr:`truth_column`, ``predicted`` and, for one class a sample,
                ``probability``.
        """

    # -- in words --------------------------------------------------------------------------------

    def result_in_words(self, metrics: Mapping[str, float], count: int, where: str) -> str:
        """The end of the first sentence of a report, and a sentence with the result.

        Args:
            metrics: From :meth:`compute_metrics`.
            count: The number of samples.
            where: The samples: ``360 validation samples``.
        """

    def outputs_in_words(self, names: Sequence[str]) -> str:
        """How to compute predictions from the exported network's outputs, in Markdown.

        Empty for a softmax.

        Args:
            names: Names of the outputs, escaped for Markdown.
        """
