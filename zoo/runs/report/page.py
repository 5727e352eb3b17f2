"""The page, put together: one file that needs nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import RunError
from zoo.modalities import modality_of
from zoo.registry.run_record import MODEL, lineage
from zoo.runs.report import charts
from zoo.runs.report.calibration import BINS, calibration
from zoo.runs.report.gallery import gallery
from zoo.runs.report.subject import Subject
from zoo.system import files
from zoo.system.characters import UNSEEN
from zoo.tasks.evaluation import Evaluation
from zoo.tasks.metrics import Metric, leading, metrics_of, titles
from zoo.version import __version__

REPORT = "report.html"

_MATRIX = 20  # classes up to which the confusion matrix is shown whole
_ROWS = 200  # classes of the table, the weakest of more
_PAIRS = 12  # confusions in the list

_UNSEEN = re.compile(rf"[{UNSEEN}\ud800-\udfff]")
"""Control characters, marks that turn the direction of writing, and halves of characters."""


@dataclass(frozen=True)
class Report:
    """A page that has been written.

    Attributes:
        path: Where it is.
        judged_on: What the figures are of, in words.
        samples: How many those are.
        metrics: The task's figures there.
        calibration_error: In [0, 1]; ``None`` for numbers.
        mistakes: How many are shown.
        looked: How it was asked where the network looked; empty where it could not be.
        unseen: Why not.
    """

    path: Path
    judged_on: str
    samples: int
    metrics: Mapping[str, float]
    calibration_error: float | None
    mistakes: int
    looked: str
    unseen: str

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data; ``path`` is called ``report``."""
        data = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"report": str(data.pop("path")), **data, "metrics": dict(self.metrics)}


def write_report(path: Path, subject: Subject) -> Report:
    """Put the report of ``subject`` at ``path``, whole or not at all.

    Raises:
        RunError: What the run folder says cannot be.
        OSError: It cannot be written.
    """
    try:
        context = _context(subject)
        page = _render(context)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else f"is damaged: {error}"
        raise RunError(f"the record in {subject.folder} {reason}") from error
    files.write_text(path, page)
    found, shown = context["calibration"], context["gallery"]
    return Report(
        path=path,
        judged_on=subject.judged_on,
        samples=len(subject.judged),
        metrics=context["evaluation"].metrics,
        calibration_error=found.error if found else None,
        mistakes=len(shown.cards) if shown.wrong else 0,
        looked=shown.method,
        unseen=shown.unseen,
    )


def _render(context: Mapping[str, Any]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = resources("zoo.runs.report") / "templates"
    style = (templates / "report.css").read_text(encoding="utf-8")
    environment = Environment(
        loader=PackageLoader("zoo.runs.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": _figure, "percent": _percent, "duration": _duration}
    environment.filters |= {"size": _size, "count": lambda number: f"{number:,}"}
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template("report.html.j2").render(
        **context, style=style, style_hash=digest, size=charts
    )


def _visible(value: Any) -> Any:
    """A text without what nobody sees; autoescape comes after."""
    return _UNSEEN.sub("", value) if type(value) is str else value


def _context(subject: Subject) -> dict[str, Any]:
    record, judged, task = subject.record, subject.judged, subject.task
    logits = task.encode(judged.outputs)
    evaluation = task.evaluation(logits, judged.labels, subject.classes)
    found = calibration(task, judged.outputs, judged.labels)
    return {
        "title": subject.folder.resolve().name,
        "backbone": str(record["backbone"]),
        "version": __version__,
        "created": str(record.get("created", ""))[:10],
        "lede": _lede(subject, evaluation),
        "judged_on": subject.judged_on,
        "words": task.wording,
        "evaluation": evaluation,
        "headline": _headline(subject, evaluation, found.error if found else None),
        "facts": _facts(subject),
        "warnings": _warnings(record),
        "curves": _curves(subject.history, record["results"].get("best_epoch")),
        "epochs": subject.history,
        "leading": _leading(subject.history),
        "rows": _rows(evaluation),
        "confusion": _confusion(evaluation, subject.classes),
        "calibration": found,
        "bins": BINS,
        "reliability": charts.reliability(found) if found else None,
        "scatters": _scatters(subject),
        "gallery": gallery(subject),
        "resources": _resources(subject),
        "commands": _commands(subject),
        "names": titles(),
    }


# -- in words ----------------------------------------------------------------------------------


def _lede(subject: Subject, evaluation: Evaluation) -> str:
    record, count = subject.record, len(subject.judged)
    data = record["data"]
    kind = modality_of(subject.feed.spec).nouns
    words, number = subject.task.wording, len(subject.classes)
    what = f"one {words.output}" if number == 1 else f"{number:,} {words.outputs}"
    began = "random parameters" if not record["weights"] else "pretrained weights"
    first = (
        f"{record['backbone']} was fine-tuned from {began} on {data['train']:,} {kind}, "
        f"to tell {what}"
    )
    where = f"{count:,} {subject.judged_on}"
    return first + subject.task.result_in_words(evaluation.metrics, count, where)


def _headline(
    subject: Subject, evaluation: Evaluation, error: float | None
) -> list[tuple[str, str, str]]:
    """The figures that come first: name, value, and what it means or how sure it is."""
    known = metrics_of(subject.task.name)
    cells = [
        (
            known[key].title if key in known else key,
            _figure(value),
            _meaning(known.get(key), value, len(subject.judged)),
        )
        for key, value in evaluation.metrics.items()
    ]
    if error is not None:
        cells.append(("calibration error", _figure(error), f"expected, over {BINS} bins"))
    return cells


def _meaning(metric: Metric | None, value: float, count: int) -> str:
    if metric is None:
        return ""
    if metric.share and count and math.isfinite(value):
        from scipy.stats import binomtest

        interval = binomtest(round(value * count), count).proportion_ci(method="wilson")
        return f"95 % interval {interval.low:.3f} to {interval.high:.3f}"
    return metric.meaning


def _facts(subject: Subject) -> list[tuple[str, str]]:
    record = subject.record
    data, recipe, weights = record["data"], record.get("recipe") or {}, record["weights"]
    names = ", ".join(subject.classes[:30]) + (", …" if len(subject.classes) > 30 else "")
    facts = [
        (
            "data",
            f"{data['source']}: {data['train']:,} training, {data['val']:,} validation samples",
        ),
        (subject.task.wording.outputs, names),
        ("task", subject.task.name),
        ("backbone", f"{record['backbone']}, {subject.feed.spec.feature_dim:,} features"),
        ("input", modality_of(subject.feed.spec).shape_in_words(subject.feed.spec)),
        ("started from", lineage(record)),
        ("licence of the weights", str((weights or {}).get("license") or "") if weights else ""),
        ("head", str(record["head"])),
        ("strategy", _strategy(recipe, record.get("phases"))),
        ("chosen by", titles().get(subject.task.metric, subject.task.metric)),
        ("surgery", str(record.get("surgery") or "")),
        ("seed", str(recipe.get("seed", ""))),
        ("precision", f"{record['precision']} on {record['device']}"),
        ("data fingerprint", str(data.get("fingerprint", ""))[:16]),
        ("versions", ", ".join(f"{k} {v}" for k, v in (record.get("versions") or {}).items())),
    ]
    return [(name, fact) for name, fact in facts if fact]


def _strategy(recipe: Mapping[str, Any], phases: Any) -> str:
    """The strategy, and what each of its phases did."""
    strategy = str(recipe.get("strategy", ""))
    if not isinstance(phases, list):
        return strategy
    return "; ".join([strategy, *(_phase(phase) for phase in phases)])


def _phase(phase: Mapping[str, Any]) -> str:
    if "epochs" not in phase:
        return f"{phase['name']}: head solved by L-BFGS"
    used = phase["settings"]
    size = used.get("batch_size", used.get("probe_batch_size"))
    batches = f", batches of {size:g}" if isinstance(size, int) else ""
    return f"{phase['name']}: {phase['epochs']:g} epochs, learning rate {phase['lr']:g}{batches}"


def _warnings(record: Mapping[str, Any]) -> list[str]:
    """What about the data makes figures less than they seem."""
    data, found = record["data"], []
    if shared := len(data.get("shared") or ()):
        if data.get("removed"):
            found.append(
                f"{shared:,} of the validation samples were in the training data too, which had "
                f"{data['removed']:,} samples removed for it."
            )
        else:
            found.append(
                f"{shared:,} of the validation samples are in the training data too, so the "
                "figures look too good. --dedupe leaves them out of training."
            )
    if skipped := len(data.get("skipped") or ()):
        found.append(
            f"{skipped:,} inputs could not be read and were left out; run.json lists them."
        )
    if passed := data.get("passed_over"):
        found.append(f"{passed:,} files are not called like pictures and were passed over.")
    found += [f"{fact}." for fact in data.get("notes") or () if isinstance(fact, str)]
    return found


def _resources(subject: Subject) -> list[tuple[str, str]]:
    record, results = subject.record, subject.record["results"]
    memory, machine = results.get("memory") or {}, record.get("machine") or {}
    model = subject.folder / MODEL
    waiting = [h["waiting"] for h in subject.history if isinstance(h.get("waiting"), (int, float))]
    facts = [
        ("training and validation", _duration(results.get("seconds"))),
        ("training speed", f"{_figure(results.get('samples_per_second'))} samples/s"),
        ("waiting for data", _percent(float(np.mean(waiting))) if waiting else ""),
        ("most memory of the process", _size(memory.get("process"))),
        ("most memory of the GPU", _size(memory.get("gpu"))),
        ("parameters", f"{record['params']:,}" if "params" in record else ""),
        ("model.safetensors", _size(model.stat().st_size) if model.is_file() else ""),
        ("machine", ", ".join(_machine(machine))),
    ]
    return [(name, fact) for name, fact in facts if fact]


def _machine(machine: Mapping[str, Any]) -> list[str]:
    cores = machine.get("cores")
    return [
        *([str(machine["platform"])] if "platform" in machine else []),
        *([f"{cores:g} cores"] if isinstance(cores, (int, float)) else []),
        *([str(machine["device"])] if "device" in machine else []),
    ]


def _commands(subject: Subject) -> list[tuple[str, str]]:
    folder = shlex.quote(_visible(str(subject.folder)))
    new = modality_of(subject.feed.spec).new_inputs
    return [
        ("What it says of new inputs", f"zoo predict {folder} {new}"),
        ("How good it is on other labelled data", f"zoo evaluate {folder} --data DATA"),
        ("This page for that data", f"zoo report {folder} --data DATA --output other.html"),
        ("Which of two runs is better", f"zoo compare {folder} OTHER_RUN"),
        ("A start for other runs", f"zoo add {folder} --name NAME"),
        ("The same again, from the seed", f"zoo rerun {folder}"),
        (
            "In Python",
            f"import zoo\n\nrun = zoo.open_run({_visible(str(subject.folder))!r})\nrun.predict([…])",
        ),
    ]


# -- tables and charts -------------------------------------------------------------------------


def _leading(history: Sequence[Mapping[str, Any]]) -> str:
    """The key of the metric that the epochs were compared by; empty where there are none."""
    if not history or not any(key in history[0] for key in titles()):
        return ""
    return leading(history[0], str(history[0].get("metric", "")))


def _curves(history: Sequence[Mapping[str, Any]], best: Any) -> list[tuple[str, charts.Curves]]:
    """Charts over the epochs, each with a title.

    A strength of regularisation that a head was solved for is no epoch, and has no place there.
    """
    best = best if isinstance(best, int) else None
    solved = sum("strength" in line for line in history)
    figure = _leading(history)
    if solved:
        best = best - solved if best is not None and best > solved else None
        history = [line for line in history if "strength" not in line]
    phases = [str(line["phase"]) for line in history]
    losses = {
        "training": [_number(line.get("train_loss")) for line in history],
        "validation": [_number(line.get("loss")) for line in history],
    }
    drawn = [("Loss", charts.curves(losses, phases, best))]
    if figure and figure != "loss":
        figures = {"validation": [_number(line.get(figure)) for line in history]}
        name = titles()[figure]
        title = name if name[1].isupper() else name[0].upper() + name[1:]  # mAP stays mAP
        drawn.append((title, charts.curves(figures, phases, best)))
    return [(title, chart) for title, chart in drawn if chart is not None]


def _rows(evaluation: Evaluation) -> dict[str, Any]:
    """The table of classes, the weakest first, or of columns of numbers as they come."""
    rows = list(evaluation.per_class.items())
    columns = list(dict.fromkeys(key for _, row in rows for key in row))
    weakest_first = "f1" in columns
    if weakest_first:
        rows = sorted(rows, key=lambda item: (item[1]["support"] == 0, item[1]["f1"]))
    more = max(0, len(rows) - _ROWS)
    return {
        "columns": columns,
        "rows": rows[:_ROWS],
        "more": more,
        "weakest_first": weakest_first,
    }


def _confusion(evaluation: Evaluation, classes: Sequence[str]) -> dict[str, Any] | None:
    """The matrix with a shade for each cell, and the confusions that occur most."""
    if evaluation.confusion is None:
        return None
    counts = np.array(evaluation.confusion)  # (classes, classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shades = np.ceil(shares * 8).astype(int)  # 0 to 8
    off = counts.copy()
    np.fill_diagonal(off, 0)
    order = np.argsort(-off, axis=None, kind="stable")[:_PAIRS]
    pairs = [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, off.shape), strict=True)]
    return {
        "whole": len(classes) <= _MATRIX,
        "classes": classes,
        "counts": counts.tolist(),
        "shades": shades.tolist(),
        "pairs": [
            (classes[i], classes[j], int(off[i, j]), float(shares[i, j]))
            for i, j in pairs
            if off[i, j]
        ],
    }


def _scatters(subject: Subject) -> list[charts.Scatter]:
    if subject.task.has_classes:
        return []
    truth, said = subject.judged.labels.astype(np.float64), subject.judged.outputs
    drawn = [
        charts.scatter(name, truth[:, i], said[:, i]) for i, name in enumerate(subject.classes[:6])
    ]
    return [chart for chart in drawn if chart is not None]


# -- how numbers are written -------------------------------------------------------------------


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _figure(value: Any) -> str:
    """Four digits or so; a dash for what is no number."""
    number = _number(value)
    if number is None or not math.isfinite(number):
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return (
        f"{number:.4f}"
        if abs(number) < 10
        else f"{number:,.1f}"
        if abs(number) < 1e6
        else f"{number:.4g}"
    )


def _percent(value: float) -> str:
    return (
        f"{100 * value:.0f} %"
        if value < 0.995 or value == 1
        else f"{math.floor(1000 * value) / 10:.1f} %"
    )


def _duration(value: Any) -> str:
    seconds = _number(value)
    if seconds is None or not math.isfinite(seconds):
        return ""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _size(value: Any) -> str:
    count = _number(value)
    if count is None:
        return ""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
