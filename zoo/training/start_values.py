"""The values that a user's own network starts with, kept in the run folder until training ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo.contract.spec import BackboneSpec
from zoo.engine.user_network.network import TAG, OwnNetwork, sha256_of_values
from zoo.engine.user_network.reopening import network_of_run
from zoo.errors import RunError, ZooError
from zoo.registry.run_record import damaged
from zoo.runs.folder import LAST
from zoo.system.tensors.files import write_tensors
from zoo.training.start import Start

VALUES = "start.safetensors"


def keep_values(folder: Path, start: Start, network: OwnNetwork | None) -> None:
    """Keep the values, without the head's: another process cannot always make them again.

    Raises:
        OSError: They cannot be written.
    """
    path = folder / LAST / VALUES
    if network is None or start.weights is None or start.weights.tag != TAG or path.exists():
        return
    path.parent.mkdir(exist_ok=True)
    write_tensors(path, start.backbone.net.state_dict(), {"format": "pt"})


def network_to_train(folder: Path, record: Mapping[str, Any], given: Any) -> OwnNetwork | None:
    """The user's own network of a run that trains again, with the values that it started with if
    they are still there; ``None`` for a plugin's.

    Args:
        folder: The run folder.
        record: Its ``run.json``.
        given: As for :func:`zoo.engine.user_network.reopening.network_of_run`.

    Raises:
        RunError: The network has to be passed, or its code has changed.
    """
    try:
        spec = BackboneSpec.from_json(record["spec"])
    except (LookupError, TypeError, ZooError) as error:
        raise damaged(folder, error) from error
    network = network_of_run(folder, record, spec, given)
    if network is None:
        return None
    then, now = record["network"]["sha256"], network.source.sha256
    if then and now and then != now:
        raise RunError(
            f"the code of {network.source.typed} has changed since {folder} was started",
            hint="Restore it, or start a new run.",
        )
    values = folder / LAST / VALUES
    return replace(network, values=values) if values.is_file() else network


def require_same_values(
    folder: Path, record: Mapping[str, Any], network: OwnNetwork | None
) -> None:
    """Raise a :class:`RunError` if a run cannot start again from the values that it started with."""
    weights = record["weights"]
    if network is None or weights is None or weights["tag"] != TAG:
        return
    backbone = network.build(BackboneSpec.from_json(record["spec"]))
    if sha256_of_values(backbone) != weights["sha256"]:
        raise RunError(
            f"the values of {network.source.short} differ from those that {folder} started from",
            hint="Pass the module with those values: zoo.finetune(zoo.wrap(module, …), data, …) repeats "
            "the run.",
        )
