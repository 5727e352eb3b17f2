"""A run for those who do not have zoo: as ONNX, as a program of torch, or as its library's own."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zoo.contract.backbone import Backbone
from zoo.errors import RunError
from zoo.export.capture import in_a_line
from zoo.export.formats import FORMATS as FORMATS
from zoo.export.formats import MODEL_FILES, WRITERS, Format, Runner, check_format
from zoo.export.preparation import PREPARATION, preparation
from zoo.export.readme import readme
from zoo.modalities import modality_of
from zoo.modalities.exporting import ExportInputs
from zoo.registry.run_record import TOKENIZER
from zoo.runs.folder import new_folder, refuse_existing
from zoo.runs.python_names import python_names
from zoo.runs.run import Run
from zoo.system import files

TOLERANCE = 1e-4
"""The largest difference, in float32, that an export's logits may have from the run's own."""

README = "README.md"


@dataclass(frozen=True)
class Exported:
    """What came of :func:`export_run`.

    Attributes:
        folder: Where it is.
        format: As it was asked for.
        files: Names of what is in the folder, the model first.
        inputs: The shape of each of the model's inputs; ``batch`` and ``length`` may be anything.
        difference: The largest absolute difference of its logits from the run's own.
        checked: The shapes of the first input of the inputs on which it was measured.
    """

    folder: Path
    format: Format
    files: tuple[str, ...]
    inputs: dict[str, tuple[str | int, ...]]
    difference: float
    checked: tuple[tuple[int, ...], ...]

    def to_json(self) -> dict[str, Any]:
        """As ``zoo export --json`` prints it."""
        return {
            "folder": str(self.folder),
            "format": self.format,
            "files": list(self.files),
            "inputs": {name: list(shape) for name, shape in self.inputs.items()},
            "difference": self.difference,
            "checked": [list(shape) for shape in self.checked],
        }


@python_names()
def export_run(
    run: Run | str | Path,
    *,
    format: str,  # noqa: A002 - the option's name
    output: str | Path | None = None,
) -> Exported:
    """Write a run in a format that needs no zoo, and compare its logits with the run's own.

    Args:
        run: A run, or its folder.
        format: ``native``: the library's own weights, with the lines that load them. ``onnx``.
            ``torch-export``: a ``.pt2`` of ``torch.export``.
        output: A folder that does not exist; ``exports/<run>-<format>`` by default.

    Raises:
        UsageError: There is no such format, or a library that it needs is missing.
        RunError: The run cannot be exported so, the logits differ by more than
            :data:`TOLERANCE`, or the folder exists or cannot be written. Nothing is left then.
    """
    chosen = check_format(format)
    run = run if isinstance(run, Run) else Run(run)
    name = run.folder.resolve().name
    folder = Path(output) if output else Path("exports") / f"{name}-{chosen}"
    refuse_existing(folder)
    backbone = loaded(run)
    if backbone.unpadded:
        raise RunError(
            f"{run.folder} computes the texts of each length apart, since padding changes the "
            f"answers of {run.spec.name}; {chosen} would compute padded inputs",
            hint="Use it as it is: zoo predict, zoo serve.",
        )
    above = [parent for parent in folder.parents if not parent.exists()]
    try:
        with new_folder(folder, "export") as temporary:
            return _written(run, backbone, chosen, folder, temporary)
    except BaseException as error:
        with suppress(OSError):  # another export may be there by now
            for parent in above:
                parent.rmdir()
        if isinstance(error, OSError):
            raise RunError(
                f"the export cannot be written to {folder}: {error.strerror or error}",
                hint="Choose another path with --output DIR.",
            ) from error
        raise


def loaded(run: Run) -> Backbone:
    """The run's network on the CPU, with the tokenizer that it was trained with."""
    backbone = run.load()
    backbone.tokenizer = run.tokenizer
    return backbone


def _written(
    run: Run, backbone: Backbone, chosen: Format, folder: Path, temporary: Path
) -> Exported:
    """Write everything into ``temporary``, check it there, and say what will be in ``folder``."""
    inputs = inputs_of(run, backbone)
    WRITERS[chosen].write(run, backbone, inputs, temporary)
    difference, checked = _compared(run, backbone, inputs, chosen, temporary)
    write_preparation(temporary, run, inputs)
    files.write_text(temporary / README, readme(run, inputs, chosen, difference))
    names = sorted(file.name for file in temporary.iterdir())
    files.flush(temporary)
    model = MODEL_FILES[chosen]
    return Exported(
        folder=folder,
        format=chosen,
        files=(model, *(name for name in names if name != model)),
        inputs=dict(inputs.axes),
        difference=difference,
        checked=checked,
    )


def inputs_of(run: Run, backbone: Backbone) -> ExportInputs:
    """What the network of a run takes."""
    modality = modality_of(run.spec)
    return modality.export_inputs(backbone, tokenizer=run.tokenizer, pairs=run.pairs)


def write_preparation(folder: Path, run: Run, inputs: ExportInputs) -> None:
    """Put ``preprocessing.json`` and the tokenizer that it names into ``folder``."""
    text = json.dumps(preparation(run, inputs), indent=2, ensure_ascii=False)
    files.write_text(folder / PREPARATION, text + "\n")
    if run.tokenizer is not None and not (folder / TOKENIZER).exists():
        shutil.copyfile(run.folder / TOKENIZER, folder / TOKENIZER)


def _compared(
    run: Run, backbone: Backbone, inputs: ExportInputs, chosen: Format, folder: Path
) -> tuple[float, tuple[tuple[int, ...], ...]]:
    """The largest difference of the logits, and the shapes on which it was measured.

    Raises:
        RunError: What was written cannot be run, or differs by more than :data:`TOLERANCE`.
    """
    run_it = _opened(run, chosen, folder)
    differences, shapes = [], []
    for batch in inputs.checked():
        shape = tuple(next(iter(batch.values())).shape)
        with torch.inference_mode():
            wanted = backbone(batch)
            try:
                given = run_it(batch)
            except Exception as error:  # a runtime's own, whichever that is
                raise _unusable(run, chosen, f"fails on a batch of {shape}", error) from error
        if given.shape != wanted.shape:
            raise RunError(
                f"{run.folder} as {chosen} gives {tuple(given.shape)} for a batch of {shape}, and "
                f"the run {tuple(wanted.shape)}; nothing was kept"
            )
        shapes.append(shape)
        differences.append(float((given - wanted).abs().max()))
    largest = max(differences)
    if not all(difference <= TOLERANCE for difference in differences):
        raise RunError(
            f"{run.folder} as {chosen} gives other outputs than the run: the largest difference is "
            f"{largest:.2g}, and {TOLERANCE:g} may be; nothing was kept",
            hint=_others(chosen),
        )
    return largest, tuple(shapes)


def _opened(run: Run, chosen: Format, folder: Path) -> Runner:
    try:
        return WRITERS[chosen].run(folder)
    except Exception as error:  # a runtime's own, whichever that is
        raise _unusable(run, chosen, "cannot be loaded again", error) from error


def _unusable(run: Run, chosen: Format, what: str, error: Exception) -> RunError:
    return RunError(
        f"{run.folder} as {chosen} {what}: {in_a_line(error)}; nothing was kept",
        hint=_others(chosen),
    )


def _others(chosen: Format) -> str:
    rest = " or ".join(name for name in FORMATS if name != chosen)
    return f"Try --format {rest}."
