"""Trackers of experiments, through Accelerate: a known one, and one that starts."""

from __future__ import annotations

from pathlib import Path

from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

from zoo.engine.recipe import Recipe
from zoo.errors import UsageError, did_you_mean, first_line


def refuse_tracker(name: str | None) -> None:
    """Raise a :class:`UsageError` for a tracker that Accelerate would leave out silently."""
    if name is None or name in {str(getattr(t, "value", t)) for t in get_available_trackers()}:
        return
    if name in LOGGER_TYPE_TO_CLASS:
        raise UsageError(f"--track {name} is not installed", hint=f"pip install {name}")
    guess = did_you_mean(name, LOGGER_TYPE_TO_CLASS)
    raise UsageError(
        f"there is no tracker called {name!r}.{guess}",
        hint=f"There are: {', '.join(sorted(LOGGER_TYPE_TO_CLASS))}.",
    )


def start_tracker(accelerator: Accelerator, name: str, folder: Path, recipe: Recipe) -> None:
    """Begin to track the run in ``folder``, which it is called after; the recipe goes with it.

    TensorBoard's events lie in ``tracking/`` of the folder. Other trackers keep a run where they
    keep all of them, under the project ``zoo``.

    Raises:
        UsageError: The tracker does not start.
    """
    accelerator.project_configuration.logging_dir = str(folder)
    config = {
        key: value if isinstance(value, bool | int | float) else str(value)
        for key, value in recipe.to_json().items()
    }
    try:
        accelerator.init_trackers(
            "tracking" if name == "tensorboard" else "zoo",
            config=config,
            init_kwargs={"wandb": {"name": folder.name}, "mlflow": {"run_name": folder.name}},
        )
    except Exception as error:  # whatever a tracker's library raises, the user's set-up is at fault
        raise UsageError(
            f"--track {name} does not start: {first_line(error)}",
            hint=f"Set {name} up as its documentation says, or leave --track out.",
        ) from error
