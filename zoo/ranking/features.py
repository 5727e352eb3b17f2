"""What a candidate's frozen backbone makes of the sample: computed once, then read from the cache.

The key is of what the features come from (weights file, spec, sample, versions), not of the built
network as in :mod:`zoo.engine.features`, so that a second ranking builds no network at all.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from zoo.contract.spec import BackboneSpec
from zoo.data import Splits
from zoo.data.text import cut_in_words
from zoo.engine.extraction import CUT, cut_beside, fill_features
from zoo.engine.feature_files import facts_beside
from zoo.engine.features import compute
from zoo.engine.feed import Feed
from zoo.engine.forward import Forward
from zoo.engine.progress import Reporter
from zoo.errors import ContractError, WeightsUnavailable
from zoo.ranking.candidates import Candidate
from zoo.ranking.deadline import Deadline, OutOfTime
from zoo.registry.registry import Registry
from zoo.registry.run_record import TOKENIZER
from zoo.runs.request import Request
from zoo.runs.run import Run
from zoo.system.files import sha256_of
from zoo.system.paths import cache_folder
from zoo.training.start import Start, at_usual_length, start_from
from zoo.version import __version__
from zoo.weights.load import fetch, file_sha256

Features = NDArray[np.float32]

_PRECISION = "fp32"
"""In bfloat16 the features of a sample depend on the others of its batch, and so would the order."""

_TIME = "milliseconds"  # among the facts of the features


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What candidates are compared on, and how.

    Attributes:
        sample: Its ``train`` split is what they see.
        seed: Of random parameters, and of whatever else is random.
        device: Where they compute.
        workers: Processes that prepare pictures; ``None`` for what fits the machine.
        registry: Names and plugins.
        reporter: Sees the steps.
        deadline: When to stop.
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
    """What came of a candidate.

    Attributes:
        features: ``(N, feature_dim)``.
        chances: ``(N, classes)``, what a published head gives its classes; ``None`` without one.
        seconds: What a thousand samples take on this machine, preparing them included; ``None``
            where the features are from another time and that was not kept.
    """

    features: Features
    chances: Features | None
    seconds: float | None


def extract(candidate: Candidate, setting: Setting) -> Extracted:
    """The candidate's features of the sample, and the chances of its published head's classes.

    Raises:
        ZooError: Its weights cannot be had, or its plugin is at fault.
        OutOfTime: It was not done by the deadline.
    """
    path = _weights(candidate, setting)
    work = _Work(candidate, setting)
    name, count = candidate.resolved.spec.name, len(setting.sample.train)
    key = list(_key(candidate, setting, path))
    facts: dict[str, str | int] = {
        "backbone": name,
        "precision": _PRECISION,
        "data": setting.sample.source,
        "split": f"{count} drawn with seed {setting.seed}",
        "samples": count,
    }

    def fill(array: Features) -> None:
        facts[CUT] = work.fill(array)
        facts[_TIME] = work.milliseconds

    folder = cache_folder() / "features"
    features = compute(
        folder,
        key=[*key, "features"],
        shape=(count, candidate.resolved.spec.feature_dim),
        dtype=np.float32,
        fill=fill,
        facts=facts,
        reporter=setting.reporter,
    )
    if cut := cut_beside(features):
        setting.reporter.note(f"{name}: {_cut_in_words(cut, count, candidate.resolved.spec)}")
    if not np.isfinite(features).all():
        raise ContractError(f"{name} gives features that are not finite")
    chances = None
    if classes := _published_classes(candidate):
        with suppress(_NoSuchHead):
            chances = compute(
                folder,
                key=[*key, "chances"],
                shape=(count, classes),
                dtype=np.float32,
                fill=lambda array: work.fill_chances(array, features),
                facts={**facts, "split": f"{facts['split']}, its classes"},
                reporter=setting.reporter,
            )
    spent = work.milliseconds or _kept_time(features)
    return Extracted(features, chances, spent and spent / count)


def _cut_in_words(cut: int, count: int, spec: BackboneSpec) -> str:
    return cut_in_words(cut, count, at_usual_length(spec).text_input, command="zoo finetune")


class _NoSuchHead(Exception):
    """The loaded network has no head of the published width."""


class _Work:
    """Builds the candidate when it is first needed, which mostly it is not.

    Attributes:
        milliseconds: What its features took once it was built; 0 as long as nothing was computed.
    """

    def __init__(self, candidate: Candidate, setting: Setting) -> None:
        self._candidate, self._setting = candidate, setting
        self.milliseconds = 0

    @cached_property
    def start(self) -> Start:
        """As a fine-tune on the sample would start."""
        candidate, setting = self._candidate, self._setting
        request = Request(
            backbone=candidate.name,
            data=setting.sample.source,
            weights="auto" if candidate.weights else "none",
            wishes={"seed": setting.seed},
        )
        with torch.random.fork_rng():
            torch.manual_seed(setting.seed)
            return start_from(request, candidate.resolved, setting.sample, setting.reporter)

    def fill(self, array: Features) -> int:
        """Compute the features, and tell how many texts were cut for that."""
        setting, start = self._setting, self.start
        forward = Forward(start.backbone, device=setting.device, precision=_PRECISION)
        feed = Feed(spec=start.backbone.spec, tokenizer=start.tokenizer, workers=setting.workers)
        began, check = time.monotonic(), setting.deadline.check
        with setting.deadline.watched(start.backbone.net):
            reporter = setting.reporter
            cut = fill_features(array, setting.sample.train, feed, forward, reporter, check)
        self.milliseconds = max(1, round(1000 * (time.monotonic() - began)))
        return cut

    @torch.inference_mode()
    def fill_chances(self, array: Features, features: Features) -> None:
        """What the published head makes of the features."""
        head = self._head().eval()
        for start in range(0, len(features), 256):
            rows = torch.from_numpy(np.array(features[start : start + 256]))
            chances = head(rows).float().softmax(dim=1)
            if chances.shape[1] != array.shape[1]:
                raise _NoSuchHead
            array[start : start + 256] = chances.numpy()

    def _head(self) -> nn.Module:
        run = self._candidate.resolved.run
        if run is not None:
            return Run(run.folder, registry=self._setting.registry).load().head
        if self.start.backbone.head_flaw:
            raise _NoSuchHead
        return self.start.backbone.head.cpu()


def _published_classes(candidate: Candidate) -> int:
    """How many classes the published head tells apart; 0 where there is none, or it does not."""
    if candidate.weights is None:
        return 0
    run = candidate.resolved.run
    task = (run.record.get("task") or {"name": "single-label"})["name"] if run else "single-label"
    return candidate.weights.classes if task == "single-label" else 0


def _weights(candidate: Candidate, setting: Setting) -> Path | None:
    """The weights on this machine, fetched first where they are not; ``None`` for random ones."""
    setting.deadline.check()
    if candidate.weights is None:
        return None
    if not candidate.here:
        _download(candidate.name, setting)
    return fetch(candidate.weights)


def _download(name: str, setting: Setting) -> None:
    """'zoo download' in a process of its own, which can be ended; the next one goes on from there."""
    setting.reporter.note(f"{name}: downloading its weights")
    limit = None if setting.deadline.left == float("inf") else setting.deadline.left
    command = [sys.executable, "-m", "zoo", "download", name, "--json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired as error:
        raise OutOfTime from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["'zoo download' failed"])[0]
        raise WeightsUnavailable(reason.removeprefix(f"Error: {name}: "))


def _key(candidate: Candidate, setting: Setting, weights: Path | None) -> Iterator[str]:
    spec = candidate.resolved.spec
    versions = {plugin.name: plugin.version for plugin in setting.registry.plugins()}
    yield "what a ranking sees"
    yield from (__version__, torch.__version__, versions.get(spec.plugin, ""))
    yield from (_PRECISION, setting.device.type, setting.sample.train.fingerprint)
    yield json.dumps([spec.to_json(), candidate.weights and candidate.weights.tag], sort_keys=True)
    yield f"seed {setting.seed}" if weights is None else file_sha256(weights)
    yield from _beside(weights)


def _beside(weights: Path | None) -> Iterator[str]:
    """Of what lies beside the weights and counts too: a tokenizer, a configuration."""
    if weights is None:
        return
    files: list[Path] = [weights.parent / TOKENIZER]
    if weights.is_dir():
        files = sorted(p for p in weights.iterdir() if p.suffix in (".json", ".txt", ".model"))
    yield from (sha256_of(file) for file in files if file.is_file())


def _kept_time(features: Any) -> int | None:
    """The milliseconds that features from the cache took when they were computed."""
    path = getattr(features, "filename", None)
    kept = facts_beside(Path(path)).get(_TIME) if path else None
    return kept if isinstance(kept, int) else None
