"""The README.md of a run: what the model is, its metrics, its origin and its use."""

from __future__ import annotations

import html
import math
import re
import shlex
from collections.abc import Mapping
from typing import Any

from zoo.engine.strategies import STRENGTHS
from zoo.registry.adapter_record import ADAPTER_FILE, MODEL
from zoo.registry.run_record import lineage
from zoo.runs.how_trained import strategy_in_words, without_folders
from zoo.runs.made_of import made_of
from zoo.runs.privacy import guarantee, mechanism, not_covered
from zoo.tasks import task_from_json
from zoo.tasks.metrics import title_of
from zoo.tasks.task import Task
from zoo.weights.local_weights import hub_parts

_HUB = "hf:"


def model_card(record: Mapping[str, Any], name: str) -> str:
    """A model card in Markdown, from the contents of ``run.json``."""
    command = shlex.quote("".join(c for c in name if c.isprintable()))
    return f"""{_facts(record, name)}
## Use

```
zoo predict {command} INPUT
zoo evaluate {command} --data DATA
```

```python
import zoo
zoo.open_run({name!r}).predict([...])
```

{_weights(record)}
{meaning(record)}{_privacy(record)}"""


def hub_card(record: Mapping[str, Any], repo: str, *, loader: str = "") -> str:
    """The model card of a repository on the Hub: a header in YAML, then Markdown.

    Args:
        record: The public contents of ``run.json``.
        repo: ``org/name``.
        loader: The module in the repository that loads the network without zoo, if there is one.
    """
    from huggingface_hub import ModelCardData

    header = ModelCardData(**_header(record, repo)).to_yaml()
    without_zoo = _LOADER.format(loader=loader) if loader else ""
    return f"""---
{header}
---

{_facts(record, repo.partition("/")[2])}
The metrics were measured on the validation split, which is not part of this repository.

## Use

```python
import zoo
from huggingface_hub import snapshot_download

run = zoo.open_run(snapshot_download({repo!r}))
run.predict([...])
```
{without_zoo}
`preprocessing.json` describes the preprocessing step by step and lists the class names.
{meaning(record)}{_privacy(record)}"""


_LOADER = """
Without zoo, in a folder with the files of this repository:

```python
from {loader} import load, logits

network = load(".")
```
"""


def _facts(record: Mapping[str, Any], name: str) -> str:
    """The title, and a table of facts and metrics."""
    results, data, recipe = record["results"], record["data"], record["recipe"]
    weights = record["weights"]
    started = (
        f"{plain(weights['tag'])} ({plain(without_folders(weights['uri']))})"
        if weights
        else "random initialisation"
    )
    if record["origin"]:
        started = plain(lineage(record))
    classes = ", ".join(plain(name) for name in record["classes"][:50])
    task = _task(record)
    renamed = task.wording.metric_titles
    metrics = "\n".join(
        f"| {plain(_title(task, key))} (validation) | {'undefined' if value is None else _number(value, '.4f')} |"
        for key, value in sorted(results["metrics"].items(), key=lambda item: item[0] in renamed)
        if key != "loss" or task.selection.key == key
    )
    return f"""# {plain(name)}

{plain(record["backbone"])} fine-tuned with zoo {plain(record["versions"]["zoo"])}.

| | |
| --- | --- |
| task | {plain(task.name)} |
| {task.wording.outputs} | {classes} |
| data | {plain(without_folders(data["source"]))}: {_number(data["train"])} training, {_number(data["val"])} validation samples |
| started from | {started} |
{_made_of(record)}| license of those weights | {license_of(record)} |
| strategy | {plain(_strategy(record))} |
| seed | {_number(recipe["seed"])} |
{_best_epoch(record)}{metrics}
"""


def _title(task: Task, key: str) -> str:
    return task.wording.metric_titles.get(key) or title_of(key, task.selection)


def _strategy(record: Mapping[str, Any]) -> str:
    """The strategy with its settings; of L-BFGS the strength of the head, if that was the best."""
    chosen = record["results"].get("best_strength")
    return strategy_in_words(record["recipe"], record.get("phases"), STRENGTHS, chosen)


def _best_epoch(record: Mapping[str, Any]) -> str:
    """A row of the table; empty if the best is not an epoch but a strength of regularisation."""
    results, phases = record["results"], record.get("phases")
    if "best_strength" in results:
        return ""
    solved = isinstance(phases, list) and any("epochs" not in phase for phase in phases)
    best = results["best_epoch"]
    number = best - len(STRENGTHS) if solved and isinstance(best, int) else best
    return f"| best epoch | {_number(number)} |\n"


def _made_of(record: Mapping[str, Any]) -> str:
    words = made_of(record)
    return f"| made of | {plain(words)} |\n" if words else ""


def _task(record: Mapping[str, Any]) -> Task:
    return task_from_json(record["task"])


# -- the header ------------------------------------------------------------------------------


def _header(record: Mapping[str, Any], repo: str) -> dict[str, Any]:
    """The fields of ``huggingface_hub.ModelCardData``; unknown ones are ``None``."""
    start = _first_weights(record) or {}
    source, uri = str(record["data"]["source"]), str(start.get("uri") or "")
    return {
        "library_name": "zoo",
        "tags": ["zoo", str(record["backbone"])],
        "pipeline_tag": _pipeline(record),
        "base_model": hub_parts(uri)[0] if uri.startswith(_HUB) else None,
        "datasets": [_dataset(source)] if source.startswith(_HUB) else None,
        "model_name": repo.partition("/")[2],
        "eval_results": _eval_results(record, source),
        **_license_fields(str(start.get("license") or "")),
    }


def _pipeline(record: Mapping[str, Any]) -> str | None:
    """The Hub's name of the task; it has none for regression on images."""
    word = _task(record).wording.pipeline
    return word.format(modality=record["spec"]["modality"]) or None


def _dataset(source: str) -> str:
    return source.removeprefix(_HUB).partition(":")[0]


def _eval_results(record: Mapping[str, Any], source: str) -> list[Any]:
    from huggingface_hub import EvalResult

    task = _task(record)
    return [
        EvalResult(
            task_type=task.wording.hub_task.format(modality=record["spec"]["modality"]),
            dataset_type=_dataset(source) if source.startswith(_HUB) else "custom",
            dataset_name=source,
            dataset_split="validation",
            metric_type=key,
            metric_name=title_of(key, task.selection),
            metric_value=round(float(value), 6),
        )
        for key, value in record["results"]["metrics"].items()
        if isinstance(value, int | float) and math.isfinite(value)
    ]


def _license_fields(spdx: str) -> dict[str, str]:
    """License fields: SPDX identifiers in lower case, or ``other`` for unknown ones."""
    name = spdx.lower().removeprefix("licenseref-")
    if not spdx:
        return {}
    if name != spdx.lower() or not re.fullmatch(r"[a-z0-9.-]+", name):
        return {"license": "other", "license_name": name}
    return {"license": name}


def _first_weights(record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The published weights at the start of the chain of runs."""
    while record["origin"]:
        record = record["origin"]
    weights: Mapping[str, Any] | None = record["weights"]
    return weights


# -- words -----------------------------------------------------------------------------------


def license_of(record: Mapping[str, Any]) -> str:
    """The license of the published weights at the start of the chain of runs."""
    weights = _first_weights(record)
    if not weights:
        return "none (trained from scratch)"
    return plain(weights.get("license") or "not stated by the publisher")


def meaning(record: Mapping[str, Any]) -> str:
    """The meaning of the network's outputs, unless they are logits of a softmax."""
    names = [plain(name) for name in record["classes"]]
    words = _task(record).outputs_in_words(names)
    return f"\n{words}\n" if words else ""


def _privacy(record: Mapping[str, Any]) -> str:
    """The guarantee of differential privacy, and what it does not cover; empty without one."""
    privacy = record.get("privacy")
    if not privacy:
        return ""
    words = [f"{guarantee(privacy)} ({mechanism(privacy)}).", *not_covered(privacy)]
    return "\n".join(["", "## Privacy", "", "\n\n".join(plain(each) for each in words), ""])


def _weights(record: Mapping[str, Any]) -> str:
    """The contents of the weights file."""
    if adapter := record.get("adapter"):
        base = f"{plain(adapter['base']['backbone'])} ({plain(adapter['base']['weights'])})"
        return (
            f"`{ADAPTER_FILE}` holds the adapter and the head; zoo fetches its base, {base}, and "
            f"verifies that its sha256 is {adapter['base']['sha256']}. `zoo merge` writes the whole "
            "network."
        )
    return f"`{MODEL}` has the library's own parameter names: {_native(record)}"


def _native(record: Mapping[str, Any]) -> str:
    pooling = record["spec"]["input"].get("pooling")
    if pooling in ("cls", "mean", "last"):
        return (
            "the library loads the network from this folder; its features are the last hidden "
            f"states pooled by {pooling!r}, and `zoo_head.*` holds the head."
        )
    if pooling == "pooler" and not _task(record).has_classes:
        return (
            "the library loads the network from this folder, but not as a classifier, whose outputs "
            "would be standardised; `zoo_head.*` holds the head."
        )
    return (
        f"the plain network, built for {len(record['classes'])} outputs, loads it without zoo."
        if record["head"] == "linear"
        else f"the plain network loads all but the head, which is zoo's {plain(record['head'])}."
    )


def plain(value: object) -> str:
    """Escape Markdown and HTML, and break up links."""
    kept = html.escape("".join(c for c in str(value) if c.isprintable()), quote=False)
    marked = re.sub(r"[\\`*_{}\[\]|#~]", r"\\\g<0>", kept)
    return re.sub(r"(?i)(https?|ftp|mailto|xmpp)(:)|(www)(\.)|(@)", _unlinked, marked)


def _unlinked(found: re.Match[str]) -> str:
    """Replace the ``@``, ``:`` or ``.`` of an address by a character reference, so that it is not linked."""
    before, sign = found[1] or found[3] or "", found[2] or found[4] or found[5]
    return f"{before}&#{ord(sign)};"


def _number(value: object, form: str = "") -> str:
    """A number in the given format; anything else as escaped text."""
    return format(value, form) if isinstance(value, int | float) else plain(value)
