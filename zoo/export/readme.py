"""The README.md of an exported run: what is in the folder, and the lines that use it."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.export.batches import Batches
from zoo.export.formats import Format
from zoo.export.native import LOADER
from zoo.export.portable import last_part
from zoo.export.preparation import PREPARATION
from zoo.runs.model_card import licence, meaning, plain
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


def readme(run: Run, batches: Batches, chosen: Format, difference: float) -> str:
    """A page in Markdown."""
    names = list(batches.axes)
    lines = _LINES[chosen].format(
        tensors=", ".join(f'"{name}": {name}' for name in names),
        arrays=", ".join(f'"{name}": {name}' for name in names),
        keywords=", ".join(f"{name}={name}" for name in names),
    )
    shapes = "\n".join(
        f"- `{name}`: ({', '.join(map(str, shape))}), {_dtype(run)}"
        for name, shape in batches.axes.items()
    )
    return f"""# {plain(run.folder.resolve().name)} ({chosen})

{plain(last_part(run.backbone_name))}, fine-tuned and exported with zoo, which is not needed here. On random
inputs its outputs differ from the run's own by at most {difference:.1e}.

```python
{lines}
```

Inputs, of any batch size{_also_free(run, batches)}:

{shapes}

`outputs` is (batch, {len(run.classes)}): {_outputs(run)} in the order of `classes` in
`{PREPARATION}`, which says step by step how {_what(run)} is prepared.
{meaning(run.record)}
Licence of the weights that training started from: {licence(run.record)}.
{_library(chosen)}"""


def _dtype(run: Run) -> str:
    return "float32" if run.spec.modality == "image" else "int64"


def _also_free(run: Run, batches: Batches) -> str:
    if run.spec.modality == "image":
        return "; height and width are those of the run"
    return f" and of {batches.shortest} to {batches.longest} tokens"


def _outputs(run: Run) -> str:
    return "a number for each column" if run.task.name == "regression" else "a logit for each class"


def _what(run: Run) -> str:
    if run.spec.modality == "image":
        return "a picture"
    return "a pair of texts" if run.pairs else "a text"


def _library(chosen: Format) -> str:
    return f"\n`{LOADER}` says exactly how the library loads it.\n" if chosen == "native" else ""
