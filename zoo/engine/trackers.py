"""Experiment trackers, through Accelerate."""

from __future__ import annotations

from pathlib import Path

from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

from zoo.engine.recipe import Recipe
from zoo.errors import UsageError, did_you_mean, first_line


def refuse_tracker(name: str | None) -> None:
    """Raise a :class:`UsageError` for a tracker that Accelerate would silently ignore."""
    if name is None or name in {str(getattr(t, "value", t)) for t in get_available_trackers()}:
        return
    if name in LOGGER_TYPE_TO_CLASS:
        raise UsageError(f"--track {name} is not installed", hint=f"pip install {name}")
    guess = did_you_mean(name, LOGGER_TYPE_TO_CLASS)
    raise UsageError(
        f"no tracker is called {name!r}.{guess}",
        hint=f"Trackers: {', '.join(sorted(LOGGER_TYPE_TO_CLASS))}.",
    )


def start_tracker(accelerator: Accelerator, name: str, folder: Path, recipe: Recipe) -> None:
    """Start tracking the run in ``folder``, under the folder's name and with the recipe.

    TensorBoard writes to ``tracking/`` in the folder. Other trackers use their own place, with the
    project ``zoo``.

    Raises:
        UsageError: The tracker failed to start.
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
    except Exception as error:  # whatever a tracker's library raises
        raise UsageError(
            f"failed to start --track {name}: {first_line(error)}",
            hint=f"Configure {name} as its documentation says, or remove --track.",
        ) from error
