"""Find the backbone and the hyperparameters for some data within a time limit."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from zoo.data.memory.source import DataSource, is_path, source_name
from zoo.data.subsample import open_subsample
from zoo.engine.device import choose_device
from zoo.engine.progress import Quiet, Reporter
from zoo.errors import RunError, Stopped, UsageError
from zoo.modalities import all_modalities, modality_named
from zoo.registry.registry import Registry
from zoo.runs.folder import claim_folder, refuse_existing
from zoo.runs.request import Request
from zoo.system.durations import in_words, is_duration, seconds_of
from zoo.tasks import tasks_for
from zoo.training.opened import Opened, open_request
from zoo.tuning.held_out import SHARE, HeldOut, estimate, held_out
from zoo.tuning.plot import write_plot
from zoo.tuning.results import Estimate, Tried, Tuning, command_of
from zoo.tuning.search import Search
from zoo.tuning.space import StartingPoint, dimensions, to_json
from zoo.tuning.starts import find_starts
from zoo.tuning.state import PLOT, STATE, SearchState, read_state, unfinished
from zoo.tuning.study import require_optuna
from zoo.tuning.trials import Trials

TIME_LIMIT = "30m"
LEAST = 10.0
"""Least time limit, in seconds: a search is several runs."""


@dataclass(frozen=True)
class TuneWatch:
    """Callbacks of a search in progress.

    Attributes:
        reporter: Gets notes and steps.
        ended: Gets each trial, and whether it is the best so far.
    """

    reporter: Reporter = field(default_factory=Quiet)
    ended: Callable[[Tried, bool], None] = lambda *_: None


def tune(
    data: DataSource = None,
    *,
    time_limit: float | str | None = None,
    backbones: Sequence[str] = (),
    trials: int | None = None,
    output: str | Path | None = None,
    resume: str | Path | None = None,
    started: float | None = None,
    registry: Registry | None = None,
    watch: TuneWatch | None = None,
    **options: Any,
) -> Tuning:
    """Search for the backbone and the hyperparameters that suit some data.

    First the head of each backbone is trained on cached features; then the best backbones are
    fine-tuned with other strategies, rates and augmentation, the usual settings first. The search
    continues if it was stopped and is repeated as it was, in the same folder.

    Args:
        data: As for :func:`zoo.finetune`.
        time_limit: Seconds, or ``"30m"``, for the whole search with its final estimate; 30 minutes
            by default. A resumed search counts the time that it has spent before.
        backbones: Names and patterns; by default whatever has weights on this machine.
        trials: Most fine-tunes.
        output: The folder; ``runs/tune-<number>`` by default.
        resume: The folder of a search to continue, with its own data and options.
        started: Start of the limit, by ``time.perf_counter()``; now by default.
        registry: The installed plugins by default.
        watch: Callbacks.
        options: Options of every fine-tune, as for :func:`zoo.finetune`; they are not searched.

    Raises:
        UsageError: An option is not valid, Optuna is not installed, or the time was too short.
        NameLookupError: A backbone is unknown.
        DataError: The data cannot be trained on, or is too small for an estimate.
        RunError: The folder is another search.
        Stopped: By a signal; the search can be resumed.
    """
    require_optuna()
    began = time.perf_counter() if started is None else started
    watch = watch or TuneWatch()
    limit = _limit(time_limit)
    _refuse_trials(trials)
    known = read_state(Path(resume)) if resume else None
    if known:
        data, backbones, given = _as_before(known, data, backbones, options)
    else:
        given = {name: value for name, value in options.items() if value is not None}
    task = _Asked(data, tuple(backbones), given, registry or Registry.discover(), watch)
    opened, held, fixed = task.opened()
    state = task.state(known, fixed, opened, output=output, limit=limit, trials=trials)
    spent = state.spent
    search = task.search(state, fixed, opened, held, lambda: spent + time.perf_counter() - began)
    try:
        if not state.finished or limit or trials:
            search.run()
    except Stopped as error:
        again = f"zoo tune --resume {shlex.quote(str(state.folder))}"
        error.hint = f"Resume with: {again}"
        raise
    except UsageError:
        if not any(each.folder for each in state.trials):
            _discard(state)
        raise
    return task.result(search, opened, held)


@dataclass(frozen=True)
class _Asked:
    """What the user asked for."""

    data: DataSource
    backbones: tuple[str, ...]
    options: Mapping[str, Any]
    registry: Registry
    watch: TuneWatch

    def opened(self) -> tuple[Opened, HeldOut, dict[str, Any]]:
        """The data, the samples for the estimate, and the options of every trial."""
        fixed = {"test_split": SHARE, **self.options}
        request = Request.from_options(next(iter(self.starts)), self.data, fixed)
        if request.folds:
            raise UsageError("--folds does not work in a search", hint="Leave --folds out.")
        opened = open_request(
            request,
            self.registry,
            None if is_path(self.data) else self.data,
            device=choose_device(request.device),
            reporter=Quiet(),
        )
        held = held_out(self.data, request, opened)
        if held.source == "test":  # the data's own
            fixed.pop("test_split")
        return opened, held, fixed

    @cached_property
    def starts(self) -> dict[str, StartingPoint]:
        """The backbones to search, by name."""
        modality = self._modality()
        found, more = find_starts(self.registry, modality, self.backbones)
        if more:
            self.watch.reporter.note(
                f"probing {len(found)} backbones; {more} more have weights here, see zoo recommend"
            )
        return {
            each.name: StartingPoint(
                each.name,
                modality,
                pretrained=each.weights is not None,
                side=modality_named(modality).side(each.resolved.spec),
            )
            for each in found
        }

    def _modality(self) -> str:
        """That of the first backbone that is named, else of the data."""
        for name in self.backbones:
            if not any(c in name for c in "*?["):
                return str(self.registry.resolve(name).spec.modality)
        names = ("text_column", "label_column", "bad_files", "quoting")
        columns = {name: self.options[name] for name in names if name in self.options}
        sample = open_subsample(
            self.data,
            samples=32,
            tasks=tasks_for(self.options.get("task", "auto")),
            kinds=all_modalities(),
            **columns,
        )
        return str(sample.kind.name)

    def state(
        self,
        known: SearchState | None,
        fixed: Mapping[str, Any],
        opened: Opened,
        *,
        output: str | Path | None,
        limit: float | None,
        trials: int | None,
    ) -> SearchState:
        """The folder of the search: that of before if it is the same, or a new one."""
        search = {
            "data": _anchored(source_name(self.data)),
            "fingerprint": opened.splits.fingerprint,
            "options": {name: _plain(value) for name, value in self.options.items()},
            "backbones": list(self.backbones),
            "space": to_json(dimensions(opened.splits.kind.name, fixed)),
            "seed": int(self.options.get("seed") or 0),
        }
        folder = Path(output) if output else None
        if known is None and folder and (folder / STATE).is_file():
            known = read_state(folder)
        elif known is None and folder is None and (found := unfinished(search)):
            known = read_state(found)
            self.watch.reporter.note(f"continuing the search in {found}")
        if known is None:
            if folder:
                refuse_existing(folder)
            folder, _ = claim_folder(folder, "tune", "search")
            known = SearchState(folder, search, seconds_of(TIME_LIMIT))
        known.require_same(search)
        known.time_limit = limit or known.time_limit
        known.max_trials = trials or known.max_trials
        known.save()
        return known

    def search(
        self,
        state: SearchState,
        fixed: Mapping[str, Any],
        opened: Opened,
        held: HeldOut,
        clock: Callable[[], float],
    ) -> Search:
        """The search, ready to run."""
        trials = Trials(
            data=self.data,
            options=fixed,
            task=opened.task,
            registry=self.registry,
            reporter=self.watch.reporter,
            clock=clock,
        )
        return Search(
            state=state,
            trials=trials,
            starts=self.starts,
            space=dimensions(opened.splits.kind.name, fixed),
            seed=int(fixed.get("seed") or 0),
            held_out=len(held.samples),
            clock=clock,
            note=self.watch.reporter.note,
            ended=self.watch.ended,
        )

    def result(self, search: Search, opened: Opened, held: HeldOut) -> Tuning:
        """The best run with its estimate, which is kept, and the plot."""
        state, (best, run) = search.state, search.best_run()
        request = Request.from_json(run.record["request"])
        key = [best.number, len(state.trials)]
        kept = state.estimate or {}
        if kept.get("of") == key:
            found = Estimate(**{name: value for name, value in kept.items() if name != "of"})
        else:
            with torch.random.fork_rng():
                found = estimate(
                    run,
                    held,
                    opened.task,
                    device=request.device,
                    workers=request.workers,
                    reporter=self.watch.reporter,
                )
            state.estimate = {**asdict(found), "of": key}
        state.finished, state.spent = True, search.clock()
        state.save()
        title = opened.task.selection.title
        try:
            write_plot(state.folder / PLOT, state.trials, title)
        except OSError as error:
            self.watch.reporter.note(f"failed to write {PLOT}: {error.strerror or error}")
        return Tuning(
            folder=state.folder,
            best_run=run,
            trials=tuple(state.trials),
            estimate=found,
            command=command_of(request),
            seconds=state.spent,
        )


def _limit(given: float | str | None) -> float | None:
    if given is None:
        return None
    if not is_duration(given) or seconds_of(given) < LEAST:
        raise UsageError(
            f"--time-limit must be a time of at least {in_words(LEAST)}, got {given}",
            hint="Examples: 90, 10m, 1h. A search trains several networks one after another.",
        )
    return seconds_of(given)


def _refuse_trials(trials: int | None) -> None:
    if trials is not None and trials < 1:
        raise UsageError(
            f"--trials must be at least 1, got {trials}", hint="Leave --trials out for no limit."
        )


def _as_before(
    known: SearchState, data: DataSource, backbones: Sequence[str], options: Mapping[str, Any]
) -> tuple[DataSource, Sequence[str], dict[str, Any]]:
    """Data, backbones and options of the search that is resumed."""
    if backbones or any(value is not None for value in options.values()):
        raise UsageError(
            "--resume does not accept other options: a search resumes with its own",
            hint="Leave them out, or start a new search.",
        )
    search = known.search
    if data is None and not os.path.exists(search["data"]) and ":" not in search["data"]:
        raise RunError(
            f"the data of the search is not at {search['data']}",
            hint="Restore it; data in memory: pass the same again.",
        )
    given = {name: tuple(v) if isinstance(v, list) else v for name, v in search["options"].items()}
    return search["data"] if data is None else data, search["backbones"], given


def _anchored(name: str) -> str:
    """An existing path made absolute; any other name as it is."""
    path = os.path.expanduser(name)
    return os.path.abspath(path) if os.path.exists(path) else name


def _plain(value: Any) -> Any:
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _discard(state: SearchState) -> None:
    """Remove the folder of a search in which nothing has been trained."""
    import shutil

    shutil.rmtree(state.folder, ignore_errors=True)
