"""Optuna's part of a search: the journal, the sampler, and pruning by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import RunError, UsageError, first_line

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

_NAME = "zoo tune"
REDUCTION = 2
"""After 1, 2, 4, … epochs, so many times fewer trials continue (asynchronous successive halving, Li et
al. 2020, arXiv:1810.05934)."""


def require_optuna() -> None:
    """Raise a :class:`UsageError` if Optuna is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise UsageError(
            "zoo tune needs Optuna, which is not installed",
            hint="pip install 'zoo-finetune[tune]'",
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def open_study(journal: Path, *, seed: int, done: int) -> Study:
    """The study of a journal, which is created if it is missing.

    Args:
        journal: Its file.
        seed: Seed of the sampler.
        done: Trials so far, so that a resumed search does not draw the same values again.

    Raises:
        RunError: It cannot be read or written.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    try:
        return optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(journal))),
            study_name=_NAME,
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.TPESampler(seed=seed + 1000 * done, n_startup_trials=8),
            pruner=optuna.pruners.SuccessiveHalvingPruner(
                min_resource=1, reduction_factor=REDUCTION
            ),
        )
    except (OSError, ValueError, KeyError) as error:
        raise RunError(
            f"failed to open {journal}: {first_line(error)}",
            hint="Start a new search in another folder.",
        ) from error


def begin(study: Study, points: Sequence[Mapping[str, Any]]) -> None:
    """Have the first trials of a new study at these points; repeat the interrupted ones of an old.

    A trial that was running when the process ended has failed, and its values are tried again.
    """
    from optuna.trial import TrialState

    for each in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        repeat(study, each)
    if not study.get_trials(deepcopy=False):
        for point in points:
            study.enqueue_trial(dict(point))


def repeat(study: Study, trial: Trial | FrozenTrial) -> None:
    """End an interrupted trial, and have its values tried again."""
    from optuna.trial import TrialState

    params = dict(trial.params)
    study.tell(trial.number, state=TrialState.FAIL)
    study.enqueue_trial(params)


def end(study: Study, trial: Trial, score: float | None, *, pruned: bool) -> None:
    """Record the score of a trial; without one it has failed or was pruned."""
    from optuna.trial import TrialState

    if score is not None and not pruned:
        study.tell(trial, score)
    else:
        study.tell(trial, state=TrialState.PRUNED if pruned else TrialState.FAIL)
