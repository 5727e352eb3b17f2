"""The README.md of an exported run: its files, and code to use them."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.contract.extensions import ExporterSpec
from zoo.export.judged_head import MEANINGS
from zoo.export.native import LOADER
from zoo.export.portable import last_part
from zoo.export.preparation import PREPARATION, dtypes_of
from zoo.modalities.exporting import ExportInputs
from zoo.registry.offers import Offer
from zoo.runs.model_card import license_of, meaning, plain
from zoo.runs.run import Run


def readme(
    run: Run,
    inputs: ExportInputs,
    chosen: Offer[ExporterSpec],
    files: list[str],
    difference: float | None,
    outputs: Sequence[str] = (),
) -> str:
    """A page in Markdown."""
    names, dtypes = list(inputs.axes), dtypes_of(inputs)
    lines = chosen.value.usage.format(
        tensors=", ".join(f'"{name}": {name}' for name in names),
        keywords=", ".join(f"{name}={name}" for name in names),
    )
    code = f"```python\n{lines}\n```\n\n" if lines else ""
    shapes = "\n".join(
        f"- `{name}`: ({', '.join(map(str, shape))}), {dtypes[name]}"
        for name, shape in inputs.axes.items()
    )
    return f"""# {plain(run.name)} ({chosen.bare})

{plain(last_part(run.backbone_name))}, fine-tuned and exported with zoo, which is not needed here.
{_checked(chosen.value, difference)}

{code}Inputs, of any batch size{inputs.limits}:

{shapes}

`outputs` is (batch, {len(run.classes)}): {run.task.wording.output_in_words} in the order of `classes` in
`{PREPARATION}`, which describes step by step how {inputs.what} is prepared.
{meaning(run.record)}{_divided(run)}{_others(outputs)}
License of the weights that training started from: {license_of(run.record)}.
{_library(files)}"""


def _checked(exporter: ExporterSpec, difference: float | None) -> str:
    if difference is None:
        return f"Its outputs were not compared with the run's: {exporter.not_compared}."
    return f"On random inputs its outputs differ from the run's by at most {difference:.1e}."


def _divided(run: Run) -> str:
    """What the temperature has done."""
    if run.temperature == 1:
        return ""
    return (
        f"\nProbabilities are calibrated: the logits are divided by {run.temperature:.4g}, the "
        "temperature that fits the run's validation samples.\n"
    )


def _others(outputs: Sequence[str]) -> str:
    """The outputs besides the logits."""
    lines = [f"- `{name}`: {MEANINGS[name]}" for name in outputs]
    return "\nOther outputs of the network:\n\n" + "\n".join(lines) + "\n" if lines else ""


def _library(files: list[str]) -> str:
    return f"\n`{LOADER}` shows how the library loads it.\n" if LOADER in files else ""
