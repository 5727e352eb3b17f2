"""What a run says of inputs: class names with probabilities, and the file that keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from zoo import files
from zoo.data import Samples


@dataclass(frozen=True)
class Prediction:
    """What a run says of one input.

    Attributes:
        input: The path of the picture, or the text.
        label: The class with the highest probability.
        probabilities: Class names to numbers in [0, 1], the likeliest first.
    """

    input: str
    label: str
    probabilities: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data."""
        return {
            "input": self.input,
            "label": self.label,
            "probabilities": dict(self.probabilities),
        }


def prediction_of(name: str, row: Sequence[float], classes: Sequence[str]) -> Prediction:
    """The probabilities of one input, a class each in the order of ``classes``, as a prediction."""
    ranked = sorted(zip(classes, row, strict=True), key=lambda pair: -pair[1])
    return Prediction(name, ranked[0][0], dict(ranked))


def write_predictions(path: Path, samples: Samples, logits: Tensor, classes: Sequence[str]) -> None:
    """Put what is said of ``samples`` at ``path``; ``logits`` is ``(len(samples), classes)``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    probabilities = logits.double().softmax(dim=1).numpy()
    best = probabilities.argmax(axis=1)
    assert samples.labels is not None
    table = pa.table(
        {
            "input": [shown(samples, i) for i in range(len(samples))],
            "label": [classes[i] for i in samples.labels],
            "predicted": [classes[i] for i in best],
            "probability": probabilities.max(axis=1),
            "probabilities": list(probabilities),
        }
    )
    with files.replacing(path) as temporary:
        pq.write_table(table, temporary)


def shown(samples: Samples, index: int) -> str:
    """What stands for an input: a text itself, or the path of a picture."""
    return str(samples.raw(index)) if samples.modality == "text" else samples.input(index)
