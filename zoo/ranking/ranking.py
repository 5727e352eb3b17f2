"""The ranking: one candidate after the other, until all are done or the time is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Unpack

from zoo.contract.spec import ImageInput
from zoo.data.options import DataOptions, as_flags
from zoo.data.samples import Splits
from zoo.data.subsample import open_subsample
from zoo.engine.device import choose_device
from zoo.engine.progress import Quiet, Reporter
from zoo.errors import RunError, UsageError, ZooError, first_line
from zoo.modalities import MODALITIES, modality_named
from zoo.modalities.image.not_seen import Reading
from zoo.modalities.image.traits import range_of
from zoo.ranking.candidates import Candidate, LeftOut, find_candidates
from zoo.ranking.deadline import Deadline, OutOfTime
from zoo.ranking.features import Extracted, RankingSetup, extract
from zoo.ranking.results import Ranked, Ranking, left_out_lines
from zoo.ranking.scores import logme, probe
from zoo.registry.registry import Registry
from zoo.runs.python_names import python_names
from zoo.tasks import AUTO, task_named, tasks_for

SAMPLES = 1000
TIME_LIMIT = 300.0
RESERVE = 3.0
"""Seconds before the end, at least, in which nothing is computed any more, and the results are shown."""


@dataclass(frozen=True)
class Watch:
    """Callbacks of a ranking in progress.

    Attributes:
        reporter: Gets notes and steps.
        started: Gets the name of the next backbone, its number from 1, and how many there are.
        added: Gets the ranking after each new row, and the row.
    """

    reporter: Reporter = field(default_factory=Quiet)
    started: Callable[[str, int, int], None] = lambda *_: None
    added: Callable[[Ranking, Ranked], None] = lambda *_: None


@python_names()
def recommend(
    data: str | Path,
    backbones: Sequence[str] = (),
    *,
    modality: str | None = None,
    max_params: int | None = None,
    time_limit: float | None = TIME_LIMIT,
    started: float | None = None,
    samples: int = SAMPLES,
    weights: str = "auto",
    seed: int = 0,
    task: str = AUTO,
    device: str = "auto",
    workers: int | None = None,
    registry: Registry | None = None,
    watch: Watch | None = None,
    **options: Unpack[DataOptions],
) -> Ranking:
    """Rank backbones by how well their frozen features suit some samples of the data.

    Args:
        data: A folder, a table, ``hf:<name>``; its training split counts.
        backbones: Names and patterns; by default the published runs and all short names.
        modality: Of the backbones; by default what the data are.
        max_params: Leaves out what has more parameters.
        time_limit: Seconds after which it ends with what it has; ``None`` for no limit.
        started: From when they count, by ``time.monotonic()``; from now on by default.
        samples: How many are looked at; of each class its share, and at least five.
        weights: ``auto``; ``none`` also ranks, from random parameters, what has no weights here.
        seed: Decides which samples, the folds of the probe, and random parameters.
        task: As for :func:`zoo.finetune`.
        device: As there.
        workers: As there.
        registry: What is installed by default.
        watch: Sees it grow.
        options: How the data are read.

    Raises:
        UsageError: A number or word that cannot be; or the time was not enough for one backbone.
        NameLookupError: A name that leads to no backbone.
        DataError: The data cannot be trained on.
        RunError: None of the backbones can be ranked here; the message says why.
    """
    registry, watch = registry or Registry.discover(), watch or Watch()
    deadline = Deadline(time_limit, reserve=_reserve(started), started=started)
    _refuse(samples=samples, time_limit=time_limit, weights=weights)
    place, progress = choose_device(device), _Progress()
    try:
        tasks = tasks_for(task)
        kinds = tuple(MODALITIES.values()) if modality is None else (modality_named(modality),)
        sample = open_subsample(
            data, samples=samples, tasks=tasks, kinds=kinds, seed=seed, **options
        )
        for fact in (*sample.notes, *_not_seen(sample)):
            watch.reporter.note(fact)
        candidates, left_out = find_candidates(
            registry, sample.kind.name, backbones, max_params=max_params, random=weights == "none"
        )
        progress.begin(
            _empty(sample, left_out, tuple(as_flags({**options, "task": task}))), candidates
        )
        setup = RankingSetup(
            sample=sample,
            seed=seed,
            device=place,
            workers=workers,
            registry=registry,
            reporter=watch.reporter,
            deadline=deadline,
        )
        _rank(candidates, setup, watch, progress)
    except OutOfTime:
        watch.reporter.note("the time is over")
    return replace(progress.result(time_limit), seconds=deadline.passed)


@dataclass
class _Progress:
    """How far a ranking has come, whenever it is stopped.

    Attributes:
        ranking: What there is; ``None`` until the data have been read.
        waiting: Names of candidates that are not done.
    """

    ranking: Ranking | None = None
    waiting: list[str] = field(default_factory=list)

    def begin(self, ranking: Ranking, candidates: Sequence[Candidate]) -> None:
        """The data have been read, and it is known what is to be ranked."""
        self.waiting = [one.name for one in candidates]
        self.ranking = ranking

    def done(self, ranking: Ranking) -> None:
        """The first of those that wait is done, and this is the ranking now."""
        self.ranking, self.waiting = ranking, self.waiting[1:]

    def result(self, limit: float | None) -> Ranking:
        """What the ranking has come to within the time limit.

        Raises:
            UsageError: The time was not enough for one backbone.
            RunError: There was none to rank.
        """
        if self.ranking is None or (not self.ranking.ranked and self.waiting):
            raise _too_little_time(self.waiting, limit)
        if not self.ranking.ranked:
            raise _nothing_to_rank(self.ranking)
        return replace(self.ranking, not_reached=tuple(self.waiting))


def _reserve(started: float | None) -> float:
    """More than usual where to start has taken long already: the machine is slow or busy."""
    return RESERVE if started is None else max(RESERVE, (time.monotonic() - started) / 4)


def _empty(sample: Splits, left_out: Sequence[LeftOut], options: tuple[str, ...]) -> Ranking:
    return Ranking(
        data=sample.source,
        modality=sample.kind.name,
        task=sample.task,
        classes=sample.classes,
        samples=len(sample.train),
        left_out=tuple(left_out),
        options=options,
    )


def _rank(
    candidates: Sequence[Candidate], setup: RankingSetup, watch: Watch, progress: _Progress
) -> None:
    """Give the ranking a row for each candidate that the time is enough for.

    Raises:
        OutOfTime: It was not enough for all.
    """
    for number, candidate in enumerate(candidates, start=1):
        assert progress.ranking is not None
        watch.started(candidate.name, number, len(candidates))
        try:
            row = _row(candidate, setup)
        except Exception as error:  # a plugin's or a file's fault, which takes no other with it
            reason = first_line(error, kind=not isinstance(error, ZooError))
            left_out = (*progress.ranking.left_out, LeftOut(candidate.name, reason))
            progress.done(replace(progress.ranking, left_out=left_out))
            watch.reporter.note(f"{candidate.name} is left out: {reason}")
            continue
        progress.done(progress.ranking.with_row(row))
        watch.added(progress.ranking, row)


def _row(candidate: Candidate, setup: RankingSetup) -> Ranked:
    """The candidate with its scores.

    Raises:
        OutOfTime: It was not done by the deadline.
        ZooError: It cannot be had.
    """
    found, spec = extract(candidate, setup), candidate.resolved.spec
    return Ranked(
        name=candidate.name,
        backbone=spec.name,
        weights=candidate.weights.tag if candidate.weights else "none",
        params=spec.params,
        feature_dim=spec.feature_dim,
        seconds=found.seconds,
        license=candidate.license,
        **_scores(found, setup.sample, setup),
    )


def _scores(found: Extracted, sample: Splits, setup: RankingSetup) -> dict[str, Any]:
    labels, check = sample.train.labels, setup.deadline.check
    assert labels is not None
    check()
    how = task_named(sample.task).probe
    evidence = logme(found.features, how.targets(labels))
    return {
        "probe": probe(found.features, labels, how, seed=setup.seed, check=check),
        "logme": evidence,
    }


def _not_seen(sample: Splits) -> tuple[str, ...]:
    """The scale of grey, and what no network gets to see of images; crops are each network's own."""
    traits = sample.train.traits
    if traits is None:
        return ()
    whole = ImageInput(value_range=range_of(traits), crop_mode="squash")
    return tuple(Reading(whole).with_range(traits).values())


def _refuse(*, samples: int, time_limit: float | None, weights: str) -> None:
    if samples < 10:
        raise UsageError(f"--samples {samples} is too few", hint="Give 10 or more.")
    if time_limit is not None and not time_limit > RESERVE:
        raise UsageError(
            f"--time-limit {time_limit:g} is too short",
            hint=f"Give more than {RESERVE:g} seconds; to start takes some already.",
        )
    if weights not in ("auto", "none"):
        raise UsageError(
            f"--weights {weights} is not for a ranking", hint="Give auto, or none for a baseline."
        )


def _nothing_to_rank(ranking: Ranking) -> RunError:
    """Why there is no ranking, and what to do about it."""
    kind = modality_named(ranking.modality).nouns
    reasons = "; ".join(left_out_lines(ranking)) or "no plugin has any"
    return RunError(
        f"no backbone for {kind} can be ranked here: {reasons}",
        hint="Give a run a name with 'zoo add', name a folder of save_pretrained as path:FOLDER, "
        "fetch weights with 'zoo download' where there is a network, or rank random parameters "
        "as a baseline with --weights none.",
    )


def _too_little_time(names: Sequence[str], limit: float | None) -> UsageError:
    shown = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
    what = f"one of {len(names)} backbones: {shown}" if names else "reading the data"
    return UsageError(
        f"a time limit of {limit or 0:g} s was not enough for {what}",
        hint="Give a longer --time-limit, fewer --samples, or a smaller --max-params.",
    )
