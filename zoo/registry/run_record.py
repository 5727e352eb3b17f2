"""What a run folder says of itself in ``run.json``, read without torch.

A finished run is a backbone for others: its network, its input and its weights are all stated
there. The catalogue, ``zoo add`` and ``--weights RUN`` read it through :func:`read_run`.
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

from zoo.contract.spec import BackboneSpec, Weights
from zoo.errors import RunError, ZooError
from zoo.system.files import sha256_of
from zoo.system.json_shape import NONE, Kinds, shape_flaw
from zoo.system.small_files import read_small

FORMAT = 1
LOCK_FILE, MODEL, TOKENIZER = "run.json", "model.safetensors", "tokenizer.json"

_WHOLE = "Give another run, or put the file back from a copy of the run."


@dataclass(frozen=True)
class FinishedRun:
    """A run that others can start from; see :func:`read_run`.

    Attributes:
        folder: The run folder, absolute.
        name: Under which ``registry.toml`` publishes it; empty where it was given by its folder.
        record: What ``run.json`` holds.
        spec: Of its backbone, with the input that it was trained on, and its own weights as the
            only ones.
    """

    folder: Path
    name: str
    record: Mapping[str, Any]
    spec: BackboneSpec

    @property
    def weights(self) -> Weights:
        """The run's own weights; their tag is the run's name, or ``run``."""
        return self.spec.weights[0]

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names that it was trained on."""
        return tuple(self.record["classes"])

    @property
    def data(self) -> str:
        """What it was trained on, as the user gave it."""
        return str(self.record["data"]["source"])

    @cached_property
    def origin(self) -> dict[str, Any]:
        """What a run that starts from this one records about it, its own origin included."""
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
        """Compare the weights with the sha256 that ``run.json`` records.

        Raises:
            RunError: They differ, or the file cannot be read.
        """
        file = self.folder / MODEL
        try:
            found = sha256_of(file)
        except OSError as error:
            raise RunError(f"{file} cannot be read: {error.strerror or error}") from error
        if found != self.weights.sha256:
            raise RunError(
                f"{file} is not what the run wrote: its sha256 begins with {found[:12]}, and "
                f"{LOCK_FILE} has {self.weights.sha256[:12]}",
                hint=f"Put the run's own file back. 'zoo finetune … --weights {file}' takes the "
                "file as it is.",
            )


def read_run(folder: Path, *, name: str = "") -> FinishedRun:
    """The finished run in ``folder``. Its weights are there, and have not been read.

    Args:
        folder: What ``zoo finetune`` wrote.
        name: Under which ``registry.toml`` publishes it.

    Raises:
        RunError: It is not a run folder, is damaged, or lacks a file that a start from it needs.
    """
    folder = Path(os.path.abspath(os.path.expanduser(folder)))
    record = read_record(folder)
    try:
        spec = BackboneSpec.from_json(record["spec"])
        spec = replace(spec, params=record["params"], weights=(_weights(folder, name, record),))
        run = FinishedRun(folder, name, record, spec)
        lineage({"weights": None, "origin": run.origin})  # reads what else others need of it
    except (LookupError, TypeError, ValueError, AttributeError, ZooError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else f"is damaged: {error}"
        raise RunError(f"{folder / LOCK_FILE} {reason}") from error
    if record["surgery"]:
        raise RunError(
            f"the network in {folder} was changed by {record['surgery']!r}, and nothing else can "
            "start from it",
            hint="Publish the changed network as a plugin's backbone: docs/plugins.md.",
        )
    for file in (MODEL, *([TOKENIZER] if spec.input.needs_tokenizer else [])):
        if not (folder / file).is_file():
            raise RunError(f"{folder} has no {file}")
    return run


def _weights(folder: Path, name: str, record: Mapping[str, Any]) -> Weights:
    digits, classes = record["sha256"], record["classes"]
    if not isinstance(classes, list):
        raise ValueError(f"classes of {classes!r}")
    if not isinstance(digits, str) or len(digits) != 64:
        raise ValueError(f"a sha256 of {digits!r}")
    return Weights(
        tag=name or "run",
        uri=str(folder / MODEL),
        sha256=digits,
        license=str((record["weights"] or {}).get("license") or ""),
        metrics=_metrics(record["results"]["metrics"]),
        default=True,
        classes=len(classes),
    )


def _metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that tell how good a run is: accuracy in percent, as publishers state it.

    Where a run is not evaluated by that, all its metrics but the loss, in their own units.
    """
    if "accuracy" in metrics and "map" not in metrics:
        return {"validation/accuracy": round(100 * float(metrics["accuracy"]), 2)}
    return {f"validation/{key}": float(metrics[key]) for key in metrics if key != "loss"}


def origin_of(
    weights: Weights | None, sha256: str, published: FinishedRun | None
) -> dict[str, Any] | None:
    """Which run training starts from, as ``run.json`` records it; ``None`` for any other start.

    Args:
        weights: What training starts from.
        sha256: Of their file.
        published: The run that was asked for by its name, if one was.
    """
    if weights is None:
        return None
    if published is not None and published.weights.uri == weights.uri:
        return published.origin
    file = Path(weights.uri)
    if file.name != MODEL or not (file.parent / LOCK_FILE).is_file():
        return None
    with suppress(RunError):  # weights are what was asked for, and they need no run around them
        run = read_run(file.parent)
        if run.weights.sha256 == sha256:
            return run.origin
    return None


def lineage(record: Mapping[str, Any]) -> str:
    """What a run started from, in a line: the runs it goes back to, and the weights before them.

    Args:
        record: What its ``run.json`` holds.
    """
    steps = []
    while origin := record["origin"]:
        name = origin["name"] or origin["run"]
        steps.append(f"{name} ({origin['backbone']}, trained on {origin['data']})")
        record = origin
    weights = record["weights"]
    steps.append(f"the weights {weights['tag']}" if weights else "random parameters")
    return ", which started from ".join(steps)


def read_record(folder: Path, *, finished: bool | None = True) -> dict[str, Any]:
    """What ``run.json`` of ``folder`` holds.

    Args:
        folder: A run folder.
        finished: Whether the run must be finished, or else one that training has not finished;
            ``None`` for either.

    Raises:
        RunError: There is none, it is not a lock file of a run, or it is of the other kind.
    """
    path = folder / LOCK_FILE
    try:
        record: dict[str, Any] = json.loads(read_small(path))
    except (FileNotFoundError, NotADirectoryError) as error:
        what = f"has no {LOCK_FILE}" if os.path.exists(folder) else "does not exist"
        raise RunError(
            f"{folder} {what}, so it is not a run folder",
            hint="Give the folder that 'zoo finetune' named at its end, e.g. runs/resnet18-1.",
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(f"{path} cannot be read: {reason}", hint=_WHOLE) from error
    if flaw := shape_flaw(record, _KINDS) or _not_names(record["classes"]):
        raise RunError(f"{path} is not the lock file of a run: {flaw}", hint=_WHOLE)
    if record["format"] > FORMAT:
        raise RunError(
            f"{path} was written by a later zoo (format {record['format']})",
            hint="Upgrade zoo: pip install -U zoo-finetune",
        )
    if finished and not record["finished"]:
        raise RunError(
            f"the run {folder} is not finished", hint=f"Go on: zoo finetune --resume {folder}"
        )
    if finished is False and record["finished"]:
        raise RunError(
            f"the run {folder} is finished; there is nothing to resume",
            hint=f"Use it: zoo predict {folder} INPUT. Train on from it: --weights {folder}",
        )
    if finished is False and (flaw := shape_flaw(record, _KINDS_TO_RESUME)):
        raise RunError(f"{path} is not that of a run to resume: {flaw}", hint=_WHOLE)
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
"""What the record of every run has, of one that was sent to the Hub too."""

_KINDS_TO_RESUME: Kinds = {
    "request": (dict,),
    "compile": (str,),
    "plugins": (dict,),
    "machine": (dict,),
    "surgery_sha256": (str, NONE),
    "track": (str, NONE),
}


def _not_names(classes: list[Any]) -> str:
    names = all(isinstance(name, str) for name in classes)
    return "" if names else "its classes must be a list of strings"
