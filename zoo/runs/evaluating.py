"""Evaluation of a run on labelled data, without the samples that it was trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from zoo.data.dataset import open_data
from zoo.data.evaluation_samples import EvaluationSamples, evaluation_samples
from zoo.data.memory.source import DataSource, source_name
from zoo.data.reports import BadFiles, Findings
from zoo.data.samples import Samples, Splits
from zoo.data.sources.columns import ColumnNames
from zoo.data.sources.dialects import Quoting
from zoo.engine.progress import Quiet, Reporter
from zoo.errors import RunError, UsageError
from zoo.modalities.image.not_seen import Reading
from zoo.runs.opened import OpenedRun
from zoo.runs.own_data import own_demo, own_source
from zoo.runs.predictions import EvaluatedSamples, evaluated_samples
from zoo.runs.trained_on import read_digests
from zoo.system.offline import no_network
from zoo.tasks.evaluation import Evaluation
from zoo.tasks.optimism import interval
from zoo.tasks.task import Task


def evaluate(
    run: OpenedRun,
    held_out: dict[str, EvaluationSamples],
    *,
    task: Task,
    device: str,
    workers: int | None,
    reporter: Reporter | None,
    tta: bool = False,
) -> dict[str, Evaluation]:
    """The metrics of ``run`` on samples of :func:`held_out_samples`, by split.

    ``task`` is the run's, possibly with another selection metric.
    """
    results = {}
    for name, chosen in held_out.items():
        samples = chosen.samples
        logits, found = run.logits(
            samples, device=device, workers=workers, reporter=reporter, tta=tta
        )
        assert samples.labels is not None
        evaluation = task.evaluation(logits, samples.labels, run.classes)
        for remark in evaluation.notes:
            (reporter or Quiet()).note(f"{name}: {remark}")
        sure = interval(task, [task.decode(logits)], samples.labels, run.classes, samples.groups)
        results[name] = replace(
            evaluation,
            left_out=chosen.left_out,
            trained_on=chosen.trained_on,
            notes=(*evaluation.notes, *chosen.notes, *found.facts),
            interval=sure.to_json() if sure else None,
        )
    return results


def evaluate_each(
    run: OpenedRun,
    data: DataSource | None,
    *,
    split: str | None,
    device: str,
    workers: int | None,
    reporter: Reporter | None,
) -> tuple[EvaluatedSamples, Samples | None, str]:
    """The predictions of ``run`` for labelled samples; see :meth:`zoo.Run.evaluated`."""
    if data is None:
        if split is not None:
            raise UsageError(
                f"--split {split} is a split of --data, which is missing",
                hint="Add --data PATH, or leave --split out.",
            )
        folds = run.record["results"].get("folds")
        kept = "samples, out of fold" if folds else "validation samples"
        return run.kept_predictions(), None, kept
    request = run.record.get("request") or {}
    skip: BadFiles = "skip" if request.get("bad_files") == "skip" else "error"
    held_out = held_out_samples(run, data, split, bad_files=skip, reporter=reporter or Quiet())
    name = "test" if "test" in held_out else next(iter(held_out))
    samples = held_out[name].samples
    logits, _ = run.logits(samples, device=device, workers=workers, reporter=reporter)
    predicted = evaluated_samples(samples, run.task.decode(logits))
    words = {"val": "validation samples", "test": "test samples"}.get(name, "samples")
    count = held_out[name].left_out
    but = f", without {count:,} training sample{'' if count == 1 else 's'}" if count else ""
    return predicted, samples, f"{words} of {source_name(data)}{but}"


def held_out_of_own(
    run: OpenedRun, split: str | None, *, reporter: Reporter, **options: Any
) -> dict[str, EvaluationSamples]:
    """One split of the run's own data: ``split``, else ``test`` if there is one, else ``val``.

    A recorded dataset of the Hub is read from the cache only: a run folder may name any dataset.

    Raises:
        RunError: The run does not say where its data is.
        DataError: The data is not there any more.
    """
    source = own_source(run)
    if (run.record["request"] or {}).get("bad_files") == "skip":
        options["bad_files"] = "skip"
    with no_network():
        found = held_out_samples(run, source, split, reporter=reporter, **options)
    chosen = next(name for name in (split, "test", *found) if name in found)
    reporter.note(
        f"evaluating on {source or 'the demo data'}, which the run was trained on: {chosen}"
    )
    return {chosen: found[chosen]}


def held_out_samples(
    run: OpenedRun,
    data: DataSource | None,
    split: str | None,
    *,
    text_column: ColumnNames = None,
    label_column: ColumnNames = None,
    bad_files: BadFiles,
    quoting: Quoting | None = None,
    reporter: Reporter,
) -> dict[str, EvaluationSamples]:
    """The samples of ``data`` that an evaluation uses, by split; see :meth:`zoo.Run.evaluate`."""
    trained = run.training_data
    splits = _opened(
        run,
        data,
        text_column=text_column,
        label_column=label_column,
        bad_files=bad_files,
        quoting=quoting,
    )
    for fact in splits.notes:
        reporter.note(fact)
    held_out = splits.to_evaluate(trained_on=trained.fingerprint)
    if split is not None and split not in held_out:
        raise RunError(
            f"{source_name(data)} has no split {split!r}", hint=f"It has: {', '.join(held_out)}."
        )
    chosen = held_out if split is None else {split: held_out[split]}
    digests = read_digests(run.folder)
    if digests is None and any(s.fingerprint != trained.val for s in chosen.values()):
        reporter.note(
            f"{run.folder} has no record of its training samples: they may be among these samples"
        )
    found = evaluation_samples(chosen, digests, trained.val)
    if run.reading is None or bad_files == "error":  # reading then stops at the first misfit
        return found
    fitting = {name: _fitting(samples, run.reading) for name, samples in found.items()}
    for each in fitting.values():
        for fact in each.notes:
            reporter.note(fact)
    return fitting


def _opened(
    run: OpenedRun,
    data: DataSource | None,
    *,
    text_column: ColumnNames,
    label_column: ColumnNames,
    bad_files: BadFiles,
    quoting: Quoting | None,
) -> Splits:
    """The splits of ``data``, read as in training; ``None`` is the demo data."""
    if data is None:
        return own_demo(run)
    trained = run.training_data
    return open_data(
        data,
        kind=run.modality,
        tasks=(run.task,),
        need="evaluate",
        known_classes=run.classes,
        val_split=trained.val_split,
        test_split=trained.test_split,
        seed=trained.seed,
        text_column=text_column or trained.columns.inputs,
        label_column=label_column or trained.columns.labels,
        learned=trained.learned,
        bad_files=bad_files,
        quoting=quoting or trained.columns.quoting,
        groups=trained.groups,
    )


def _fitting(found: EvaluationSamples, reading: Reading) -> EvaluationSamples:
    """The samples without images on another scale than those of training.

    Raises:
        BadFilesError: None are left.
    """
    samples = found.samples
    misfits = reading.misfits(samples.traits) if samples.traits is not None else {}
    good = [i for i in range(len(samples)) if i not in misfits]
    if not misfits:
        return found
    findings = Findings("skip" if good else "error")
    for i, reason in misfits.items():
        findings.add(samples.input(i), reason)
    findings.check()
    first = findings.skipped[0] + (", …" if len(misfits) > 1 else "")
    words = f"{len(misfits):,} of {len(samples):,} images skipped ({first})"
    return replace(found, samples=samples.select(good), notes=(words,))
