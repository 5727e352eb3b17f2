"""Read ``run.json`` of a run folder, without torch.

A finished run can be used as a pretrained model: ``run.json`` describes its network, input and
weights. The catalogue, ``zoo add`` and ``--weights RUN`` read it with :func:`read_run`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from zoo.contract.modalities import registered
from zoo.contract.spec import BackboneSpec, Weights
from zoo.errors import RunError, ZooError, first_line
from zoo.registry.adapter_record import ADAPTER_FILE, MODEL, adapter_of, weights_file
from zoo.registry.requirements import install, requirements_flaw
from zoo.system.files import sha256_of
from zoo.system.json_shape import NONE, Kinds, shape_flaw
from zoo.system.small_files import read_small

FORMAT = 1
LOCK_FILE, TOKENIZER = "run.json", "tokenizer.json"

_RESTORE = "Use another run, or restore the file from a copy of the run."


@dataclass(frozen=True)
class FinishedRun:
    """A finished run, usable as a pretrained model; see :func:`read_run`.

    Attributes:
        folder: The run folder, absolute.
        name: Its name in ``registry.toml``; empty if it was given by its folder.
        record: Content of ``run.json``.
        spec: Its backbone, with the input used in training and the run's weights only.
    """

    folder: Path
    name: str
    record: Mapping[str, Any]
    spec: BackboneSpec

    @property
    def weights(self) -> Weights:
        """The run's weights; their tag is the run's name, or ``run``."""
        return self.spec.weights[0]

    @property
    def classes(self) -> tuple[str, ...]:
        """Its class names."""
        return tuple(self.record["classes"])

    @property
    def data(self) -> str:
        """The training data, as given by the user."""
        return str(self.record["data"]["source"])

    @cached_property
    def origin(self) -> dict[str, Any]:
        """What a run that starts from this one records about it, including its own origin."""
        return {
            "name": self.name or None,
            "run": str(self.folder),
            "backbone": self.spec.name,
            "sha256": self.weights.sha256,
            "data": self.data,
            "weights": self.record["weights"],
            "origin": self.record["origin"],
        }

    def check_weights(self) -> None:
        """Check the weights against the sha256 in ``run.json``.

        Raises:
            RunError: They differ, or the file cannot be read.
        """
        file = weights_file(self.folder, self.record)
        try:
            found = sha256_of(file)
        except OSError as error:
            raise RunError(
                f"{file} cannot be read: {error.strerror or error}",
                hint=_RESTORE,
            ) from error
        if found != self.weights.sha256:
            raise RunError(
                f"{file} has changed since the run: its sha256 starts with {found[:12]}, in "
                f"{LOCK_FILE} with {self.weights.sha256[:12]}",
                hint="Restore the original file. To use this one anyway: zoo finetune … --weights "
                f"{file}",
            )


def require_modality(folder: Path, record: Mapping[str, Any]) -> None:
    """Check that the modality of a run is registered, before its spec is read.

    Args:
        folder: The run folder.
        record: Its ``run.json``.

    Raises:
        RunError: It is a name that neither zoo nor a discovered plugin has.
    """
    spec = record.get("spec")
    name = spec.get("modality") if isinstance(spec, Mapping) else None
    if not isinstance(name, str) or name in registered():
        return  # what is not a name is damage, which the reader of the spec reports
    needed = {} if requirements_flaw(plugins := record.get("plugins", {})) else plugins
    by = [entry for entry in needed.values() if f"modality {name!r}" in entry["opening"]]
    raise RunError(
        f"the run {folder} takes inputs of the modality {name!r}, which no active plugin provides",
        hint=f"{install(by[0])}. If it is disabled, enable it: 'zoo plugins' shows the status."
        if by
        else f"Install the plugin of {record.get('backbone')}; 'zoo plugins' lists the installed ones.",
    )


def read_run(folder: Path, *, name: str = "") -> FinishedRun:
    """Read a finished run. The weights must exist, and are not read.

    Args:
        folder: The run folder.
        name: Its name in ``registry.toml``.

    Raises:
        RunError: It is not a run folder, is damaged, or a file is missing.
    """
    folder = Path(os.path.abspath(os.path.expanduser(folder)))
    record = read_record(folder)
    require_modality(folder, record)
    try:
        spec = BackboneSpec.from_json(record["spec"])
        spec = replace(spec, params=record["params"], weights=(_weights(folder, name, record),))
        run = FinishedRun(folder, name, record, spec)
        adapter_of(record)
        lineage({"weights": None, "origin": run.origin})  # checks the other values that are needed
    except (LookupError, TypeError, ValueError, AttributeError, ZooError) as error:
        raise damaged(folder, error) from error
    if record.get("ensemble"):
        raise RunError(
            f"the run {folder} is an ensemble, which cannot be used as a pretrained model",
            hint=f"Use one of its members, such as {folder / 'members' / '1'}.",
        )
    if record["surgery"]:
        raise RunError(
            f"the run {folder} cannot be used as a pretrained model: its network was changed by "
            f"{record['surgery']!r}",
            hint="Publish the changed network as a plugin's backbone: docs/plugins.md.",
        )
    for file in (
        weights_file(folder, record).name,
        *([TOKENIZER] if spec.input.needs_tokenizer else []),
    ):
        if not (folder / file).is_file():
            raise RunError(f"{folder} has no {file}", hint=_RESTORE)
    return run


def _weights(folder: Path, name: str, record: Mapping[str, Any]) -> Weights:
    digits, classes = record["sha256"], record["classes"]
    if not isinstance(classes, list):
        raise ValueError(f"'classes' must be a list, got {classes!r}")
    if not isinstance(digits, str) or len(digits) != 64:
        raise ValueError(f"'sha256' must have 64 digits, got {digits!r}")
    return Weights(
        tag=name or "run",
        uri=str(weights_file(folder, record)),
        sha256=digits,
        license=str((record["weights"] or {}).get("license") or ""),
        metrics=_metrics(record["results"]["metrics"]),
        default=True,
        classes=len(classes),
    )


def _metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the validation metrics: accuracy in percent, as for published weights.

    For runs without accuracy, all metrics but the loss.
    """
    if "accuracy" in metrics and "map" not in metrics:
        return {"validation/accuracy": round(100 * float(metrics["accuracy"]), 2)}
    known = {key: value for key, value in metrics.items() if value is not None and key != "loss"}
    return {f"validation/{key}": float(value) for key, value in known.items()}


def starting_run(
    weights: Weights | None, sha256: str, published: FinishedRun | None
) -> FinishedRun | None:
    """Return the run that training starts from; ``None`` if there is none.

    Args:
        weights: The weights that training starts from.
        sha256: Hash of their file.
        published: The run, if it was given by its name.
    """
    if weights is None:
        return None
    if published is not None and published.weights.uri == weights.uri:
        return published
    file = Path(weights.uri)
    if file.name not in (MODEL, ADAPTER_FILE) or not (file.parent / LOCK_FILE).is_file():
        return None
    with suppress(RunError):  # weights need not belong to a run
        run = read_run(file.parent)
        if run.weights.sha256 == sha256:
            return run
    return None


def lineage(record: Mapping[str, Any]) -> str:
    """Describe in one line the runs and weights that a run started from.

    Args:
        record: Content of its ``run.json``.
    """
    steps = []
    while origin := record["origin"]:
        name = origin["name"] or os.path.basename(origin["run"].rstrip("/\\"))
        steps.append(f"{name} ({origin['backbone']}, trained on {origin['data']})")
        record = origin
    weights = record["weights"]
    steps.append(f"the weights {weights['tag']}" if weights else "random initialisation")
    return ", which started from ".join(steps)


def damaged(folder: Path, error: Exception) -> RunError:
    """The error for a ``run.json`` that lacks a key, or has a value of another kind."""
    reason = (
        f"has no {error}" if isinstance(error, KeyError) else f"is damaged: {first_line(error)}"
    )
    return RunError(f"{folder / LOCK_FILE} {reason}", hint=_RESTORE)


def read_record(folder: Path, *, finished: bool | None = True) -> dict[str, Any]:
    """Read ``run.json`` of a run folder.

    Args:
        folder: A run folder.
        finished: Whether the run must be finished, or must be unfinished; ``None`` for either.

    Raises:
        RunError: There is none, it is not valid, or the run is of the other kind.
    """
    path = folder / LOCK_FILE
    try:
        record: dict[str, Any] = json.loads(read_small(path))
    except (FileNotFoundError, NotADirectoryError) as error:
        missing = f"no {LOCK_FILE}" if os.path.exists(folder) else "does not exist"
        raise RunError(
            f"{folder} is not a run folder: {missing}",
            hint="Use a folder written by 'zoo finetune', e.g. runs/resnet18-1.",
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(f"{path} cannot be read: {reason}", hint=_RESTORE) from error
    if flaw := shape_flaw(record, _KINDS) or _class_names_flaw(record["classes"]):
        raise RunError(f"{path} is not valid: {flaw}", hint=_RESTORE)
    if flaw := requirements_flaw(record.get("plugins", {})):
        raise RunError(f"{path} is not valid: {flaw}", hint=_RESTORE)
    if record["format"] > FORMAT:
        raise RunError(
            f"{path} was written by a newer version of zoo (format {record['format']})",
            hint="Upgrade zoo: pip install -U zoo-finetune",
        )
    if finished and not record["finished"]:
        raise RunError(
            f"the run {folder} is not finished", hint=f"Resume it: zoo finetune --resume {folder}"
        )
    if finished is False and record["finished"]:
        raise RunError(
            f"the run {folder} is already finished",
            hint=f"To predict: zoo predict {folder} INPUT. To train further, use --weights {folder}",
        )
    if finished is False and (flaw := shape_flaw(record, _KINDS_TO_RESUME)):
        raise RunError(f"{path} is not valid for resuming: {flaw}", hint=_RESTORE)
    return record


_KINDS: Kinds = {
    "format": (int,),
    "finished": (bool,),
    "backbone": (str,),
    "spec": (dict,),
    "params": (int,),
    "weights": (dict, NONE),
    "origin": (dict, NONE),
    "surgery": (str, NONE),
    "classes": (list,),
    "task": (dict,),
    "head": (str,),
    "recipe": (dict,),
    "precision": (str,),
    "device": (str,),
    "data": (dict,),
    "versions": (dict,),
}
"""Required in every record, including those on the Hub."""

_KINDS_TO_RESUME: Kinds = {
    "request": (dict,),
    "compile": (str,),
    "plugins": (dict,),
    "machine": (dict,),
    "surgery_sha256": (str, NONE),
    "track": (str, NONE),
}


def _class_names_flaw(classes: list[Any]) -> str:
    names = all(isinstance(name, str) for name in classes)
    return "" if names else "'classes' must be a list of strings"
