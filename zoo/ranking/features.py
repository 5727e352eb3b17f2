"""Features of a candidate's frozen backbone: computed once, then read from the cache.

The cache key is made from the weights file, spec, sample and versions, not from the built network
as in :mod:`zoo.engine.features`, so a second ranking builds no network.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.data.samples import Splits
from zoo.engine.extraction import CUT, cut_beside, fill_features
from zoo.engine.feature_files import facts_beside
from zoo.engine.features import backbone_key, compute
from zoo.engine.forward import EXACT, Forward
from zoo.engine.loader_factory import LoaderFactory
from zoo.engine.progress import Reporter
from zoo.errors import ContractError, WeightsUnavailable
from zoo.modalities import modality_of
from zoo.modalities.text.fitting import at_usual_length
from zoo.ranking.candidates import Candidate
from zoo.ranking.deadline import Deadline, OutOfTime
from zoo.registry.registry import Registry
from zoo.registry.run_record import TOKENIZER
from zoo.runs.request import Request
from zoo.system.files import sha256_of
from zoo.system.paths import cache_folder
from zoo.system.tensors.seeds import seed_devices
from zoo.training.start import Start, start_from
from zoo.version import __version__
from zoo.weights.loading.load import fetch, file_sha256

Features = NDArray[np.float32]

_TIME = "milliseconds"  # among the facts of the features


@dataclass(frozen=True, kw_only=True)
class RankingSetup:
    """The data and settings of a ranking.

    Attributes:
        sample: The data; its ``train`` split is used.
        seed: Random seed.
        device: Where features are computed.
        workers: Number of data-loading processes; ``None`` to choose for the machine.
        registry: Names and plugins.
        reporter: Gets notes and steps.
        deadline: Time limit.
    """

    sample: Splits
    seed: int
    device: torch.device
    workers: int | None
    registry: Registry
    reporter: Reporter
    deadline: Deadline


@dataclass(frozen=True)
class Extracted:
    """Features of a candidate.

    Attributes:
        features: ``(N, feature_dim)``.
        seconds: Seconds per 1,000 samples on this machine, preprocessing included; ``None`` if
            unknown, for cached features.
    """

    features: Features
    seconds: float | None


def extract(candidate: Candidate, setup: RankingSetup) -> Extracted:
    """The candidate's features of the sample.

    Raises:
        ZooError: Its weights are not available, or its plugin failed.
        OutOfTime: The time limit was reached.
    """
    path = _weights(candidate, setup)
    spec, count = candidate.resolved.spec, len(setup.sample.train)
    start = None if spec.feature_dim else _start(candidate, setup)  # only the network knows it
    facts: dict[str, str | int] = {
        "backbone": spec.name,
        "precision": EXACT,
        "data": setup.sample.source,
        "split": f"{count} drawn with seed {setup.seed}",
        "samples": count,
    }
    features = compute(
        cache_folder() / "features",
        key=[*_key(candidate, setup, path), "features"],
        shape=(count, start.backbone.spec.feature_dim if start else spec.feature_dim),
        dtype=np.float32,
        fill=lambda array: facts.update(_fill(array, start or _start(candidate, setup), setup)),
        facts=facts,
        reporter=setup.reporter,
    )
    if cut := cut_beside(features):
        note = modality_of(spec).truncation_note(
            cut, count, at_usual_length(spec), command="zoo finetune"
        )
        setup.reporter.note(f"{spec.name}: {note}")
    if not np.isfinite(features).all():
        raise ContractError(
            f"{spec.name} returns features that are not finite",
            hint=f"This is a bug of its plugin or weights: see 'zoo check {spec.name}'.",
        )
    spent = facts.get(_TIME) or _kept_time(features)
    return Extracted(features, spent / count if isinstance(spent, int) else None)


def _fill(array: Features, start: Start, setup: RankingSetup) -> dict[str, int]:
    """Compute the features; facts to keep beside them."""
    setup.deadline.check()  # a large network takes a while to build
    forward = Forward(start.backbone, device=setup.device, precision=EXACT)
    loaders = LoaderFactory(
        spec=start.backbone.spec, tokenizer=start.tokenizer, workers=setup.workers
    )
    samples, reporter, check = setup.sample.train, setup.reporter, setup.deadline.check
    began = time.monotonic()
    with setup.deadline.watched(start.backbone.net):
        cut = fill_features(array, samples, loaders, forward, reporter, check)
    return {CUT: cut, _TIME: max(1, round(1000 * (time.monotonic() - began)))}


def _start(candidate: Candidate, setup: RankingSetup) -> Start:
    """The start of a fine-tune on the sample."""
    request = Request(
        backbone=candidate.name,
        data=setup.sample.source,
        weights="auto" if candidate.weights else "none",
        overrides={"seed": setup.seed},
    )
    with torch.random.fork_rng():
        seed_devices(setup.seed)
        return start_from(request, candidate.resolved, setup.sample, setup.reporter)


def _weights(candidate: Candidate, setup: RankingSetup) -> Path | None:
    """The weights file, downloaded if necessary; ``None`` for random initialisation."""
    setup.deadline.check()
    if candidate.weights is None or candidate.resolved.loader:
        return None
    if not candidate.cached:
        download_weights(candidate.name, setup)
    return fetch(candidate.weights)


def download_weights(name: str, setup: RankingSetup) -> None:
    """Run 'zoo download' in a process that can be stopped; the next one resumes it."""
    setup.reporter.note(f"{name}: downloading its weights")
    limit = None if setup.deadline.left == float("inf") else setup.deadline.left
    command = [sys.executable, "-m", "zoo", "download", name, "--json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired as error:
        raise OutOfTime from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["'zoo download' failed"])[0]
        raise WeightsUnavailable(
            reason.removeprefix(f"Error: {name}: "), hint=f"'zoo download {name}' says more."
        )


def _key(candidate: Candidate, setup: RankingSetup, weights: Path | None) -> Iterator[str]:
    spec = candidate.resolved.spec
    versions = {plugin.name: plugin.version for plugin in setup.registry.plugins()}
    yield "what a ranking sees"
    yield from (__version__, torch.__version__, versions.get(spec.plugin, ""))
    yield from (EXACT, setup.device.type, setup.sample.train.fingerprint)
    yield json.dumps([spec.to_json(), candidate.weights and candidate.weights.tag], sort_keys=True)
    yield f"seed {setup.seed}" if weights is None else file_sha256(weights)
    if candidate.resolved.loader:  # a user's own network
        yield backbone_key(_start(candidate, setup).backbone, EXACT)
    yield from _beside(weights)


def _beside(weights: Path | None) -> Iterator[str]:
    """Hashes of files beside the weights: tokenizer, configuration."""
    if weights is None:
        return
    files: list[Path] = [weights.parent / TOKENIZER]
    if weights.is_dir():
        files = sorted(p for p in weights.iterdir() if p.suffix in (".json", ".txt", ".model"))
    yield from (sha256_of(file) for file in files if file.is_file())


def _kept_time(features: Any) -> int | None:
    """Milliseconds that the cached features took to compute."""
    path = getattr(features, "filename", None)
    kept = facts_beside(Path(path)).get(_TIME) if path else None
    return kept if isinstance(kept, int) else None
