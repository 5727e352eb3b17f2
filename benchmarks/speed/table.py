"""From results to two Markdown tables: what was measured, and how it stands to the bars."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence

from benchmarks.report import Result, percent, table
from benchmarks.speed.cases import ACCURACY, BATCH, MEMORY, Case, Contestant

Results = Sequence[Result]


def tables(cases: Sequence[Case], results: Results) -> str:
    """What was measured, and each comparison that both sides have a result for."""
    by_case = [(case, _by_contestant(case, results)) for case in cases]
    measured = [row for case, found in by_case for row in _measured(case, found)]
    compared = [row for case, found in by_case for row in _compared(case, found)]
    return "\n\n".join(
        [
            table(
                [
                    "job",
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


def disagreements(cases: Sequence[Case], results: Results) -> list[str]:
    """Where a peer had other samples or epochs than zoo, in words; empty if all is fair.

    A peer may leave out the last part of a batch. A head that is solved for has no epochs.
    """
    found = []
    for case in cases:
        by = _by_contestant(case, results)
        for zoo, peer in ((a, b) for a in by.pop(case.zoo.name) for r in by.values() for b in r):
            if "validated_on" not in zoo or peer["by"].startswith("zoo"):
                continue
            fair = 0 <= zoo["trained_on"] - peer["trained_on"] < BATCH
            fair = fair and zoo["validated_on"] == peer["validated_on"]
            fair = fair and peer["passes"] == case.epochs
            if case.metric == "samples_per_second":
                fair = fair and zoo["passes"] == case.epochs
            if not fair:
                found.append(f"Not alike: {case.heading}: zoo and {peer['by']}.")
    return sorted(set(found))


def _by_contestant(case: Case, results: Results) -> dict[str, Results]:
    return {
        one.name: [r for r in results if (r["case"], r["by"]) == (case.name, one.name)]
        for one in case.contestants
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
    """Of training, where it is the same work for everybody; a solved head takes no steps."""
    if case.metric != "samples_per_second":
        return ""
    return _spread(results, case.metric, lambda value: f"{value:.3g}")


def _compared(case: Case, found: dict[str, Results]) -> Iterator[list[str]]:
    own = found[case.zoo.name]
    for peer in case.peers:
        other = found[peer.name]
        if own and other:
            for what, measured, bar, met in _against(case, peer, own, other):
                verdict = "" if met is None else "met" if met else "not met"
                yield [f"{case.heading}: {peer.name}", what, measured, bar, verdict]


def _against(
    case: Case, peer: Contestant, own: Results, other: Results
) -> Iterator[tuple[str, str, str, bool | None]]:
    """What is compared, the metric, its bar, and whether that is met (``None`` without a bar)."""
    if case.metric == "seconds":
        ratio = _median(other, "seconds") / _median(own, "seconds")
        yield "total time, speed-up", *_at_least(ratio, peer.bar)
    if case.metric == "samples_per_second":
        ratio = _median(own, case.metric) / _median(other, case.metric)
        yield "training throughput", *_at_least(ratio, peer.bar)
    limit = peer.bar if case.metric == "memory" else MEMORY
    ratio = _median(own, "memory") / _median(other, "memory")
    yield "peak memory", f"{ratio:.2f} ×", f"at most {limit:g} ×", ratio <= limit
    ahead = _ahead(own, other)
    if ahead and peer.peer != "zoo":
        points = f"{100 * statistics.mean(ahead):+.1f} ({len(ahead)} seed{'s' * (len(ahead) > 1)})"
        bar = f"at least {100 * ACCURACY:g}"
        yield "accuracy, difference in points", points, bar, statistics.mean(ahead) >= ACCURACY


def _ahead(own: Results, other: Results) -> list[float]:
    """Differences of accuracy, seed by seed."""
    theirs = {r["repeat"]: r["accuracy"] for r in other if "accuracy" in r}
    mine = {r["repeat"]: r["accuracy"] for r in own if "accuracy" in r}
    return [mine[seed] - theirs[seed] for seed in sorted(mine.keys() & theirs.keys())]


def _at_least(ratio: float, bar: float | None) -> tuple[str, str, bool | None]:
    if bar is None:
        return f"{ratio:.1f} ×", "", None
    return f"{ratio:.1f} ×", f"{bar:g} ×", ratio >= bar


def _values(results: Results, metric: str) -> list[float]:
    return [r[metric] for r in results if metric in r]


def _median(results: Results, metric: str) -> float:
    return statistics.median(_values(results, metric))


def _spread(results: Results, metric: str, shown: Callable[[float], str]) -> str:
    """The median, and where there are several values the lowest and the highest."""
    values = _values(results, metric)
    if not values:
        return ""
    middle = shown(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({shown(min(values))}–{shown(max(values))})"
