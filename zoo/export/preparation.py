"""``preprocessing.json``: the preprocessing of inputs, for use without zoo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo.export.judged_head import MEANINGS
from zoo.export.portable import last_part
from zoo.modalities.exporting import ExportInputs
from zoo.runs.run import Run

PREPARATION = "preprocessing.json"


def preparation(
    run: Run, inputs: ExportInputs, *, divided: bool, outputs: Sequence[str] = ()
) -> dict[str, Any]:
    """Contents of ``preprocessing.json``; docs/export.md explains each key."""
    dtypes = dtypes_of(inputs)
    return {
        "format": 1,
        "backbone": last_part(run.backbone_name),
        "modality": run.spec.modality,
        "inputs": {
            name: {"dtype": dtypes[name], "shape": list(shape)}
            for name, shape in inputs.axes.items()
        },
        **inputs.preparation(),
        "output": {"shape": ["batch", len(run.classes)], **_meaning(run, divided)},
        **({"other_outputs": {name: MEANINGS[name] for name in outputs}} if outputs else {}),
        "classes": list(run.classes),
    }


def dtypes_of(inputs: ExportInputs) -> dict[str, str]:
    """The dtype of each input, by its NumPy and ONNX name."""
    return {name: str(each.dtype).removeprefix("torch.") for name, each in inputs.traced().items()}


def _meaning(run: Run, divided: bool) -> dict[str, Any]:
    task = run.task.to_json()
    kept: dict[str, Any] = {key: task[key] for key in ("mean", "std") if key in task}
    if run.task.has_classes:
        kept["temperature"] = {"value": run.temperature, "divided": divided}
    return {"task": run.task.name, "meaning": run.task.activation, **kept}
