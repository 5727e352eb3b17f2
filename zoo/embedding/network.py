"""The network whose features are written: a run's fine-tuned backbone, or one of the catalogue."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zoo.contract.network.backbone import Backbone
from zoo.contract.spec import BackboneSpec
from zoo.data.rows import Rows
from zoo.data.samples import Splits
from zoo.engine.forward import Forward
from zoo.engine.loader_factory import LoaderFactory
from zoo.engine.precision import choose_precision
from zoo.engine.progress import Reporter
from zoo.engine.user_network.code import is_typed
from zoo.engine.user_network.wrapping import named_network
from zoo.errors import UsageError
from zoo.registry.registry import Registry
from zoo.registry.resolution import Resolved
from zoo.registry.run_record import LOCK_FILE
from zoo.runs.request import OPTIONS, Request
from zoo.runs.run import Run
from zoo.system.tensors.seeds import seed_devices
from zoo.training.start import start_from
from zoo.weights.find import choose


@dataclass(frozen=True)
class Network:
    """A loaded backbone, and the preparation of its inputs.

    Attributes:
        forward: Computes its features.
        loaders: Prepares its inputs.
        run: The run folder, or ``None``.
    """

    forward: Forward
    loaders: LoaderFactory
    run: Path | None

    @property
    def spec(self) -> BackboneSpec:
        """Of the backbone."""
        return self.forward.backbone.spec


def run_of(given: Any, registry: Registry, own: Mapping[str, Any]) -> Run | None:
    """The run, opened, by its folder or by its name from ``zoo add``; ``None`` for a backbone."""
    if isinstance(given, Run):
        _refuse_options(own)
        return given
    if not isinstance(given, str | Path) or is_typed(given):
        return None
    folder = Path(os.path.expanduser(given))
    if not os.path.isfile(folder / LOCK_FILE):
        resolved = registry.resolve(str(given))
        if resolved.run is None or own["weights"] != "auto":
            return None
        folder = resolved.run.folder
    _refuse_options(own)
    return Run(folder, registry=registry)


def _refuse_options(own: Mapping[str, Any]) -> None:
    """Refuse options of a backbone that has not been fine-tuned."""
    for option, value in own.items():
        if value not in ("auto", None):
            typed = OPTIONS[option].typed
            raise UsageError(
                f"{typed} has no effect on a run, which has its own", hint=f"Leave {typed} out."
            )


def resolved_backbone(given: Any, registry: Registry) -> Resolved:
    """A name, resolved, or a user's own network.

    Raises:
        ZooError: The name is unknown, or the network cannot be wrapped.
    """
    name, network = named_network(str(given) if isinstance(given, Path) else given)
    return network.resolved() if network else registry.resolve(name)


@dataclass(frozen=True)
class Computing:
    """Where and how features are computed.

    Attributes:
        device: Of the network.
        workers: Number of data-loading processes; ``None`` to choose it.
        precision: ``fp32``, ``bf16``, ``fp16`` or ``auto``.
        reporter: Gets notes and steps.
    """

    device: torch.device
    workers: int | None
    precision: str
    reporter: Reporter

    def forward(self, backbone: Backbone) -> Forward:
        """Move ``backbone`` to the device, and choose the precision."""
        backbone.to(self.device)
        precision = choose_precision(
            self.precision, backbone, self.device, self.reporter, trains=False
        )
        return Forward(backbone, device=self.device, precision=precision)


def network_of_run(run: Run, computing: Computing) -> Network:
    """The fine-tuned backbone of a run."""
    forward = computing.forward(run.load())
    loaders = LoaderFactory(spec=run.spec, tokenizer=run.tokenizer, workers=computing.workers)
    return Network(forward, loaders, run.folder)


def network_of_backbone(
    request: Request, resolved: Resolved, rows: Rows, computing: Computing
) -> Network:
    """A backbone as at the start of a fine-tune.

    Raises:
        UsageError: It has no weights, or an option has no effect on it.
    """
    name = request.backbone
    request.refuse_for(resolved.spec)
    wanted = resolved.weights if request.weights == "auto" else request.weights
    known = resolved.own if resolved.loader and wanted == "auto" else choose(resolved.spec, wanted)
    if wanted != "none" and known is None:
        raise UsageError(
            f"{name} has no published weights: its features would be random",
            hint="Use --weights PATH, or --weights none for random features.",
        )
    with torch.random.fork_rng():
        seed_devices(0)
        training = _as_training(rows, request.data or "")
        start = start_from(request, resolved, training, computing.reporter)
    backbone = start.backbone
    loaders = LoaderFactory(
        spec=backbone.spec, tokenizer=start.tokenizer, workers=computing.workers
    )
    return Network(computing.forward(backbone), loaders, None)


def _as_training(rows: Rows, source: str) -> Splits:
    """The first split, to train a tokenizer on if the backbone has none."""
    first = next(iter(rows.splits.values()))
    return Splits(
        kind=first.kind,
        classes=rows.classes,
        train=first,
        val=None,
        test=None,
        fingerprint=first.fingerprint,
        source=source,
        task=rows.task or "",
    )
