"""What a task is: everything that differs between one class, several classes and numbers a sample."""

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
from zoo.tasks.losses import Loss
from zoo.tasks.predictions import AnyPrediction, Shown
from zoo.tasks.probe import Probe
from zoo.tasks.wording import Wording

if TYPE_CHECKING:
    import pyarrow as pa

Activation = Literal["softmax", "sigmoid", "standardised"]
"""What makes answers of a network's outputs: the last stands for mean and standard deviation."""


class Task(LabelKind, Protocol):
    """What the outputs of a network mean; frozen data plus functions.

    A task is a module in :mod:`zoo.tasks` with a row in :data:`zoo.tasks.TASKS`. No other module
    asks which one it has. How its labels are read from a dataset is in :class:`LabelKind`.

    ``outputs`` below are ``(N, outputs)`` of float64, as :meth:`decode` gives them: probabilities,
    or numbers in the user's units. ``labels`` are ``(N,)`` class indices of int64, or
    ``(N, outputs)`` of float32. ``classes`` are the names of classes, or of columns of numbers.
    """

    # -- facts -----------------------------------------------------------------------------------

    @property
    def metric(self) -> str:
        """The key of the metric that epochs are compared by; see :mod:`zoo.tasks.metrics`."""

    @property
    def has_classes(self) -> bool:
        """Whether the outputs stand for classes; else for numbers."""

    @property
    def several(self) -> bool:
        """Whether a sample may have several classes, those whose probability reaches a threshold."""

    @property
    def activation(self) -> Activation:
        """What makes answers of a network's outputs."""

    @property
    def truth_column(self) -> str:
        """The column of ``predictions.parquet`` with the labels."""

    @property
    def row_metric(self) -> str:
        """The key, in the rows of :class:`Evaluation`, by which runs are compared class by class."""

    @property
    def wording(self) -> Wording:
        """How it is written about."""

    @property
    def probe(self) -> Probe:
        """How a ranking fits and scores a linear model."""

    # -- for one dataset ------------------------------------------------------------------------

    def fitted(self, labels: LabelArray, metric: str | None = None, *, rare: bool = False) -> Self:
        """The task with what it has to know of the training split.

        Args:
            labels: Of the training split.
            metric: What chooses the best epoch; ``None`` for what fits.
            rare: Whether rare classes are to count as much as others (``--class-weights``,
                ``--balanced``, ``--focal``). Accuracy would then keep an epoch that never predicts
                them; what such a loss improves is the mean recall.

        Raises:
            UsageError: It has no such metric.
        """

    def to_json(self) -> dict[str, Any]:
        """What ``run.json`` keeps of it."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`."""

    # -- training and evaluation -----------------------------------------------------------------

    def targets(self, labels: Tensor) -> Tensor:
        """What a loss compares the outputs with, on the device of ``labels``."""

    def loss(
        self,
        labels: LabelArray,
        *,
        outputs: int | None = None,
        class_weights: bool = False,
        focal: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> Loss:
        """The loss that it trains with.

        Smoothing, weights and the focal factor apply in this order: the target is smoothed, and
        each of its classes then weighs and fades by itself.

        Args:
            labels: Of the training split.
            outputs: Classes, where the last ones may have no training sample.
            class_weights: Whether rare classes weigh more. Together with balanced sampling it
                corrects twice.
            focal: Gamma of the focal loss, at least 0. What the network says with probability ``p``
                weighs ``(1 - p) ** gamma`` (Lin et al. 2017, arXiv:1708.02002); of a mixed or
                smoothed target each class by its own ``p``. 0 is cross-entropy.
            label_smoothing: Share of a label's weight, in [0, 1), that is spread evenly over all
                classes (Szegedy et al. 2016, arXiv:1512.00567), or over the two answers to each
                class where there may be several.

        Raises:
            UsageError: A number is out of its range, or the task has no such option.
        """

    def compute_metrics(self, logits: Tensor, labels: LabelArray) -> dict[str, float]:
        """The metrics of an epoch, ``loss`` among them; NaN where an output is not finite.

        Args:
            logits: ``(N, outputs)``, on the CPU.
            labels: Of the same samples.
        """

    def score(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """What epochs are compared by, of the metrics of :meth:`compute_metrics`: higher is better."""

    def decode(self, logits: Tensor) -> NDArray[np.float64]:
        """The answers: probabilities, or numbers in the user's units."""

    def encode(self, outputs: NDArray[np.float64]) -> Tensor:
        """Logits of which :meth:`decode` makes ``outputs``, up to rounding: ``(N, outputs)``."""

    def evaluation(self, logits: Tensor, labels: LabelArray, classes: Sequence[str]) -> Evaluation:
        """Everything that ``zoo evaluate`` prints."""

    # -- predictions -----------------------------------------------------------------------------

    def predictions(
        self,
        inputs: Sequence[Shown],
        outputs: NDArray[np.float64],
        classes: Sequence[str],
        *,
        threshold: float,
        unread: Sequence[tuple[str, ...]],
    ) -> Sequence[AnyPrediction]:
        """What the outputs say of the inputs.

        Args:
            inputs: What stands for each.
            outputs: ``(len(inputs), len(classes))``.
            classes: Their names.
            threshold: The probability from which on an input has a class, where several may be.
            unread: Of each input, what the network did not get to see.
        """

    def columns(
        self, labels: LabelArray, outputs: NDArray[np.float64], classes: Sequence[str]
    ) -> dict[str, Any]:
        """The columns of ``predictions.parquet`` but for the inputs; what pyarrow makes arrays of."""

    def labels_in(self, table: pa.Table, classes: Sequence[str]) -> LabelArray:
        """The labels of which :meth:`columns` made ``table``; ``LookupError`` where it lacks them."""

    def outputs_in(self, table: pa.Table) -> NDArray[np.float64]:
        """Likewise the outputs."""

    def label_type(self, outputs: int) -> pa.DataType:
        """Of a column with the label of each sample, as :meth:`label` gives it."""

    def label(self, own: Any, classes: Sequence[str]) -> Any:
        """The label of one sample as JSON has it: a name, a list of names, a number, or numbers."""

    # -- how good, and where not -----------------------------------------------------------------

    def sample_scores(self, outputs: NDArray[np.float64], labels: LabelArray) -> NDArray[Any]:
        """How good each sample is, ``(N,)``: whether it is right, or for numbers how near."""

    def significance(self, first: NDArray[Any], other: NDArray[Any]) -> tuple[str, float]:
        """Whether two runs differ by more than chance: the name of the test, and its p.

        Args:
            first: Merits of one run, ``(N,)``.
            other: Of the other, on the same samples.
        """

    def confidences(
        self, outputs: NDArray[np.float64], labels: LabelArray
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
        """Probabilities of all that was said, and whether it was true, both ``(M,)``; for numbers None."""

    def cases(
        self, outputs: NDArray[np.float64], labels: LabelArray, classes: Sequence[str]
    ) -> list[Case]:
        """The :data:`zoo.tasks.cases.MOST` worst samples, the worst first.

        Where no class is wrong, half as many of those that the run was least sure of. Samples whose
        outputs are not finite are left out.
        """

    def worst_rows(self, rows: Mapping[str, Sequence[Any]]) -> list[int]:
        """The rows of ``predictions.parquet`` with a mistake, the worst first.

        Args:
            rows: By column: :attr:`truth_column`, ``predicted`` and, for one class a sample,
                ``probability``.
        """

    # -- in words --------------------------------------------------------------------------------

    def result_in_words(self, metrics: Mapping[str, float], count: int, where: str) -> str:
        """The end of the first sentence of a report, and the next one, which says how good it is.

        Args:
            metrics: Of :meth:`compute_metrics`.
            count: How many samples they are of.
            where: What those are: ``360 validation samples``.
        """

    def outputs_in_words(self, names: Sequence[str]) -> str:
        """How answers are made of the plain network's outputs, in Markdown; empty for a softmax.

        Args:
            names: Of the outputs, fit for Markdown.
        """
