"""The results as Markdown: accuracy by budget, time and memory, and the cells in which zoo is behind."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from benchmarks.equal_starts.plan import METHODS, OWN, TIME
from benchmarks.report import Result, percent, table

Results = Sequence[Result]


def tables(results: Results) -> str:
    """For each dataset a table of accuracies, one of costs, and a line on where zoo's default stands."""
    parts = []
    for dataset in sorted({r["dataset"] for r in results}):
        of = [r for r in results if r["dataset"] == dataset]
        parts += [_accuracies(dataset, of), _costs(of), _standing(dataset, of)]
    seeds = sorted({r["seed"] for r in results})
    parts.append(
        f"Seeds {', '.join(map(str, seeds))}: mean ± standard deviation over those measured. Seconds are of the whole "
        "process, evaluation included; memory is its peak."
    )
    return "\n\n".join(parts)


def _budgets(results: Results) -> list[str]:
    found = {r["budget"] for r in results if r["budget"]}
    return sorted(found, key=lambda budget: math.inf if budget == TIME else int(budget))


def _title(budget: str, results: Results) -> str:
    if budget != TIME:
        return f"{budget} epoch{'s' * (budget != '1')}"
    seconds = next(r["of"] for r in results if r["budget"] == TIME)
    return f"{seconds / 60:g} minutes"


def _shots(results: Results) -> list[int]:
    return sorted({r["shots"] for r in results}, key=lambda shots: shots or math.inf)


def _accuracies(dataset: str, results: Results) -> str:
    budgets = _budgets(results)
    rows = []
    for shots in _shots(results):
        for method in METHODS:
            own = [r for r in results if (r["shots"], r["method"]) == (shots, method.name)]
            if own:
                cells = [_accuracy([r for r in own if r["budget"] in (b, "")]) for b in budgets]
                rows.append([f"{shots or 'all'}, {method.name}", *(cells or [_accuracy(own)])])
    titles = [_title(budget, results) for budget in budgets] or ["accuracy"]
    return table([f"{dataset}: per class, method; accuracy on test, %", *titles], rows)


def _accuracy(results: Results) -> str:
    return percent([r["test"] for r in results]) if results else ""


def _costs(results: Results) -> str:
    """Seconds and memory at the largest number of samples."""
    shots = _shots(results)[-1]
    budgets = _budgets(results)
    rows = []
    for method in METHODS:
        own = [r for r in results if (r["shots"], r["method"]) == (shots, method.name)]
        if own:
            seconds = [
                _median([r for r in own if r["budget"] in (b, "")], "seconds") for b in budgets
            ]
            memory = statistics.median(r["memory"] for r in own)
            rows.append([method.name, *seconds, f"{memory / 1e6:.0f}"])
    titles = [f"seconds, {_title(budget, results)}" for budget in budgets]
    return table([f"{shots or 'all'} per class", *titles, "memory, MB"], rows)


def _median(results: Results, name: str) -> str:
    return f"{statistics.median(r[name] for r in results):.0f}" if results else ""


def _standing(dataset: str, results: Results) -> str:
    """In how many cells zoo's default is first, or within noise of the first."""
    behind, count = [], 0
    for shots in _shots(results):
        for budget in _budgets(results):
            cell = [r for r in results if r["shots"] == shots and r["budget"] in (budget, "")]
            lost = _behind(cell)
            count += lost is not None
            if lost:
                name = f"{shots or 'all'} per class, {_title(budget, results)}"
                behind.append(f"{name}: {lost}")
    if not count:
        return f"{dataset}: {OWN} is not compared."
    within = f"{dataset}: {OWN} is first or within noise of the first in {count - len(behind)} of {count} cells"
    return f"{within}." if not behind else f"{within}; behind in: {'; '.join(behind)}."


def _behind(cell: Results) -> str | None:
    """The best other method if it is ahead by more than noise, else an empty text.

    Noise is two standard errors of the difference of the means over seeds, at least half a point. ``None`` if zoo
    or all others are missing.
    """
    by_method = {
        method.name: values
        for method in METHODS
        if (values := [r["test"] for r in cell if r["method"] == method.name])
    }
    own = by_method.pop(OWN, None)
    others = {name: values for name, values in by_method.items() if not name.startswith(OWN)}
    if own is None or not others:
        return None
    best = max(others, key=lambda name: statistics.mean(others[name]))
    ahead = statistics.mean(others[best]) - statistics.mean(own)
    noise = max(0.005, 2 * math.sqrt(_squared_error(own) + _squared_error(others[best])))
    return f"{best} by {100 * ahead:.1f} points" if ahead > noise else ""


def _squared_error(values: Sequence[float]) -> float:
    return statistics.variance(values) / len(values) if len(values) > 1 else 0.0
