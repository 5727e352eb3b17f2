"""Format results as two Markdown tables: measurements, and comparison with the targets."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from benchmarks.report import Result, percent, table
from benchmarks.speed.cases import ACCURACY, BATCH, MEMORY, Case, Comparison, Library, Target

Results = Sequence[Result]

NAMES = {
    "seconds": "total time",
    "samples_per_second": "training throughput",
    "steady": "steady throughput",
}
"""Metrics of comparisons, as shown."""

COLUMNS = ("case", "library", "runs", "batch", "learning rate", "seconds", "samples/s")
STEADY = ("steady samples/s", "waiting, %")
MORE = ("memory, MB", "accuracy, %")


def tables(cases: Sequence[Case], results: Results, kind: str, *, steady: bool = False) -> str:
    """A table of measurements, and one of comparisons for which both results exist.

    Args:
        cases: The cases, in order.
        results: Of these cases.
        kind: The kind of machine, on which targets may depend.
        steady: Whether to show throughput after the first epoch, and the share of waiting for data.
    """
    measured = [
        row
        for case in cases
        for library in case.libraries
        for row in _measured(case, library, _of(case, library.name, results), steady)
    ]
    compared = [
        [f"{case.heading}: {comparison.own} and {comparison.peer}", *cells]
        for case in cases
        for comparison in case.comparisons
        for cells in _compared(case, comparison, results, kind)
    ]
    columns = [*COLUMNS, *(STEADY if steady else ()), *MORE]
    return "\n\n".join(
        [
            table(columns, measured),
            table(["compared", "metric", "measured", "target", ""], compared),
        ]
    )


def not_measured(
    planned: Iterable[tuple[Case, Library]],
    results: Results,
    reasons: Mapping[tuple[str, str], str],
) -> list[str]:
    """A line for each library of which there is no result.

    Args:
        planned: The libraries and their cases.
        results: Of these cases.
        reasons: By case and library, where known.
    """
    return [
        f"Not measured: {case.heading}: {library.name}"
        + (f" ({reason})." if (reason := reasons.get((case.name, library.name))) else ".")
        for case, library in planned
        if not _of(case, library.name, results)
    ]


def mismatches(cases: Sequence[Case], results: Results) -> list[str]:
    """Messages where zoo and another library used different numbers of samples or epochs.

    A library may drop the last incomplete batch. A head fitted with L-BFGS has no epochs.
    """
    messages = []
    for case in cases:
        libraries = {library.name: library for library in case.libraries}
        for comparison in case.comparisons:
            library = libraries[comparison.peer]
            own, other = (_of(case, n, results) for n in (comparison.own, comparison.peer))
            pairs = [(a, b) for a in own for b in other if "validated_on" in a]
            if library.peer == "zoo" or library.part:
                continue
            if not all(_same(case, library, zoo, peer) for zoo, peer in pairs):
                names = f"{comparison.own} and {comparison.peer}"
                messages.append(f"Different numbers of samples or epochs: {case.heading}: {names}.")
    return messages


def _same(case: Case, library: Library, zoo: Result, peer: Result) -> bool:
    same: bool = 0 <= zoo["trained_on"] - peer["trained_on"] < max(BATCH, peer["batch_size"])
    same = same and zoo["validated_on"] == peer["validated_on"]
    same = same and peer["passes"] == (library.epochs or case.epochs)
    return same and (not case.throughput or zoo["passes"] == case.epochs)


def _of(case: Case, library: str, results: Results) -> Results:
    return [r for r in results if (r["case"], r["by"]) == (case.name, library)]


def _measured(case: Case, library: Library, results: Results, steady: bool) -> Iterator[list[str]]:
    if not results:
        return
    more = [_spread(results, "steady"), _spread(results, "waiting", lambda v: f"{100 * v:.1f}")]
    yield [
        case.heading,
        library.name,
        str(len(results)),
        _only(results, "batch_size", "d"),
        _only(results, "lr", "g"),
        "" if library.part else _scaled(library, _spread(results, "seconds")),
        _spread(results, "samples_per_second") if case.throughput else "",
        *(more if steady else ()),
        _spread(results, "memory", lambda value: f"{value / 1e6:.0f}"),
        percent(values) if (values := list(_accuracies(results).values())) else "",
    ]


def _scaled(library: Library, seconds: str) -> str:
    """Total time, with a note if it is scaled from fewer epochs."""
    if library.epochs is None:
        return seconds
    return f"{seconds}, scaled from {library.epochs} epoch{'s' * (library.epochs > 1)}"


def _only(results: Results, name: str, form: str) -> str:
    """The one value that all results have; empty if there is none or several."""
    values = {r.get(name) for r in results}
    value = values.pop() if len(values) == 1 else None
    return "" if value is None else format(value, form)


def _compared(
    case: Case, comparison: Comparison, results: Results, kind: str
) -> Iterator[list[str]]:
    """Cells: metric, measured value, target, and whether it is met (empty without a target)."""
    own, other = (_of(case, name, results) for name in (comparison.own, comparison.peer))
    if not (own and other):
        return
    for metric, target in comparison.targets.items():
        if not (_values(own, metric) and _values(other, metric)):
            continue
        ours, theirs = _median(own, metric), _median(other, metric)
        ratio = theirs / ours if metric == "seconds" else ours / theirs
        least = _target(target, kind)
        goal, verdict = (
            ("", "") if least is None else (f"at least {least:g} ×", _met(ratio >= least))
        )
        yield [NAMES[metric], f"{ratio:.2f} ×", goal, verdict]
    if comparison.memory:
        ratio = _median(own, "memory") / _median(other, "memory")
        yield ["peak memory", f"{ratio:.2f} ×", f"at most {MEMORY:g} ×", _met(ratio <= MEMORY)]
    differences = _accuracy_differences(own, other)
    if differences:
        mean, seeds = statistics.mean(differences), len(differences)
        points = f"{100 * mean:+.1f} ({seeds} seed{'s' * (seeds > 1)})"
        target = f"at least {100 * ACCURACY:g}"
        yield ["accuracy, points", points, target, _met(mean >= ACCURACY)]


def _target(target: Target | None, kind: str) -> float | None:
    """The target on this kind of machine; ``None`` if there is none."""
    return target.get(kind) if isinstance(target, Mapping) else target


def _met(met: bool) -> str:
    return "met" if met else "not met"


def _accuracies(results: Results) -> dict[int, float]:
    """Accuracy by seed; a result may have several seeds."""
    found: dict[int, float] = {}
    for result in results:
        found |= dict(enumerate(result.get("accuracies", [])))
        if "accuracy" in result:
            found[result["repeat"]] = result["accuracy"]
    return found


def _accuracy_differences(own: Results, other: Results) -> list[float]:
    """Paired differences in accuracy, one per common seed; none between two runs of zoo."""
    ours, others = _accuracies(own), _accuracies(other)
    if other[0]["by"].startswith("zoo"):
        return []
    return [ours[seed] - others[seed] for seed in sorted(ours.keys() & others.keys())]


def _values(results: Results, metric: str) -> list[float]:
    return [r[metric] for r in results if metric in r]


def _median(results: Results, metric: str) -> float:
    return statistics.median(_values(results, metric))


def _spread(
    results: Results, metric: str, formatted: Callable[[float], str] = lambda value: f"{value:.3g}"
) -> str:
    """The median, with minimum and maximum if there are several values."""
    values = _values(results, metric)
    if not values:
        return ""
    median = formatted(statistics.median(values))
    if len(values) == 1:
        return median
    return f"{median} ({formatted(min(values))}–{formatted(max(values))})"
