"""The README.md of an exported run: its files, and code to use them."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.export.formats import Format
from zoo.export.native import LOADER
from zoo.export.portable import last_part
from zoo.export.preparation import PREPARATION
from zoo.modalities import modality_of
from zoo.modalities.exporting import ExportInputs
from zoo.runs.model_card import license_of, meaning, plain
from zoo.runs.run import Run

_LINES: Mapping[Format, str] = {
    "native": """\
from load import load, logits  # load.py of this folder

network = load(".")
outputs = logits(network, {{{tensors}}})""",
    "onnx": """\
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
[outputs] = session.run(None, {{{arrays}}})""",
    "torch-export": """\
import torch

network = torch.export.load("model.pt2").module()
outputs = network({keywords})""",
}


def readme(run: Run, inputs: ExportInputs, chosen: Format, difference: float) -> str:
    """A page in Markdown."""
    names, dtype = list(inputs.axes), modality_of(run.spec).dtype
    lines = _LINES[chosen].format(
        tensors=", ".join(f'"{name}": {name}' for name in names),
        arrays=", ".join(f'"{name}": {name}' for name in names),
        keywords=", ".join(f"{name}={name}" for name in names),
    )
    shapes = "\n".join(
        f"- `{name}`: ({', '.join(map(str, shape))}), {dtype}"
        for name, shape in inputs.axes.items()
    )
    return f"""# {plain(run.folder.resolve().name)} ({chosen})

{plain(last_part(run.backbone_name))}, fine-tuned and exported with zoo, which is not needed here. On random
inputs its outputs differ from the run's by at most {difference:.1e}.

```python
{lines}
```

Inputs, of any batch size{inputs.limits}:

{shapes}

`outputs` is (batch, {len(run.classes)}): {run.task.wording.output_in_words} in the order of `classes` in
`{PREPARATION}`, which describes step by step how {inputs.what} is prepared.
{meaning(run.record)}
License of the weights that training started from: {license_of(run.record)}.
{_library(chosen)}"""


def _library(chosen: Format) -> str:
    return f"\n`{LOADER}` shows how the library loads it.\n" if chosen == "native" else ""
