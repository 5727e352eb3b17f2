"""Opening several run folders, of which some may be of the user's own networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zoo.engine.user_network.wrapping import NetworkLike
from zoo.errors import UsageError
from zoo.runs.run import Run


def open_runs(folders: Sequence[str | Path], *, networks: Sequence[NetworkLike] = ()) -> list[Run]:
    """Open run folders, as :func:`zoo.open_run` opens one.

    Args:
        folders: Run folders, or names from ``zoo add``.
        networks: Your own networks, or functions that build them. One is for all runs of such a
            network; of several, each is for the runs that were trained with a function of its name.

    Raises:
        RunError: A run cannot be opened.
        UsageError: A network does not belong to any of the runs.
    """
    runs = [Run(folder) for folder in folders]
    code_names = {
        run.folder: _name_of_code(run) for run in runs if run.record.get("network") is not None
    }
    given = {_name(network): network for network in networks}
    for name in given:
        if not code_names or (len(given) > 1 and name not in code_names.values()):
            known = ", ".join(sorted({*code_names.values()})) or "those of plugins"
            raise UsageError(
                f"none of the runs was trained with the network {name!r}; their networks: {known}",
                hint="Name the function that a run was trained with, or none.",
            )
    everywhere = networks[0] if len(given) == 1 else None
    return [
        Run(run.folder, network=given.get(code_names[run.folder], everywhere))
        if run.folder in code_names
        else run
        for run in runs
    ]


def _name_of_code(run: Run) -> str:
    return str(run.record["network"].get("name", ""))


def _name(network: NetworkLike) -> str:
    if isinstance(network, str):
        return network.rpartition(":")[2]
    return getattr(network, "__qualname__", type(network).__qualname__)
