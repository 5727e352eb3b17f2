"""The README.md of a run: what the model is, how good, from what, and how to use it."""

from __future__ import annotations

import html
import re
import shlex
from collections.abc import Mapping
from typing import Any

from zoo.figures import NAMES
from zoo.run_record import lineage


def model_card(record: Mapping[str, Any], name: str) -> str:
    """A model card in Markdown, from the contents of ``run.json``."""
    results, data, recipe = record["results"], record["data"], record["recipe"]
    weights = record["weights"]
    started = (
        f"{plain(weights['tag'])} ({plain(weights['uri'])})" if weights else "random parameters"
    )
    if record.get("origin"):
        started = plain(lineage(record))
    classes = ", ".join(plain(name) for name in record["classes"][:50])
    task = (record.get("task") or {"name": "single-label"})["name"]
    figures = "\n".join(
        f"| {NAMES.get(key, key)} (validation) | {value:.4f} |"
        for key, value in results["metrics"].items()
        if key != "loss"
    )
    command = shlex.quote("".join(c for c in name if c.isprintable()))
    return f"""# {plain(name)}

{plain(record["backbone"])} fine-tuned with zoo {record["versions"]["zoo"]}.

| | |
| --- | --- |
| task | {task} |
| {"numbers" if task == "regression" else "classes"} | {classes} |
| data | {plain(str(data["source"]))}: {data["train"]} training, {data["val"]} validation samples |
| started from | {started} |
| licence of those weights | {licence(record)} |
| strategy | {recipe["strategy"]}, learning rate {recipe["lr"]:g}, seed {recipe["seed"]} |
| best epoch | {results["best_epoch"]} |
{figures}

## Use

```
zoo predict {command} INPUT
zoo evaluate {command} --data DATA
```

```python
import zoo
zoo.open_run({name!r}).predict([...])
```

`model.safetensors` has the library's own parameter names: {_native(record)}
{meaning(record)}"""


def licence(record: Mapping[str, Any]) -> str:
    """That of the published weights which the run, or the first of those it goes back to, had."""
    while record.get("origin"):
        record = record["origin"]
    weights = record["weights"]
    if not weights:
        return "none needed"
    return plain(str(weights.get("license") or "not stated by the publisher"))


def meaning(record: Mapping[str, Any]) -> str:
    """What the plain network's outputs are, where they are not logits of a softmax."""
    task = record.get("task") or {}
    if task.get("name") == "multi-label":
        return "\nA class's probability is the sigmoid of its output.\n"
    if task.get("name") != "regression":
        return ""
    rows = zip(record["classes"], task["mean"], task["std"], strict=True)
    formulas = [f"- {plain(name)} = {mean:.9g} + {std:.9g} × output" for name, mean, std in rows]
    return "\nThe outputs are standardised:\n\n" + "\n".join(formulas) + "\n"


def _native(record: Mapping[str, Any]) -> str:
    pooling = record["spec"]["input"].get("pooling")
    if pooling in ("cls", "mean", "last"):
        return (
            "the library loads the network from this folder; its features are the last hidden "
            f"states pooled by {pooling!r}, and `classifier.*` holds the head."
        )
    return (
        f"the plain network, built for {len(record['classes'])} outputs, loads it without zoo."
        if record["head"] == "linear"
        else f"the plain network loads all but the head, which is zoo's {record['head']!r}."
    )


def plain(text: str) -> str:
    """Without what Markdown or HTML would make something of."""
    kept = html.escape("".join(c for c in text if c.isprintable()), quote=False)
    return re.sub(r"[\\`*_{}\[\]|]", r"\\\g<0>", kept)
