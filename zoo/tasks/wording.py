"""The terms of a task in summaries, reports, model cards and on the Hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Wording:
    """The terms of a task.

    Attributes:
        outputs: Plural noun for the outputs: ``classes`` or ``targets``.
        output: Singular noun.
        each: Appended to the list of outputs; mostly empty.
        output_in_words: What the network outputs: ``a logit for each class``.
        units: Units in the table of classes or targets of a report.
        judgements: What a calibration plot counts.
        metric_titles: Titles of metrics that mean something else for this task, by key.
        mistakes: Heading of the worst samples in a report.
        pipeline: The Hub's pipeline tag; empty if it has none.
        hub_task: The Hub's task name for evaluation results.
    """

    outputs: str
    output: str
    each: str = ""
    output_in_words: str
    units: str
    judgements: str = "predictions"
    metric_titles: Mapping[str, str] = field(default_factory=dict)
    mistakes: str = "The most confident mistakes"
    pipeline: str = "{modality}-classification"
    hub_task: str = "{modality}-classification"


CLASSES = Wording(
    outputs="classes",
    output="class",
    output_in_words="a logit for each class",
    units="",
)
"""For tasks whose outputs are classes."""
