"""The table of zoo's own metrics: names, functions and directions. A new metric is a row."""

from __future__ import annotations

import math
from collections.abc import Mapping

from zoo.contract.extensions import Argument, Function, Metric

LOSS = "loss"
"""The key of the loss, which each task computes itself from logits."""

ACCURACY = "accuracy"
"""The key of the share of samples that are right."""

_HERE = "zoo.tasks.measures:"


def _by_task(single: str = "", several: str = "", values: str = "") -> dict[str, Function]:
    """Functions in :mod:`zoo.tasks.measures` by task."""
    names = {"single-label": single, "multi-label": several, "regression": values}
    return {task: _HERE + name for task, name in names.items() if name}


METRICS: Mapping[str, Metric] = {
    "map": Metric(
        title="mAP",
        measures=_by_task(several="mean_average_precision"),
        meaning="mean average precision",
        always=True,
        leads=True,
    ),
    ACCURACY: Metric(
        title="accuracy",
        measures=_by_task("accuracy", "exact_match"),
        share=True,
        always=True,
        leads=True,
        defined=True,
    ),
    "balanced_accuracy": Metric(
        title="balanced accuracy",
        measures=_by_task("balanced_accuracy", "balanced_accuracy_of_sets"),
        meaning="mean recall of the classes",
    ),
    "macro_f1": Metric(
        title="macro F1",
        measures=_by_task("macro_f1", "macro_f1_of_sets"),
        meaning="mean over the classes",
        always=True,
        defined=True,
    ),
    "micro_f1": Metric(
        title="micro F1",
        measures=_by_task(several="micro_f1"),
        meaning="over all decisions",
        always=True,
        defined=True,
    ),
    "auroc": Metric(
        title="AUROC",
        measures=_by_task("auroc", "auroc"),
        meaning="area under the ROC curve; with more than two classes, each against the others",
    ),
    "auprc": Metric(
        title="AUPRC",
        measures=_by_task("auprc", "auprc"),
        meaning="average precision; of the second of two classes, else each against the others",
    ),
    "quadratic_kappa": Metric(
        title="quadratic kappa",
        measures=_by_task("quadratic_kappa", "kappa_of_sets"),
        meaning="Cohen's kappa with quadratic weights, for classes in order",
    ),
    "mcc": Metric(
        title="MCC",
        measures=_by_task("mcc", "mcc_of_sets"),
        meaning="Matthews' correlation coefficient",
    ),
    "top_k": Metric(
        title="top-{} accuracy",
        measures=_by_task("top_k"),
        meaning="the class is among the likeliest",
        share=True,
        argument=Argument(default=5, at_least=1, at_most=math.inf, whole=True),
    ),
    "sensitivity": Metric(
        title="sensitivity at specificity {}",
        measures=_by_task("sensitivity", "sensitivity"),
        meaning="of the second of two classes, else each against the others",
        argument=Argument(default=0.9, at_least=0, at_most=1),
    ),
    "mae": Metric(
        title="MAE",
        measures=_by_task(values="mean_mae"),
        higher=False,
        meaning="mean absolute error",
        always=True,
        defined=True,
    ),
    "rmse": Metric(
        title="RMSE",
        measures=_by_task(values="mean_rmse"),
        higher=False,
        meaning="root of the mean squared error",
        always=True,
        leads=True,
        defined=True,
    ),
    "r2": Metric(
        title="R²",
        measures=_by_task(values="mean_r2"),
        meaning="share of the variance explained",
        always=True,
    ),
    LOSS: Metric(
        title="loss",
        measures={},
        higher=False,
        meaning="lower is better",
        always=True,
        defined=True,
    ),
}
"""zoo's own metrics, in display order."""
