"""Rebuild the network of a run, from code that the user passes or has named before."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from zoo.contract.network.batch import Extract
from zoo.contract.spec import BackboneSpec
from zoo.engine.user_network.code import (
    CodeSource,
    code_at,
    find_code,
    has_changed,
    is_trusted,
    source_of,
    trust,
)
from zoo.engine.user_network.network import OwnBackbone, OwnNetwork
from zoo.engine.user_network.wrapping import own_network
from zoo.errors import RunError, UsageError
from zoo.registry.run_record import damaged
from zoo.system.json_shape import NONE, Kinds, shape_flaw

_KINDS: Kinds = {"head": (str,), "stages": (dict, list, NONE), "extract": (str, NONE)}


def network_of_run(
    folder: Path, record: Mapping[str, Any], spec: BackboneSpec, given: Any = None
) -> OwnNetwork | None:
    """How to make the network of a run; ``None`` for a plugin's.

    Args:
        folder: The run folder.
        record: Its ``run.json``.
        spec: Its spec.
        given: A module, a function that returns one, ``FILE.py:NAME``, or the result of
            :func:`zoo.wrap`; or the network of the run, opened before. Code that ``run.json`` names is executed only if the user has named it
            here, or before on this machine, with the same contents.

    Raises:
        RunError: Nothing is given, and the code is not known or has changed.
        UsageError: ``given`` is not needed, or does not build a network.
    """
    known = record.get("network")
    if known is None:
        if given is not None:
            raise UsageError(
                f"the run {folder} has the backbone {spec.name}, so --network has no effect",
                hint="Leave --network out.",
            )
        return None
    if isinstance(given, OwnNetwork):
        return given
    try:
        source = CodeSource.from_json(known)
        head, stages, extract = known["head"], known["stages"], known["extract"]
        if flaw := shape_flaw(known, _KINDS):
            raise ValueError(flaw)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise damaged(folder, error) from error
    if given is None:
        if not is_trusted(source):
            raise _what_to_pass(folder, source)
        given = code_at(source)
    if isinstance(given, OwnBackbone):
        return own_network(given)
    make, found = _maker(given)
    if found is not None:
        trust(found)
        _warn_if_changed(source, found)
    own = OwnNetwork(
        make=make,
        spec=spec,
        head=head,
        stages=stages,
        extract=None,
        source=source if found is None else found,
        pretrained=record.get("weights") is not None,
    )
    return replace(own, extract=_extract(extract, given, own.source, folder)) if extract else own


def _maker(given: Any) -> tuple[Callable[[], Any], CodeSource | None]:
    if isinstance(given, str):
        given = find_code(given)
    if isinstance(given, nn.Module):
        return (lambda: copy.deepcopy(given)), None
    if not callable(given):
        raise UsageError(
            f"network= must be a module or a function that returns one, got {type(given).__name__}",
            hint="zoo.open_run(folder, network=build_net)",
        )
    return given, source_of(given)


def _extract(name: str, given: Any, source: CodeSource, folder: Path) -> Extract:
    """Return the function ``extract`` of the same file, if the user has named that too."""
    function = replace(source, name=name)
    if isinstance(given, nn.Module) or not is_trusted(function):
        raise RunError(
            f"the network of {folder} was wrapped with the function {name!r} as extract=",
            hint="Pass it again: zoo.open_run(folder, network=zoo.wrap(network, …, extract=…)).",
        )
    return code_at(function)


def _what_to_pass(folder: Path, source: CodeSource) -> RunError:
    """The error that says what to pass to open a run of a user's network."""
    made_by = source.typed if source.importable else f"{source.name!r}"
    if not source.importable:
        where = f" of {source.file}" if source.file else ""
        what = f"was given as an object of the class {source.name!r}{where}"
        if source.callable or source.module == "__main__":
            what = f"is made by {source.name!r}{where}, in a script or notebook"
        return RunError(
            f"the network of {folder} {what}, which cannot be imported again",
            hint="Pass --network FILE.py:NAME, a function that builds it; in Python also the function "
            "or the module itself.",
        )
    changed = Path(source.file).is_file() and has_changed(source)
    reason = "has changed since the run was started" if changed else "is not known on this machine"
    return RunError(
        f"the network of {folder} is made by {made_by}, which {reason}; code that a run folder names "
        "is not executed",
        hint=f"If you trust it, pass --network {source.file}:{source.name}",
    )


def _warn_if_changed(source: CodeSource, found: CodeSource) -> None:
    comparable = source.importable and source.name == found.name and found.sha256
    if comparable and found.sha256 != source.sha256:
        warnings.warn(
            f"{found.typed} differs from the code that the run was started with", stacklevel=2
        )
