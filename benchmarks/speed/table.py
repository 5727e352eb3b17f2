"""Format results as two Markdown tables: measurements, and comparison with the targets."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence

from benchmarks.report import Result, percent, table
from benchmarks.speed.cases import ACCURACY, BATCH, MEMORY, Case, Library

Results = Sequence[Result]


def tables(cases: Sequence[Case], results: Results) -> str:
    """A table of measurements, and one of comparisons for which both results exist."""
    by_case = [(case, _by_library(case, results)) for case in cases]
    measured = [row for case, found in by_case for row in _measured(case, found)]
    compared = [row for case, found in by_case for row in _compared(case, found)]
    return "\n\n".join(
        [
            table(
                [
                    "case",
                    "library",
                    "runs",
                    "seconds",
                    "samples/s",
                    "memory, MB",
                    "accuracy, %",
                ],
                measured,
            ),
            table(["zoo compared with", "metric", "measured", "target", ""], compared),
        ]
    )


def mismatches(cases: Sequence[Case], results: Results) -> list[str]:
    """Messages where zoo and another library used different numbers of samples or epochs.

    A library may drop the last incomplete batch. A head fitted with L-BFGS has no epochs.
    """
    messages = []
    for case in cases:
        found = _by_library(case, results)
        own = found.pop(case.zoo.name)
        for zoo, peer in ((a, b) for a in own for other in found.values() for b in other):
            if "validated_on" not in zoo or peer["by"].startswith("zoo"):
                continue
            same = 0 <= zoo["trained_on"] - peer["trained_on"] < BATCH
            same = same and zoo["validated_on"] == peer["validated_on"]
            same = same and peer["passes"] == case.epochs
            if case.metric == "samples_per_second":
                same = same and zoo["passes"] == case.epochs
            if not same:
                message = (
                    f"Different numbers of samples or epochs: {case.heading}: zoo and {peer['by']}."
                )
                messages.append(message)
    return sorted(set(messages))


def _by_library(case: Case, results: Results) -> dict[str, Results]:
    return {
        library.name: [r for r in results if (r["case"], r["by"]) == (case.name, library.name)]
        for library in case.libraries
    }


def _measured(case: Case, found: dict[str, Results]) -> Iterator[list[str]]:
    for name, results in found.items():
        if results:
            yield [
                case.heading,
                name,
                str(len(results)),
                _spread(results, "seconds", lambda value: f"{value:.3g}"),
                _speed(case, results),
                _spread(results, "memory", lambda value: f"{value / 1e6:.0f}"),
                percent(values) if (values := _values(results, "accuracy")) else "",
            ]


def _speed(case: Case, results: Results) -> str:
    """Training throughput, for cases in which all libraries take the same steps."""
    if case.metric != "samples_per_second":
        return ""
    return _spread(results, case.metric, lambda value: f"{value:.3g}")


def _compared(case: Case, found: dict[str, Results]) -> Iterator[list[str]]:
    own = found[case.zoo.name]
    for peer in case.peers:
        other = found[peer.name]
        if own and other:
            for metric, measured, target, met in _comparisons(case, peer, own, other):
                verdict = "" if met is None else "met" if met else "not met"
                yield [f"{case.heading}: {peer.name}", metric, measured, target, verdict]


def _comparisons(
    case: Case, peer: Library, own: Results, other: Results
) -> Iterator[tuple[str, str, str, bool | None]]:
    """Metric, measured value, target, and whether it is met (``None`` without a target)."""
    if case.metric == "seconds":
        ratio = _median(other, "seconds") / _median(own, "seconds")
        yield "total time, speed-up", *_at_least(ratio, peer.target)
    if case.metric == "samples_per_second":
        ratio = _median(own, case.metric) / _median(other, case.metric)
        yield "training throughput", *_at_least(ratio, peer.target)
    limit = peer.target if case.metric == "memory" else MEMORY
    ratio = _median(own, "memory") / _median(other, "memory")
    yield "peak memory", f"{ratio:.2f} ×", f"at most {limit:g} ×", ratio <= limit
    differences = _accuracy_differences(own, other)
    if differences and peer.peer != "zoo":
        mean, seeds = statistics.mean(differences), len(differences)
        points = f"{100 * mean:+.1f} ({seeds} seed{'s' * (seeds > 1)})"
        target = f"at least {100 * ACCURACY:g}"
        yield "accuracy, difference in points", points, target, mean >= ACCURACY


def _accuracy_differences(own: Results, other: Results) -> list[float]:
    """Paired differences in accuracy, one per common seed."""
    others = {r["repeat"]: r["accuracy"] for r in other if "accuracy" in r}
    ours = {r["repeat"]: r["accuracy"] for r in own if "accuracy" in r}
    return [ours[seed] - others[seed] for seed in sorted(ours.keys() & others.keys())]


def _at_least(ratio: float, target: float | None) -> tuple[str, str, bool | None]:
    if target is None:
        return f"{ratio:.1f} ×", "", None
    return f"{ratio:.1f} ×", f"{target:g} ×", ratio >= target


def _values(results: Results, metric: str) -> list[float]:
    return [r[metric] for r in results if metric in r]


def _median(results: Results, metric: str) -> float:
    return statistics.median(_values(results, metric))


def _spread(results: Results, metric: str, formatted: Callable[[float], str]) -> str:
    """The median, with minimum and maximum if there are several values."""
    values = _values(results, metric)
    if not values:
        return ""
    median = formatted(statistics.median(values))
    if len(values) == 1:
        return median
    return f"{median} ({formatted(min(values))}–{formatted(max(values))})"
