"""The README.md of a run: what the model is, how good, from what, and how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.run_record import lineage


def model_card(record: Mapping[str, Any], name: str) -> str:
    """A model card in Markdown, from the contents of ``run.json``."""
    results, data, recipe = record["results"], record["data"], record["recipe"]
    metrics = results["metrics"]
    weights = record["weights"]
    started = f"`{weights['tag']}` ({weights['uri']})" if weights else "random parameters"
    if record.get("origin"):
        started = _plain(lineage(record))
    licence = (weights or {}).get("license") or "not stated by the publisher"
    classes = ", ".join(_plain(name) for name in record["classes"][:50])
    return f"""# {_plain(name)}

`{record["backbone"]}` fine-tuned with zoo {record["versions"]["zoo"]}.

| | |
| --- | --- |
| classes | {classes} |
| data | {_plain(str(data["source"]))}: {data["train"]} training, {data["val"]} validation samples |
| started from | {started} |
| licence of those weights | {licence if weights else "none needed"} |
| strategy | {recipe["strategy"]}, learning rate {recipe["lr"]:g}, seed {recipe["seed"]} |
| best epoch | {results["best_epoch"]} |
| accuracy (validation) | {metrics["accuracy"]:.4f} |
| macro F1 (validation) | {metrics["macro_f1"]:.4f} |

## Use

```
zoo predict {_plain(name)} INPUT
zoo evaluate {_plain(name)} --data DATA
```

```python
import zoo
zoo.open_run({name!r}).predict([...])
```

`model.safetensors` has the library's own parameter names: {_native(record)}
"""


def _native(record: Mapping[str, Any]) -> str:
    pooling = record["spec"]["input"].get("pooling")
    if pooling in ("cls", "mean", "last"):
        return (
            "the library loads the network from this folder; its features are the last hidden "
            f"states pooled by {pooling!r}, and `classifier.*` holds the head."
        )
    return (
        f"the plain network, built for {len(record['classes'])} classes, loads it without zoo."
        if record["head"] == "linear"
        else f"the plain network loads all but the head, which is zoo's {record['head']!r}."
    )


def _plain(text: str) -> str:
    """Without what Markdown or HTML would make something of."""
    kept = "".join(c for c in text if c.isprintable())
    for mark in "\\`*_{}[]<>|":
        kept = kept.replace(
            mark, f"\\{mark}" if mark not in "<>" else {"<": "&lt;", ">": "&gt;"}[mark]
        )
    return kept
