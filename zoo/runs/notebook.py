"""A run in a notebook: tables as pandas DataFrames, a Matplotlib figure, HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo.errors import UsageError
from zoo.runs.predictions import EvaluatedSamples, input_columns
from zoo.tasks.evaluation import Evaluation
from zoo.tasks.metrics import Selection, formatted, main_metric, title_of
from zoo.tasks.task import Task

if TYPE_CHECKING:
    import pandas

    from zoo.runs.figure import Plot


def history_frame(epochs: Sequence[Mapping[str, Any]]) -> pandas.DataFrame:
    """One row per epoch, counted from 1 over all phases; the columns of ``metrics.jsonl``."""
    import pandas

    index = pandas.RangeIndex(1, len(epochs) + 1, name="epoch")
    return pandas.DataFrame([{k: v for k, v in e.items() if k != "epoch"} for e in epochs], index)


def history_plot(
    epochs: Sequence[Mapping[str, Any]], best: int, title: str, chosen: Selection
) -> Plot:
    """Losses and the selection metric by epoch, with the best epoch marked.

    Raises:
        UsageError: No epoch is recorded.
    """
    if not epochs:
        raise UsageError(
            "the run has no metrics.jsonl, so there is nothing to plot",
            hint="Restore the file from a copy of the run.",
        )
    key = main_metric(epochs[0], str(epochs[0].get("metric", "")))
    from zoo.runs.figure import Plot  # imports Matplotlib

    figure = Plot(figsize=(9, 3.5), layout="constrained")
    losses, metric = figure.subplots(1, 2)
    numbers = range(1, len(epochs) + 1)
    for axes, name, label in (
        (losses, "train_loss", "training"),
        (losses, "loss", "validation"),
        (metric, key, "validation"),
    ):
        axes.plot(numbers, [epoch.get(name) for epoch in epochs], marker=".", label=label)
    for axes, words in ((losses, "loss"), (metric, title_of(key, chosen))):
        axes.axvline(best, color="gray", linestyle=":", label=f"best epoch, {best}")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set(xlabel="epoch", ylabel=words)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title.replace("$", r"\$"))
    return figure


def confusion_frame(
    evaluated: EvaluatedSamples, task: Task, classes: Sequence[str]
) -> pandas.DataFrame:
    """Counts; a row per true class, a column per predicted class.

    Raises:
        UsageError: The task has no confusion matrix.
    """
    import pandas

    evaluation: Evaluation = task.evaluation(
        task.encode(evaluated.outputs), evaluated.labels, classes
    )
    if evaluation.confusion is None:
        raise UsageError(
            f"a {task.name} run has no confusion matrix",
            hint="run.evaluate(data) has metrics per class or target, and run.mistakes() the samples.",
        )
    return pandas.DataFrame(
        evaluation.confusion,
        index=pandas.Index(classes, name="true"),
        columns=pandas.Index(classes, name="predicted"),
    )


def mistakes_frame(
    evaluated: EvaluatedSamples, task: Task, classes: Sequence[str]
) -> pandas.DataFrame:
    """The mistakes, the worst first: inputs, true and predicted labels, probabilities.

    For regression all samples, by error.
    """
    import pandas

    columns = task.columns(evaluated.labels, evaluated.outputs, classes)
    chosen = task.worst_rows(columns) if len(evaluated) else []
    several = columns.pop("probabilities", None)
    table = {**input_columns(evaluated.inputs), **columns}
    if several is not None:
        table |= {f"p({name})": [row[i] for row in several] for i, name in enumerate(classes)}
    rows = {name: [values[i] for i in chosen] for name, values in table.items()}
    return pandas.DataFrame(rows)


def facts_of_run(
    record: Mapping[str, Any], metrics: Mapping[str, float], chosen: Selection
) -> dict[str, Any]:
    """What a notebook shows of a run."""
    weights, data = record["weights"], record["data"]
    names = list(record["classes"])
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return {
        "backbone": record["backbone"],
        "weights": weights["tag"] if weights else "none (random initialisation)",
        "strategy": record.get("strategy", ""),
        "data": f"{data.get('source', '')}: {data.get('train')} training, {data.get('val')} validation samples",
        "outputs": f"{len(names)}: {shown}",
        "validation": formatted(metrics, chosen),
    }
