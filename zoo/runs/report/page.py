"""Render the report: one self-contained file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from zoo.registry.run_record import damaged
from zoo.runs.how_trained import strengths_of
from zoo.runs.reliability import BINS, calibration
from zoo.runs.report import charts, facts, tables
from zoo.runs.report.gallery import gallery
from zoo.runs.report.numbers import byte_size, duration, percent, rounded, visible
from zoo.runs.report.subject import Subject
from zoo.system import files
from zoo.tasks.metrics import title_of
from zoo.version import __version__

REPORT = "report.html"


@dataclass(frozen=True)
class Report:
    """A report that has been written.

    Attributes:
        path: Its path.
        evaluated_on: Description of the evaluated samples.
        samples: Number of these samples.
        metrics: The task's metrics on them.
        calibration_error: Expected calibration error of the network's own probabilities, in [0, 1];
            ``None`` for regression.
        calibrated_error: That with the run's temperature.
        mistakes: Number of mistakes shown.
        attribution: The attribution method; empty if there are no attributions.
        no_attribution: Why there are none.
    """

    path: Path
    evaluated_on: str
    samples: int
    metrics: Mapping[str, float]
    calibration_error: float | None
    calibrated_error: float | None
    mistakes: int
    attribution: str
    no_attribution: str

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data; ``path`` is called ``report``."""
        data = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"report": str(data.pop("path")), **data, "metrics": dict(self.metrics)}


def write_report(path: Path, subject: Subject) -> Report:
    """Write the report of ``subject`` to ``path``, completely or not at all.

    Raises:
        RunError: The run folder is damaged.
        OSError: It cannot be written.
    """
    try:
        context = _context(subject)
        page = _render(context)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise damaged(subject.folder, error) from error
    files.write_text(path, page)
    found, after = context["calibration"], context["calibrated"]
    shown = context["gallery"]
    return Report(
        path=path,
        evaluated_on=subject.evaluated_on,
        samples=len(subject.evaluated),
        metrics=context["evaluation"].metrics,
        calibration_error=found.error if found else None,
        calibrated_error=after.error if after else None,
        mistakes=len(shown.cards) if shown.wrong else 0,
        attribution=shown.method,
        no_attribution=shown.absent,
    )


def _render(context: Mapping[str, Any]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = resources("zoo.runs.report") / "templates"
    style = (templates / "report.css").read_text(encoding="utf-8")
    environment = Environment(
        loader=PackageLoader("zoo.runs.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": rounded, "percent": percent, "duration": duration}
    environment.filters |= {"size": byte_size, "count": lambda number: f"{number:,}"}
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template("report.html.j2").render(
        **context, style=style, style_hash=digest, size=charts
    )


def _context(subject: Subject) -> dict[str, Any]:
    record, evaluated, task = subject.record, subject.evaluated, subject.task
    logits = task.encode(evaluated.outputs)
    evaluation = task.evaluation(logits, evaluated.labels, subject.classes)
    fitted = record["results"].get("calibration")
    found = calibration(task, evaluated.outputs, evaluated.labels)
    divided = task.decode(logits / (fitted["temperature"] if fitted else 1.0))
    after = calibration(task, divided, evaluated.labels)
    changed = after if fitted and fitted["temperature"] != 1 else None
    strengths, strength = strengths_of(subject.history)
    return {
        "title": subject.folder.resolve().name,
        "backbone": str(record["backbone"]),
        "version": __version__,
        "created": str(record.get("created", ""))[:10],
        "lede": facts.lede(subject, evaluation),
        "evaluated_on": subject.evaluated_on,
        "words": task.wording,
        "evaluation": evaluation,
        "headline": facts.headline(subject, evaluation, found.error if found else None),
        "facts": facts.facts(subject),
        "warnings": [*facts.warnings(record), *(f"{note}." for note in evaluation.notes)],
        "curves": tables.learning_curves(
            subject.history, record["results"].get("best_epoch"), subject.task.selection
        ),
        "epochs": subject.history,
        "strengths": strengths,
        "strength": strength,
        "leading": tables.leading_key(subject.history),
        "rows": tables.class_table(evaluation),
        "confusion": tables.confusion(evaluation, subject.classes),
        "calibration": found,
        "calibrated": after,
        "temperature": fitted,
        "bins": BINS,
        "reliability": charts.reliability(found, changed) if found else None,
        "folds": tables.fold_table(record["results"].get("folds")),
        "scatters": tables.scatters(subject),
        "gallery": gallery(subject),
        "privacy": facts.privacy(record),
        "resources": facts.resources(subject),
        "commands": facts.commands(subject),
        "title_of": partial(title_of, chosen=subject.task.selection),
    }
