"""``zoo compare``: runs side by side on the same samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo.cli import completion
from zoo.cli.hyperparameters import shared
from zoo.cli.options import judged_on
from zoo.cli.output import clean, emit_json, json_option, note, print_table, say

if TYPE_CHECKING:
    from zoo.runs.compare import Comparison, Contender

_TESTS = {
    "mcnemar-exact": "McNemar's exact test",
    "mcnemar-corrected": "McNemar's test with continuity correction",
    "wilcoxon": "Wilcoxon's signed-rank test",
}
_RIGHT = "right where the other is wrong"
_COUNTED = {"mcnemar-exact": _RIGHT, "mcnemar-corrected": _RIGHT, "wilcoxon": "nearer the truth"}
_ALARM = 0.05


@click.command(
    epilog="""\b
Examples:
  zoo compare runs/resnet18-1 runs/resnet50-1
  zoo compare runs/*
  zoo compare runs/resnet18-1 runs/vgg16-1 --data test-photos/
  zoo compare runs/lstm-1 runs/minilm-1 --json
"""
)
@click.argument(
    "runs",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    metavar="RUN...",
    shell_complete=completion.runs,
)
@judged_on("the validation samples that all runs share")
@shared(device=None, workers=None)
@json_option()
def command(
    runs: tuple[Path, ...],
    data: str | None,
    split: str | None,
    device: str,
    workers: int | None,
    as_json: bool,
) -> None:
    """Compare runs: metrics, size, speed and significance.

    Each RUN is compared with the first, on the same samples. Significance is McNemar's test, with
    Holm's correction for more than two runs.
    """
    from zoo.engine.progress import Console
    from zoo.runs.compare import compare

    found = compare(
        runs, data=data, split=split, device=device, workers=workers, reporter=Console()
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
    from zoo.tasks.metrics import titles

    metrics = list(found.contenders[0].evaluation.metrics)
    names = [titles().get(key, key) for key in metrics]
    say(f"on {found.samples} {clean(found.evaluated_on)}:")
    print_table(
        ["run", "backbone", *names, "params", "file", "training", "samples/s"],
        [
            [
                c.run.folder,
                c.run.backbone_name,
                *(f"{c.evaluation.metrics[key]:.4f}" for key in metrics),
                "" if c.params is None else f"{c.params:,}",
                "" if c.bytes is None else in_bytes(c.bytes),
                "" if c.seconds is None else f"{c.seconds:.0f} s",
                "" if c.samples_per_second is None else f"{c.samples_per_second:.0f}",
            ]
            for c in found.contenders
        ],
    )


def _print_classes(found: Comparison) -> None:
    """F1 (or RMSE) of the first run, and how far the others are from it."""
    from zoo.runs.compare import class_differences

    first, others = found.contenders[0], found.contenders[1:]
    rows = first.evaluation.per_class
    key = "f1" if "f1" in next(iter(rows.values()), {}) else "rmse"
    differences = [class_differences(first, other) for other in others]
    say(
        f"\n{'F1' if key == 'f1' else 'RMSE'} of {clean(first.run.folder)}, and by how much the others differ:"
    )
    print_table(
        [
            "class" if key == "f1" else "number",
            str(first.run.folder),
            *(str(o.run.folder) for o in others),
        ],
        [
            [name, f"{row[key]:.4f}", *(f"{own[name]:+.4f}" for own in differences)]
            for name, row in rows.items()
        ],
    )


def _print_tests(found: Comparison) -> None:
    first, several = found.contenders[0], len(found.contenders) > 2
    say("")
    for other in found.contenders[1:]:
        say(_verdict(first, other, corrected=several))
    if several:
        say(
            f"Each is compared with {clean(first.run.folder)}, and p is corrected by Holm's method."
        )


def _verdict(first: Contender, other: Contender, *, corrected: bool) -> str:
    contest = other.contest
    assert contest is not None
    p = contest.p_holm if corrected else contest.p
    meaning = "more than chance would do" if p < _ALARM else "no more than chance may do"
    return clean(
        f"{other.run.folder} against {first.run.folder}: {_COUNTED[contest.name]} on "
        f"{contest.better} samples, the opposite on {contest.worse}; "
        f"{_TESTS[contest.name]}, p = {p:.3g}, {meaning}."
    )
