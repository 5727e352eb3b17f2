"""Export of a run for use without zoo: ONNX, torch.export, or the library's own format."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.contract.extensions import ExporterSpec, imported
from zoo.contract.network.backbone import Backbone
from zoo.engine.adapters import merge
from zoo.errors import RunError, UsageError
from zoo.export.calibrated_head import divide_logits
from zoo.export.capture import in_a_line
from zoo.export.exporters import find_exporter
from zoo.export.formats import Runner
from zoo.export.joined import joined
from zoo.export.judged_head import JudgedHead, by_name, output_names
from zoo.export.native import other_formats
from zoo.export.preparation import PREPARATION, preparation
from zoo.export.readme import readme
from zoo.modalities import modality_of
from zoo.modalities.exporting import ExportInputs
from zoo.registry.offers import Offer
from zoo.registry.registry import Registry
from zoo.registry.run_record import TOKENIZER
from zoo.runs.folder import new_folder, refuse_existing
from zoo.runs.limits import PredictionLimits, Threshold, limits_of
from zoo.runs.run import Run
from zoo.system import files

TOLERANCE = 1e-4
"""Largest allowed difference, in float32, of an export's logits from the run's."""

README = "README.md"


@dataclass(frozen=True)
class Exported:
    """Result of :func:`export_run`.

    Attributes:
        folder: The new folder.
        format: The requested format.
        files: Names of the files in the folder, the model first.
        inputs: Shape of each input of the model; ``batch`` and ``length`` are dynamic.
        difference: Largest absolute difference of its logits from the run's; ``None`` if the
            files cannot be loaded here.
        checked: Shapes of the first input in the batches that were compared.
        not_compared: Why they were not compared; empty if they were.
    """

    folder: Path
    format: str
    files: tuple[str, ...]
    inputs: dict[str, tuple[str | int, ...]]
    difference: float | None
    checked: tuple[tuple[int, ...], ...]
    not_compared: str = ""

    def to_json(self) -> dict[str, Any]:
        """As ``zoo export --json`` prints it."""
        return {
            "folder": str(self.folder),
            "format": self.format,
            "files": list(self.files),
            "inputs": {name: list(shape) for name, shape in self.inputs.items()},
            "difference": self.difference,
            "checked": [list(shape) for shape in self.checked],
            "not_compared": self.not_compared,
        }


def export_run(
    run: Run | str | Path,
    *,
    format: str,  # noqa: A002 - the option's name
    output: str | Path | None = None,
    threshold: Threshold = None,
    coverage: float | None = None,
    reject: float | None = None,
    registry: Registry | None = None,
) -> Exported:
    """Export a run to a format that does not need zoo, and compare its logits with the run's.

    The logits are divided by the run's temperature, so that probabilities are calibrated.

    Args:
        run: A run, or its folder.
        format: ``native``: the library's own weights, with code to load them. ``onnx``.
            ``torch-export``: a ``.pt2`` of ``torch.export``. Or a plugin's.
        output: A folder that does not exist; ``exports/<run>-<format>`` by default.
        threshold: As for :meth:`zoo.Run.predict`: the network then has another output, ``labels``.
        coverage: Likewise: ``in_set``, or for regression ``low`` and ``high``.
        reject: Likewise: ``distance`` and ``rejected``.
        registry: Plugins that may provide the format; the installed ones by default.

    Raises:
        NameLookupError: The format is unknown.
        UsageError: A library that it needs is missing, a limit does not apply to the run, or the
            format has one output only.
        RunError: The run cannot be exported to this format, the logits differ by more than
            :data:`TOLERANCE`, or the folder exists or is not writable. No files are left then.
    """
    chosen = find_exporter(format, registry)
    run = run if isinstance(run, Run) else Run(run)
    folder = Path(output) if output else Path("exports") / f"{run.name}-{chosen.bare}"
    refuse_existing(folder)
    limits = _limits(run, chosen, threshold, coverage, reject)
    backbone = loaded(run)
    if limits is None:
        divide_logits(backbone, run.temperature)
    else:
        backbone.head = JudgedHead(backbone.head, run, limits).eval()
    if backbone.unpadded:
        raise RunError(
            f"{run.folder} cannot be exported as {chosen.name}: padding changes the outputs of "
            f"{run.spec.name}, so zoo batches texts of equal length",
            hint="Use zoo predict or zoo serve.",
        )
    above = [parent for parent in folder.parents if not parent.exists()]
    try:
        with new_folder(folder, "export") as temporary:
            return _written(run, backbone, chosen, folder, temporary)
    except BaseException as error:
        with suppress(OSError):  # another export may be there
            for parent in above:
                parent.rmdir()
        if isinstance(error, OSError):
            raise RunError(
                f"the export cannot be written to {folder}: {error.strerror or error}",
                hint="Choose another path with --output DIR.",
            ) from error
        raise


def _limits(
    run: Run,
    chosen: Offer[ExporterSpec],
    threshold: Threshold,
    coverage: float | None,
    reject: float | None,
) -> PredictionLimits | None:
    """The limits that become outputs of the network; ``None`` if there are none."""
    asked = {"--threshold": threshold, "--coverage": coverage, "--reject": reject}
    option = next((name for name, value in asked.items() if value is not None), None)
    if option is None:
        return None
    if not chosen.value.several_outputs:
        raise UsageError(
            f"{option} needs a format with several outputs, and {chosen.name} has the library's own",
            hint="Use --format onnx or torch-export, or leave it out.",
        )
    return limits_of(run, threshold, coverage, reject)


def loaded(run: Run) -> Backbone:
    """The run's network on the CPU, with its tokenizer; an adapter is merged into it."""
    if run.members:
        return joined(run)
    backbone = run.load()
    merge(backbone)
    backbone.tokenizer = run.tokenizer
    return backbone


def _written(
    run: Run,
    backbone: Backbone,
    chosen: Offer[ExporterSpec],
    folder: Path,
    temporary: Path,
) -> Exported:
    """Write everything into ``temporary`` and check it there."""
    inputs = inputs_of(run, backbone)
    write_format(run, backbone, inputs, chosen, temporary)
    difference, checked = compare(run, backbone, inputs, chosen, temporary)
    write_preparation(temporary, run, inputs, divided=True, outputs=output_names(backbone)[1:])
    written = [file.name for file in temporary.iterdir()]
    text = readme(run, inputs, chosen, written, difference, output_names(backbone)[1:])
    files.write_text(temporary / README, text)
    names = sorted([*written, README])
    files.flush(temporary)
    model = chosen.value.model
    return Exported(
        folder=folder,
        format=chosen.name,
        files=(model, *(name for name in names if name != model)),
        inputs=dict(inputs.axes),
        difference=difference,
        checked=checked,
        not_compared=chosen.value.not_compared,
    )


def inputs_of(run: Run, backbone: Backbone) -> ExportInputs:
    """The inputs of a run's network."""
    modality = modality_of(run.spec)
    return modality.export_inputs(backbone, tokenizer=run.tokenizer, pairs=run.pairs)


def write_preparation(
    folder: Path, run: Run, inputs: ExportInputs, *, divided: bool, outputs: Sequence[str] = ()
) -> None:
    """Put ``preprocessing.json`` and the tokenizer that it names into ``folder``.

    ``divided`` is whether the network's logits are divided by the temperature; ``outputs`` are the
    network's others.
    """
    text = json.dumps(
        preparation(run, inputs, divided=divided, outputs=outputs), indent=2, ensure_ascii=False
    )
    files.write_text(folder / PREPARATION, text + "\n")
    if run.tokenizer is not None and not (folder / TOKENIZER).exists():
        shutil.copyfile(run.folder / TOKENIZER, folder / TOKENIZER)


def write_format(
    run: Run,
    backbone: Backbone,
    inputs: ExportInputs,
    chosen: Offer[ExporterSpec],
    folder: Path,
) -> None:
    """Write the files of a format.

    Raises:
        PluginError: The exporter fails, or does not write its model.
        ZooError: What the exporter says about this run.
    """
    write = chosen.call(imported, chosen.value.write)
    chosen.call(write, run, backbone, inputs, folder)
    if not (folder / chosen.value.model).exists():
        raise chosen.broken(f"its {chosen} did not write {chosen.value.model}")


def compare(
    run: Run,
    backbone: Backbone,
    inputs: ExportInputs,
    chosen: Offer[ExporterSpec],
    folder: Path,
) -> tuple[float | None, tuple[tuple[int, ...], ...]]:
    """The largest difference of the logits, and the shapes that were compared.

    ``None`` if the format cannot be loaded here.

    Raises:
        RunError: The export cannot be run, or differs by more than :data:`TOLERANCE`.
    """
    if chosen.value.not_compared:
        return None, ()
    run_it = _opened(run, backbone, chosen, folder)
    differences, shapes = [], []
    for batch in inputs.checked():
        shape = tuple(next(iter(batch.values())).shape)
        with torch.inference_mode():
            expected = by_name(backbone(batch))
            try:
                given = by_name(run_it(batch))
            except Exception as error:  # of any runtime
                raise _unusable(
                    run, backbone, chosen, f"fails on a batch of {shape}", error
                ) from error
        if _shapes(given) != _shapes(expected):
            raise RunError(
                f"{run.folder} as {chosen.name} returns outputs of shape {_shapes(given)} for a batch of "
                f"shape {shape}, expected {_shapes(expected)}; nothing was kept",
                hint=other_formats(backbone, run, chosen.name),
            )
        shapes.append(shape)
        differences += [
            float((given[name].float() - wanted.float()).abs().max())
            for name, wanted in expected.items()
        ]
    largest = max(differences)
    if not all(difference <= TOLERANCE for difference in differences):
        raise RunError(
            f"the outputs of {run.folder} as {chosen.name} differ from the run's by up to {largest:.2g}, more "
            f"than the tolerance of {TOLERANCE:g}; nothing was kept",
            hint=other_formats(backbone, run, chosen.name),
        )
    return largest, tuple(shapes)


def _shapes(outputs: Mapping[str, Tensor]) -> str:
    """The shape of an output, or of several by name."""
    shapes = {name: tuple(each.shape) for name, each in outputs.items()}
    if len(shapes) == 1:
        return str(next(iter(shapes.values())))
    return ", ".join(f"{name} {shape}" for name, shape in sorted(shapes.items()))


def _opened(run: Run, backbone: Backbone, chosen: Offer[ExporterSpec], folder: Path) -> Runner:
    try:
        runner: Runner = imported(chosen.value.run)(folder)
        return runner
    except Exception as error:  # of any runtime
        raise _unusable(run, backbone, chosen, "cannot be loaded again", error) from error


def _unusable(
    run: Run, backbone: Backbone, chosen: Offer[ExporterSpec], what: str, error: Exception
) -> RunError:
    return RunError(
        f"{run.folder} as {chosen.name} {what}: {in_a_line(error)}; nothing was kept",
        hint=other_formats(backbone, run, chosen.name),
    )
