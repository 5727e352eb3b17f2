"""The search itself: probes of the backbones, then fine-tunes of the best of them until time is up."""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from zoo.engine.time_limit import MARGIN
from zoo.errors import RunError, Stopped, UsageError
from zoo.runs.run import Run
from zoo.system.durations import in_words
from zoo.tuning.results import FINISHED, PRUNED, Tried, best_of
from zoo.tuning.space import Dimension, StartingPoint, suggested, usual
from zoo.tuning.state import JOURNAL, SearchState
from zoo.tuning.study import begin, end, open_study, repeat
from zoo.tuning.trials import Trials

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna import Study, Trial

PROBES = 1 / 3
"""Share of the time limit that the probes may take."""

SHORTLIST = 3
"""How many backbones are fine-tuned."""

KEPT = 3
"""How many of the best trials keep their run folders."""

WORTH = 0.6
"""A trial is begun if so much of the time that one of its backbone has taken is left."""

ENDING = 3.0
"""Seconds that a trial needs beside its training."""

RESERVE = 0.05
"""Share of the time limit that is kept for the estimate, at least; more if the network is slow."""


@dataclass
class Search:
    """A search in progress.

    Attributes:
        state: What has been done; saved after each trial.
        trials: Runs a trial.
        starts: The backbones, the most promising first.
        space: What is searched.
        seed: Random seed of the sampler.
        held_out: Number of samples of the final estimate.
        clock: Seconds of the search so far, without interruptions.
        note: Told what is left out, and which backbones are searched.
        ended: Called after each trial, with whether it is the best so far.
    """

    state: SearchState
    trials: Trials
    starts: Mapping[str, StartingPoint]
    space: Sequence[Dimension]
    seed: int
    held_out: int
    clock: Callable[[], float]
    note: Callable[[str], None]
    ended: Callable[[Tried, bool], None]

    @property
    def left(self) -> float:
        """Seconds left for trials, so that the estimate ends within the limit."""
        slowest = max((each.inference for each in self.state.trials), default=0.0)
        limit = self.state.time_limit
        reserve = max(RESERVE * limit, ENDING + MARGIN * slowest * self.held_out)
        return limit - reserve - self.clock()

    def run(self) -> None:
        """Probe, then fine-tune until the time or the trials are used up.

        Raises:
            Stopped: By a signal; the search can be resumed.
            UsageError: The time was too short for a single run.
        """
        try:
            if not self.state.shortlist:
                self._probe()
            self._search()
        except KeyboardInterrupt as error:  # between two trials
            raise Stopped("Stopped.", hint="", signal=2) from error
        finally:
            self._save()

    # -- probes --------------------------------------------------------------------------------

    def _probe(self) -> None:
        """Train the heads of all backbones on their cached features; the best are searched."""
        done = {each.backbone for each in self.state.trials if each.probe}
        for position, name in enumerate(self.starts):
            if name in done:
                continue
            left = PROBES * self.state.time_limit - self.clock()
            if not best_of(self.state.trials):
                left = self.left  # without any there is no result
            elif left <= 0:
                self.note(f"no time to probe {', '.join(list(self.starts)[position:])}")
                break
            self._run(name, {}, title=f"probe {name}", probe=True, limit=left)
            done.add(name)
        probed = best_of([each for each in self.state.trials if each.probe])
        if not probed:
            notes = [f"{each.backbone}: {each.note}" for each in self.state.trials]
            raise UsageError(
                f"no backbone could be probed within {in_words(self.state.time_limit)}: "
                + "; ".join(notes),
                hint="Use a longer --time-limit, or name smaller backbones with --backbones.",
            )
        self.state.shortlist = [each.backbone for each in probed[:SHORTLIST]]
        self._save()
        if len(self.starts) > 1:
            self.note(f"searching with {', '.join(self.state.shortlist)}")

    # -- fine-tunes ----------------------------------------------------------------------------

    def _search(self) -> None:
        searched = sum(not each.probe for each in self.state.trials)
        study = open_study(self.state.folder / JOURNAL, seed=self.seed, done=searched)
        begin(study, [usual(self.starts[self.state.shortlist[0]], self.space)])
        while self.state.max_trials is None or searched < self.state.max_trials:
            if not self._worth_beginning():
                break
            self._fine_tune(study)
            searched += 1

    def _worth_beginning(self) -> bool:
        """Whether another trial can end in the time left, to judge by the trials before."""
        full = [each.seconds for each in self.state.trials if _whole(each)]
        short = [each for each in self.state.trials[-3:] if not each.probe and not each.epochs]
        if len(short) == 3:  # each failed, or was over before its first epoch
            return False
        return self.left > (WORTH * statistics.median(full) if full else 0.0) + ENDING

    def _fine_tune(self, study: Study) -> None:
        trial = study.ask()
        name = trial.suggest_categorical("backbone", list(self.state.shortlist))
        start = self.starts[name]
        fixed = self.trials.options.get("strategy")
        options = suggested(trial, start, self.space, fixed)
        try:
            tried = self._run(
                name,
                options,
                title=f"trial {len(self.state.trials) + 1}",
                limit=self.left,
                judge=partial(_pruned, trial),
            )
        except Stopped:
            repeat(study, trial)
            raise
        end(study, trial, tried.score, pruned=tried.state == PRUNED)

    def _run(self, name: str, options: Mapping[str, Any], **how: Any) -> Tried:
        number = len(self.state.trials) + 1
        folder = self.state.run_folder(number)
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
        tried = self.trials.run(number, name, options, folder, **how)
        before = best_of(self.state.trials)
        self.state.trials.append(tried)
        self._remove_worse()
        self._save()
        best = tried.state == FINISHED and best_of(self.state.trials)[0].number == tried.number
        self.ended(tried, best and (not before or before[0].number != tried.number))
        return tried

    def _remove_worse(self) -> None:
        """Keep the run folders of the best trials alone."""
        kept = {each.number for each in best_of(self.state.trials)[:KEPT]}
        for position, each in enumerate(self.state.trials):
            if each.folder and each.number not in kept:
                shutil.rmtree(each.folder, ignore_errors=True)
                self.state.trials[position] = replace(each, folder=None)

    def _save(self) -> None:
        self.state.spent = self.clock()
        self.state.save()

    def best_run(self) -> tuple[Tried, Run]:
        """The best trial, and its run.

        Raises:
            RunError: It has been removed.
        """
        best = best_of(self.state.trials)[0]
        if best.folder is None or not os.path.isdir(best.folder):
            raise RunError(
                f"the run of trial {best.number} in {self.state.folder} is missing",
                hint="Start a new search in another folder.",
            )
        return best, Run(best.folder, registry=self.trials.registry)


def _whole(tried: Tried) -> bool:
    return not tried.probe and tried.state == FINISHED and tried.epochs > 0


def _pruned(trial: Trial, epochs: int, score: float) -> bool:
    trial.report(score, epochs)
    return trial.should_prune()
