"""The texts of the report: on the run, its metrics, its data, its cost and its use."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np

from zoo.contract.extensions import Metric
from zoo.modalities import modality_of
from zoo.registry.adapter_record import weights_file
from zoo.registry.run_record import lineage
from zoo.runs.how_trained import strategy_in_words, strengths_of, without_folders
from zoo.runs.made_of import made_of, remarks
from zoo.runs.privacy import attack_in_words, guarantee, mechanism, not_covered
from zoo.runs.reliability import BINS
from zoo.runs.report.numbers import as_float, byte_size, duration, percent, rounded, visible
from zoo.runs.report.subject import Subject
from zoo.tasks.evaluation import Evaluation
from zoo.tasks.metrics import metrics_of, title_of
from zoo.tasks.optimism import wilson


def lede(subject: Subject, evaluation: Evaluation) -> str:
    record, count = subject.record, len(subject.evaluated)
    data = record["data"]
    kind = modality_of(subject.loaders.spec).nouns
    words, number = subject.task.wording, len(subject.classes)
    outputs = f"1 {words.output}" if number == 1 else f"{number:,} {words.outputs}"
    began = "fine-tuned from pretrained weights" if record["weights"] else "trained from scratch"
    first = f"{record['backbone']} {began} on {data['train']:,} {kind}, {outputs}"
    where = f"{count:,} {subject.evaluated_on}"
    return first + subject.task.result_in_words(evaluation.metrics, count, where)


def headline(
    subject: Subject, evaluation: Evaluation, error: float | None
) -> list[tuple[str, str, str]]:
    """The selection metric, then the others: name, value, and meaning or confidence interval."""
    chosen, renamed = subject.task.selection, subject.task.wording.metric_titles
    known = {**metrics_of(subject.task), chosen.key: chosen.metric}
    values = sorted(
        evaluation.metrics.items(), key=lambda item: (item[0] != chosen.key, item[0] in renamed)
    )
    cells = [
        (
            renamed.get(key) or title_of(key, chosen),
            rounded(value),
            _interval(subject, key, value)
            or _meaning(known.get(key), value, len(subject.evaluated)),
        )
        for key, value in values
    ]
    if error is not None:
        cells.append(("calibration error", rounded(error), f"ECE, {BINS} bins"))
    return cells


def _interval(subject: Subject, key: str, value: float) -> str:
    """The interval in the record, if it is of these samples; empty if not."""
    found = subject.record["results"].get("interval")
    if not isinstance(found, Mapping) or found["metric"] != key:
        return ""
    if found["samples"] != len(subject.evaluated) or abs(found["value"] - value) > 1e-4:
        return ""
    of = f"95 % CI {found['low']:.3f} to {found['high']:.3f}"
    among = f"{found['corrected']:.3f} corrected for choosing among {found['epochs']} epochs"
    by = f"by {found['units']:,} groups" if found["unit"] == "groups" else ""
    return "; ".join([f"{of}{f', {by}' if by else ''}", *([among] if found["epochs"] > 1 else [])])


def _meaning(metric: Metric | None, value: float, count: int) -> str:
    if metric is None:
        return ""
    if metric.share and count and math.isfinite(value):
        low, high = wilson(value, count)
        return f"95 % CI {low:.3f} to {high:.3f}"
    return metric.meaning


def facts(subject: Subject) -> list[tuple[str, str]]:
    record = subject.record
    data, recipe, weights = record["data"], record.get("recipe") or {}, record["weights"]
    names = ", ".join(subject.classes[:30]) + (", …" if len(subject.classes) > 30 else "")
    facts = [
        (
            "data",
            f"{without_folders(data['source'])}: {data['train']:,} training, {data['val']:,} validation samples",
        ),
        (subject.task.wording.outputs, names),
        ("task", subject.task.name),
        ("backbone", f"{record['backbone']}, {subject.loaders.spec.feature_dim:,} features"),
        ("input", modality_of(subject.loaders.spec).shape_in_words(subject.loaders.spec)),
        ("started from", lineage(record)),
        ("made of", made_of(record)),
        ("license of the weights", str((weights or {}).get("license") or "") if weights else ""),
        ("head", str(record["head"])),
        (
            "strategy",
            strategy_in_words(recipe, record.get("phases"), *strengths_of(subject.history)),
        ),
        ("selection metric", subject.task.selection.title),
        ("surgery", str(record.get("surgery") or "")),
        ("seed", str(recipe.get("seed", ""))),
        ("precision", f"{record['precision']} on {record['device']}"),
        ("compiled", _compiled(record)),
        ("data fingerprint", str(data.get("fingerprint", ""))[:16]),
        ("versions", ", ".join(f"{k} {v}" for k, v in (record.get("versions") or {}).items())),
    ]
    return [(name, fact) for name, fact in facts if fact]


def _compiled(record: Mapping[str, Any]) -> str:
    """Which steps ran compiled, and what was measured; empty if none was considered."""
    entries = (record.get("results") or {}).get("compiled")
    return "; ".join(map(_entry, entries)) if isinstance(entries, list) else ""


def _entry(entry: Mapping[str, Any]) -> str:
    before, after = as_float(entry.get("before")), as_float(entry.get("after"))
    measured = f": {1000 * before:.3g} to {1000 * after:.3g} ms" if before and after else ""
    start, stop = entry.get("start"), entry.get("stop")
    since = f"from step {start + 1}" if isinstance(start, int) else "not"
    until = "" if stop is None else f" to {stop}"
    return f"{entry.get('of')} {since}{until} ({entry.get('verdict')}{measured})"


def warnings(record: Mapping[str, Any]) -> list[str]:
    """Properties of the data that make metrics less reliable."""
    data, found = record["data"], []
    if overlap := data.get("overlap"):
        found.append(f"{overlap}.")
    if skipped := len(data.get("skipped") or ()):
        found.append(f"{skipped:,} unreadable inputs were skipped; run.json lists them.")
    if passed := data.get("ignored"):
        found.append(f"{passed:,} files without an image extension were ignored.")
    found += remarks(record)
    found += [f"{fact}." for fact in data.get("notes") or () if isinstance(fact, str)]
    return found


def privacy(record: Mapping[str, Any]) -> list[str]:
    """The guarantee of a private run and its limits; what an attack found."""
    guaranteed, found = record.get("privacy"), record["results"].get("membership")
    return [
        *([attack_in_words(found)] if found else []),
        *([f"{guarantee(guaranteed)}; {mechanism(guaranteed)}."] if guaranteed else []),
        *(not_covered(guaranteed) if guaranteed else []),
    ]


def resources(subject: Subject) -> list[tuple[str, str]]:
    record, results = subject.record, subject.record["results"]
    memory, machine = results.get("memory") or {}, record.get("machine") or {}
    model = weights_file(subject.folder, record)
    waiting = [h["waiting"] for h in subject.history if isinstance(h.get("waiting"), (int, float))]
    facts = [
        ("training and validation", duration(results.get("seconds"))),
        ("time by part", _time(results)),
        ("training speed", f"{rounded(results.get('samples_per_second'))} samples/s"),
        ("data wait", percent(float(np.mean(waiting))) if waiting else ""),
        ("peak memory of the process", byte_size(memory.get("process"))),
        ("peak memory of the GPU", byte_size(memory.get("gpu"))),
        ("parameters", f"{record['params']:,}" if "params" in record else ""),
        (model.name, byte_size(model.stat().st_size) if model.is_file() else ""),
        ("machine", ", ".join(_machine(machine))),
    ]
    return [(name, fact) for name, fact in facts if fact]


def _time(results: Mapping[str, Any]) -> str:
    """The parts of the command that took a second or more, the longest first."""
    parts: Mapping[str, Any] = results.get("parts") or {}
    known = {name: seconds for name, seconds in parts.items() if isinstance(seconds, (int, float))}
    longest = sorted(known.items(), key=lambda part: -part[1])
    return ", ".join(f"{name} {duration(seconds)}" for name, seconds in longest if seconds >= 1)


def _machine(machine: Mapping[str, Any]) -> list[str]:
    cores = machine.get("cores")
    return [
        *([str(machine["platform"])] if "platform" in machine else []),
        *([f"{cores:g} cores"] if isinstance(cores, (int, float)) else []),
        *([str(machine["device"])] if "device" in machine else []),
    ]


def commands(subject: Subject) -> list[tuple[str, str]]:
    folder = shlex.quote(visible(str(subject.folder)))
    new = modality_of(subject.loaders.spec).new_inputs
    return [
        ("Predict", f"zoo predict {folder} {new}"),
        ("Evaluate on other data", f"zoo evaluate {folder} --data DATA"),
        ("Report on other data", f"zoo report {folder} --data DATA --output other.html"),
        ("Compare with another run", f"zoo compare {folder} OTHER_RUN"),
        ("Use as a pretrained model", f"zoo add {folder} --name NAME"),
        ("Reproduce", f"zoo rerun {folder}"),
        (
            "In Python",
            f"import zoo\n\nrun = zoo.open_run({visible(str(subject.folder))!r})\nrun.predict([…])",
        ),
    ]
