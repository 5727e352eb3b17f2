"""The ranking: one candidate after the other, until all are done or the time limit is reached."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Unpack

from zoo.contract.network.backbone import Backbone
from zoo.contract.spec import ImageInput
from zoo.data.memory.source import DataSource
from zoo.data.options import DataOptions, as_flags
from zoo.data.samples import Splits
from zoo.data.subsample import open_subsample
from zoo.engine.device import choose_device
from zoo.engine.progress import Quiet, Reporter
from zoo.engine.user_network.wrapping import named_network
from zoo.errors import RunError, UsageError, ZooError, first_line
from zoo.modalities import all_modalities, modality_named
from zoo.modalities.image.not_seen import Reading
from zoo.modalities.image.traits import TRAITS, range_of
from zoo.ranking.candidates import Candidate, LeftOut, find_candidates
from zoo.ranking.deadline import Deadline, OutOfTime
from zoo.ranking.features import Extracted, RankingSetup, extract
from zoo.ranking.results import Ranked, Ranking, left_out_lines
from zoo.ranking.scores import logme, probe
from zoo.registry.registry import Registry
from zoo.registry.resolution import Resolved
from zoo.tasks import AUTO, task_named, tasks_for

SAMPLES = 1000
TIME_LIMIT = 300.0
RESERVE = 3.0
"""Least number of seconds of the limit that are kept for printing the results."""


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


def recommend(
    data: DataSource,
    backbones: Sequence[str | Backbone] = (),
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
        data: As for :func:`zoo.finetune`; its training split is used.
        backbones: Names and patterns, and your own networks as for :func:`zoo.finetune`; by default
            the registered runs, all short names, and whatever has weights on this machine.
        modality: Modality of the backbones; by default that of the data.
        max_params: Maximum number of parameters.
        time_limit: Seconds after which the ranking so far is returned; ``None`` for no limit.
        started: Start of the limit, by ``time.monotonic()``; now by default.
        samples: Number of samples, stratified, at least five per class.
        weights: ``auto``; ``none`` also ranks backbones without available weights, from random
            initialisation.
        seed: Random seed of the samples, the folds and random initialisation.
        task: As for :func:`zoo.finetune`.
        device: As for :func:`zoo.finetune`.
        workers: As for :func:`zoo.finetune`.
        registry: The installed plugins by default.
        watch: Callbacks.
        options: Options for reading the data.

    Raises:
        UsageError: An option is not valid, or the time limit was too short for one backbone.
        NameLookupError: A name is unknown.
        DataError: The data cannot be trained on.
        RunError: No backbone can be ranked; the message gives the reasons.
    """
    registry, watch = registry or Registry.discover(), watch or Watch()
    deadline = Deadline(time_limit, reserve=_reserve(started), started=started)
    _refuse(samples=samples, time_limit=time_limit, weights=weights)
    names, own = _own_networks(backbones)
    place, progress = choose_device(device), _Progress()
    try:
        setup = RankingSetup(
            sample=_sample(data, modality, task, options, samples=samples, seed=seed),
            seed=seed,
            device=place,
            workers=workers,
            registry=registry,
            reporter=watch.reporter,
            deadline=deadline,
        )
        _note(setup.sample, watch.reporter)
        candidates, left_out = find_candidates(
            registry,
            setup.sample.kind.name,
            names,
            max_params=max_params,
            random=weights == "none",
            own=own,
        )
        flags = tuple(as_flags({**options, "task": task}))
        progress.begin(_empty(setup.sample, left_out, flags), candidates)
        _rank(candidates, setup, watch, progress)
    except OutOfTime:
        watch.reporter.note("time limit reached")
    return replace(progress.result(time_limit), seconds=deadline.passed)


def _sample(
    data: DataSource,
    modality: str | None,
    task: str,
    options: DataOptions,
    *,
    samples: int,
    seed: int,
) -> Splits:
    """Some samples of the training split."""
    kinds = all_modalities() if modality is None else (modality_named(modality),)
    return open_subsample(
        data, samples=samples, tasks=tasks_for(task), kinds=kinds, seed=seed, **options
    )


def _note(sample: Splits, reporter: Reporter) -> None:
    for fact in (*sample.notes, *_not_seen(sample)):
        reporter.note(fact)


@dataclass
class _Progress:
    """Progress of a ranking, whenever it is stopped.

    Attributes:
        ranking: The ranking so far; ``None`` until the data has been read.
        waiting: Names of the remaining candidates.
    """

    ranking: Ranking | None = None
    waiting: list[str] = field(default_factory=list)

    def begin(self, ranking: Ranking, candidates: Sequence[Candidate]) -> None:
        """The data has been read and the candidates are known."""
        self.waiting = [one.name for one in candidates]
        self.ranking = ranking

    def done(self, ranking: Ranking) -> None:
        """The next candidate is done; update the ranking."""
        self.ranking, self.waiting = ranking, self.waiting[1:]

    def result(self, limit: float | None) -> Ranking:
        """The ranking within the time limit.

        Raises:
            UsageError: The time limit was too short for one backbone.
            RunError: There was nothing to rank.
        """
        if self.ranking is None or (not self.ranking.ranked and self.waiting):
            raise _too_little_time(self.waiting, limit)
        if not self.ranking.ranked:
            raise _nothing_to_rank(self.ranking)
        return replace(self.ranking, not_reached=tuple(self.waiting))


def _own_networks(backbones: Sequence[Any]) -> tuple[list[str], dict[str, Resolved]]:
    """The names of backbones, and those of them that are the user's own networks."""
    names, own = list[str](), dict[str, Resolved]()
    for given in backbones:
        name, network = named_network(given)
        if network is not None and isinstance(given, str):
            name = given  # as it is typed
            own[name] = network.resolved()
        elif network is not None:
            same = sum(each.spec.name == name for each in own.values())
            name = f"{name} ({same + 1})" if same else name
            own[name] = network.resolved()
        names.append(name)
    return names, own


def _reserve(started: float | None) -> float:
    """More than usual if the start took long: the machine is slow or busy."""
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
    """Add a row for each candidate until the time limit.

    Raises:
        OutOfTime: The time limit was reached.
    """
    for number, candidate in enumerate(candidates, start=1):
        assert progress.ranking is not None
        watch.started(candidate.name, number, len(candidates))
        try:
            row = _row(candidate, setup)
        except Exception as error:  # of a plugin or a file: the others are still ranked
            reason = first_line(error, kind=not isinstance(error, ZooError))
            left_out = (*progress.ranking.left_out, LeftOut(candidate.name, reason))
            progress.done(replace(progress.ranking, left_out=left_out))
            watch.reporter.note(f"{candidate.name} left out: {reason}")
            continue
        progress.done(progress.ranking.with_row(row))
        watch.added(progress.ranking, row)


def _row(candidate: Candidate, setup: RankingSetup) -> Ranked:
    """The candidate with its scores.

    Raises:
        OutOfTime: The time limit was reached.
        ZooError: It cannot be built.
    """
    found, spec = extract(candidate, setup), candidate.resolved.spec
    return Ranked(
        name=candidate.name,
        backbone=spec.name,
        weights=candidate.weights.tag if candidate.weights else "none",
        params=spec.params,
        feature_dim=found.features.shape[1],
        seconds=found.seconds,
        license=candidate.license,
        **_scores(found, setup.sample, setup),
    )


def _scores(found: Extracted, sample: Splits, setup: RankingSetup) -> dict[str, Any]:
    labels, check = sample.train.labels, setup.deadline.check
    assert labels is not None
    check()
    how = task_named(sample.task).probe
    evidence, draws = logme(found.features, how.targets(labels)), list[float]()
    return {
        "probe": probe(found.features, labels, how, seed=setup.seed, check=check, draws=draws),
        "logme": evidence,
        "draws": tuple(draws),
    }


def _not_seen(sample: Splits) -> tuple[str, ...]:
    """Facts on the value range of images and what no network sees; crops depend on the network."""
    traits = sample.train.traits
    if traits is None or traits.dtype != TRAITS:
        return ()
    whole = ImageInput(value_range=range_of(traits), crop_mode="squash")
    return tuple(Reading(whole).with_range(traits).values())


def _refuse(*, samples: int, time_limit: float | None, weights: str) -> None:
    if samples < 10:
        raise UsageError(
            f"--samples must be at least 10, got {samples}", hint="Use --samples 1000."
        )
    if time_limit is not None and not time_limit > RESERVE:
        raise UsageError(
            f"--time-limit must be greater than {RESERVE:g} seconds, got {time_limit:g}",
            hint="Use --time-limit 60 or more.",
        )
    if weights not in ("auto", "none"):
        raise UsageError(
            f"--weights must be auto or none in a ranking, got {weights}",
            hint="none ranks backbones without weights too, as a baseline.",
        )


def _nothing_to_rank(ranking: Ranking) -> RunError:
    """Why there is no ranking, and what to do about it."""
    kind = modality_named(ranking.modality).nouns
    reasons = "; ".join(left_out_lines(ranking)) or "no plugin has one"
    return RunError(
        f"no backbone for {kind} can be ranked: {reasons}",
        hint="Register a run with 'zoo add', pass a folder of save_pretrained as path:FOLDER, "
        "download weights with 'zoo download', or use --weights none to rank random "
        "initialisations as a baseline.",
    )


def _too_little_time(names: Sequence[str], limit: float | None) -> UsageError:
    shown = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
    what = f"one of {len(names)} backbones: {shown}" if names else "reading the data"
    return UsageError(
        f"the time limit of {limit or 0:g} s was too short for {what}",
        hint="Increase --time-limit, or reduce --samples or --max-params.",
    )
