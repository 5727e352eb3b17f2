"""``zoo compare``: compare runs on the same samples."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo.cli.hyperparameters import shared
from zoo.cli.options import evaluated_on, networks_option, runs_argument
from zoo.cli.output import clean, emit_json, json_option, note, say
from zoo.cli.tables import print_table, say_wrapped

if TYPE_CHECKING:
    from zoo.runs.compare import Comparison, Contender

_TESTS = {
    "mcnemar-exact": "McNemar's exact test",
    "mcnemar-corrected": "McNemar's test with continuity correction",
    "bootstrap": "paired bootstrap",
    "bootstrap-groups": "paired bootstrap of groups",
}
_CORRECT = "{better:,} samples only {other} gets right, {worse:,} only {first}"
_FINDINGS = {
    "mcnemar-exact": _CORRECT,
    "mcnemar-corrected": _CORRECT,
    "bootstrap": (_INTERVAL := "95 % interval of the difference {interval}"),
    "bootstrap-groups": _INTERVAL,
}
_LEVEL = 0.05  # of significance


@click.command(
    epilog="""\b
Examples:
  zoo compare runs/resnet18-1 runs/resnet50-1
  zoo compare runs/*
  zoo compare runs/resnet18-1 runs/vgg16-1 --data test-photos/
  zoo compare runs/lstm-1 runs/minilm-1 --metric auroc --json
"""
)
@runs_argument
@evaluated_on("the validation samples that all runs share")
@shared(metric="Metric to compare (default: the first run's selection metric).")
@networks_option
@shared(device=None, workers=None)
@json_option()
def command(
    runs: tuple[Path, ...],
    data: str | None,
    split: str | None,
    metric: str | None,
    networks: tuple[str, ...],
    device: str,
    workers: int | None,
    as_json: bool,
) -> None:
    """Compare runs: metrics, size, speed and significance.

    Each RUN is compared with the first, on the same samples. Significance is McNemar's test for
    accuracy, and a paired bootstrap for other metrics and for groups of samples, with Holm's correction for more than two
    runs. Of three or more, those that are unfinished, or whose task, classes or data do not fit, are
    skipped and named.
    """
    from zoo.engine.progress import Console
    from zoo.runs.comparable import comparable
    from zoo.runs.compare import compare
    from zoo.runs.opening import open_runs

    fitting, skipped = comparable(runs, on_own_data=data is None)
    for reason in skipped:
        note(f"skipped: {reason}")
    found = compare(
        open_runs(fitting, networks=networks),
        data=data,
        split=split,
        metric=metric,
        device=device,
        workers=workers,
        reporter=Console(),
    )
    for remark in found.remarks:
        note(remark)
    if as_json:
        emit_json(found.to_json())
        return
    _print_runs(found)
    _print_classes(found)
    _print_tests(found)


def _print_runs(found: Comparison) -> None:
    from zoo.system.byte_sizes import in_bytes
    from zoo.tasks.metrics import number, title_of

    metrics = list(found.contenders[0].evaluation.metrics)
    names = [title_of(key, found.metric) for key in metrics]
    say(f"on {found.samples:,} {clean(found.evaluated_on)}:")
    columns = ["run", "backbone", *names, "params", "file", "training", "samples/s"]
    print_table(
        columns,
        [
            [
                c.run.folder,
                c.run.backbone_name,
                *(number(c.evaluation.metrics[key]) for key in metrics),
                "" if c.params is None else f"{c.params:,}",
                "" if c.bytes is None else in_bytes(c.bytes),
                "" if c.seconds is None else f"{c.seconds:.0f} s",
                "" if c.samples_per_second is None else f"{c.samples_per_second:.0f}",
            ]
            for c in found.contenders
        ],
        less=("samples/s", "file", "params", *reversed(names[1:]), "training"),
    )


def _print_classes(found: Comparison) -> None:
    """F1 (or RMSE) of the first run, and the differences of the others."""
    from zoo.runs.compare import class_differences

    first, others = found.contenders[0], found.contenders[1:]
    rows = first.evaluation.per_class
    task = first.run.task
    differences = [class_differences(first, other) for other in others]
    say(
        f"\n{task.row_metric.upper()} of {clean(first.run.folder)}; for the others, the difference:"
    )
    folders = [str(contender.run.folder) for contender in found.contenders]
    print_table(
        [task.wording.output, *folders],
        [
            [
                name,
                f"{row[task.row_metric]:.4f}",
                *(f"{of_run[name]:+.4f}" for of_run in differences),
            ]
            for name, row in rows.items()
        ],
        less=folders[:1:-1],
    )


def _print_tests(found: Comparison) -> None:
    first, several = found.contenders[0], len(found.contenders) > 2
    say("")
    for other in found.contenders[1:]:
        say_wrapped(_difference(found, other))
        if not math.isnan(found.difference(other)):
            say_wrapped(_verdict(first, other, corrected=several))
    if several:
        say(
            f"Each run is compared with {clean(first.run.folder)}; p is corrected by Holm's method."
        )


def _difference(found: Comparison, other: Contender) -> str:
    """The difference of the metric, and which run is better by it."""
    difference, first = found.difference(other), found.contenders[0]
    if math.isnan(difference):
        return clean(
            f"{found.metric.title}: undefined for {other.run.folder} or {first.run.folder}."
        )
    better = other if (difference > 0) == found.metric.metric.higher else first
    verdict = f"{better.run.folder} is better" if difference else "no difference"
    return clean(
        f"{found.metric.title}: {other.run.folder} {difference:+.4f} vs {first.run.folder}; {verdict}."
    )


def _verdict(first: Contender, other: Contender, *, corrected: bool) -> str:
    contest = other.contest
    assert contest is not None
    p = contest.p_holm if corrected else contest.p
    meaning = "significant" if p < _LEVEL else "not significant"
    interval = contest.interval and "{:+.4f} to {:+.4f}".format(*contest.interval)
    finding = _FINDINGS[contest.name].format(
        better=contest.better,
        worse=contest.worse,
        other=other.run.folder,
        first=first.run.folder,
        interval=interval or "undefined",
    )
    return clean(
        f"{other.run.folder} vs {first.run.folder}: {finding}; {_TESTS[contest.name]}, "
        f"p = {p:.3g}: {meaning} at the 5 % level."
    )
