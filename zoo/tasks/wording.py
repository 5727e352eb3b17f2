"""How a task is written about: in headers, reports, model cards and on the Hub."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Wording:
    """Words of a task.

    Attributes:
        outputs: What the outputs stand for: ``classes`` or ``targets``.
        output: One of them.
        each: After the list of outputs, what a sample may have of them; mostly empty.
        output_in_words: What a network's output is: ``a logit for each class``.
        units: Of the table of classes or targets in a report.
        judgements: What a calibration counts.
        mistakes: Heading of the worst samples in a report.
        pipeline: The Hub's word for the task after that for the modality; empty where it has none.
        hub_task: Likewise, where the Hub demands a word.
    """

    outputs: str
    output: str
    each: str = ""
    output_in_words: str
    units: str
    judgements: str = "predictions"
    mistakes: str = "The most confident mistakes"
    pipeline: str = "{modality}-classification"
    hub_task: str = "{modality}-classification"


CLASSES = Wording(
    outputs="classes",
    output="class",
    output_in_words="a logit for each class",
    units="",
)
"""Of a task whose outputs are classes."""
