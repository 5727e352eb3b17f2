"""``preprocessing.json``: how an input becomes what the network takes, for those without zoo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.contract.spec import ImageInput
from zoo.export.batches import Batches
from zoo.export.portable import last_part
from zoo.modalities.image.bit_depth import OVERSAMPLING
from zoo.modalities.image.transforms import LONGEST, resized
from zoo.modalities.text.tokenization import UNKNOWN
from zoo.registry.run_record import TOKENIZER
from zoo.runs.run import Run

PREPARATION = "preprocessing.json"

_MEANINGS: Mapping[str, str] = {
    "single-label": "softmax",
    "multi-label": "sigmoid",
    "regression": "standardised",
}


def preparation(run: Run, batches: Batches) -> dict[str, Any]:
    """What ``preprocessing.json`` holds; docs/export.md explains each key."""
    dtype = "float32" if run.spec.modality == "image" else "int64"
    inputs = {name: {"dtype": dtype, "shape": list(shape)} for name, shape in batches.axes.items()}
    steps: dict[str, Any] = (
        {"steps": _picture_steps(run.spec.image_input)}
        if run.spec.modality == "image"
        else {"tokenizer": _tokenizer(run, batches)}
    )
    return {
        "format": 1,
        "backbone": last_part(run.backbone_name),
        "modality": run.spec.modality,
        "inputs": inputs,
        **steps,
        "output": {"shape": ["batch", len(run.classes)], **_meaning(run)},
        "classes": list(run.classes),
    }


def _meaning(run: Run) -> dict[str, Any]:
    task = run.task.to_json()
    kept: dict[str, Any] = {key: task[key] for key in ("mean", "std") if key in task}
    return {"task": run.task.name, "meaning": _MEANINGS[run.task.name], **kept}


def _picture_steps(given: ImageInput) -> list[dict[str, Any]]:
    """The steps in their order, as Pillow's resampling does them."""
    before, how = resized(given), {"interpolation": given.interpolation}
    decode = {
        "do": "decode",
        "mode": "RGB",
        "upright": True,
        "transparent": "white",
        "jpeg_draft": OVERSAMPLING * before,
        "deep": _deep(given, before),
    }
    resize: list[dict[str, Any]]
    if given.crop_mode == "border":
        colour = [round(255 * mean) for mean in given.mean]
        side = max(before, given.size)
        resize = [
            {"do": "resize", "longer_side": before, **how},
            {"do": "pad", "height": side, "width": side, "colour": colour},
        ]
    elif given.crop_mode == "squash":
        resize = [{"do": "resize", "height": before, "width": before, **how}]
    else:
        resize = [
            {"do": "crop_longer_side", "times_the_shorter": LONGEST},
            {"do": "resize", "shorter_side": before, **how},
        ]
    return [
        decode,
        *resize,
        {"do": "center_crop", "height": given.size, "width": given.size},
        {"do": "scale", "factor": 1 / 255},
        {"do": "normalise", "mean": list(given.mean), "std": list(given.std)},
    ]


def _deep(given: ImageInput, before: int) -> dict[str, float] | None:
    """What becomes of grey images with more than 8 bits; ``None`` where the run takes none."""
    if not given.value_range:
        return None
    black, white = given.value_range
    return {"black": black, "white": white, "reduce_to": OVERSAMPLING * before}


def _tokenizer(run: Run, batches: Batches) -> dict[str, Any]:
    text = run.spec.text_input
    unknown = run.tokenizer.token_to_id(UNKNOWN)
    return {
        "file": TOKENIZER,
        "pairs": run.pairs,
        "max_length": text.max_length,
        "truncation": "longest_first",
        "truncation_side": "right",
        "shortest": batches.shortest,
        "padding_side": "right",
        "pad_id": text.pad_id,
        "empty_id": text.pad_id if unknown is None else unknown,
    }
