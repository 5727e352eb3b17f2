"""Builds the starting point of training: a backbone adapted to the data, its weights, its tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from zoo.contract.network.backbone import Backbone
from zoo.contract.network.channels import require_all_channels
from zoo.contract.spec import BackboneSpec, Weights
from zoo.data.samples import Splits
from zoo.engine.heads import add_dropout, make_head, solver_of
from zoo.engine.privacy import with_private_defaults
from zoo.engine.progress import Reporter
from zoo.engine.recipe import Recipe, Solver, preset_values
from zoo.engine.surgery import apply_surgery
from zoo.engine.user_network.network import TAG, randomise, sha256_of_values
from zoo.errors import ContractError, WeightsUnavailable, first_line
from zoo.modalities import modality_of
from zoo.registry.registry import Registry
from zoo.registry.resolution import Resolved
from zoo.registry.run_record import TOKENIZER, FinishedRun, starting_run
from zoo.runs.request import Request
from zoo.runs.tokenizer_file import read_tokenizer
from zoo.system.tensors.seeds import seed_devices
from zoo.training.kept_rows import KeptRows, kept_rows, old_head
from zoo.training.opened import Opened
from zoo.training.requested_weights import for_weights, weights_name
from zoo.training.run_options import RunOptions
from zoo.weights.adapter_kinds import ADAPTERS
from zoo.weights.find_adapter import ADAPTER, find_kind
from zoo.weights.loading.build import build, check_size
from zoo.weights.loading.load import choose, fetch, file_sha256

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Start:
    """A backbone fitted to the data, and its weights.

    Attributes:
        backbone: The backbone, with the head of the weights.
        weights: The weights; ``None`` for random initialisation.
        sha256: The hash of their file.
        tokenizer: For texts, the tokenizer.
        path: The file or folder of the weights.
        run: The run that they are from, if they are from one.
    """

    backbone: Backbone
    weights: Weights | None
    sha256: str
    tokenizer: Tokenizer | None
    path: Path | None
    run: FinishedRun | None

    @property
    def origin(self) -> Mapping[str, Any] | None:
        """What the new run records about the run that training starts from."""
        return None if self.run is None else self.run.origin


@dataclass(frozen=True, kw_only=True)
class TrainingStart:
    """A backbone with its new head, after surgery, and the hyperparameters.

    Attributes:
        start: The backbone, its weights, its tokenizer.
        recipe: The requested hyperparameters, with the parameters that surgery froze.
        default: The default hyperparameters.
        kept: The rows that the new head has from the run that training starts from, if any.
    """

    start: Start
    recipe: Recipe
    default: Recipe
    kept: KeptRows | None = None

    @property
    def backbone(self) -> Backbone:
        """The backbone to train."""
        return self.start.backbone


def build_start(request: Request, opened: Opened, options: RunOptions) -> TrainingStart:
    """Fetch the weights, build the backbone for the data, add the new head, apply surgery.

    Raises:
        ZooError: As :func:`start_from`; or the head or the surgery is not valid.
    """
    splits = opened.splits
    seed_devices(request.seed)
    start = start_from(request, opened.resolved, splits, options.reporter)
    backbone = start.backbone
    head = make_head(
        opened.head, backbone.spec.feature_dim, len(splits.classes), bias=backbone.head_bias
    )
    solver = solver_of(head, opened.head)
    default = _default_recipe(request, start, opened, options.registry, solver)
    recipe = replace(request.recipe(default), metric=opened.task.metric)
    old = None if request.private else _old(start, options.registry)  # private: from zeros
    kept = kept_rows(head, splits.classes, opened.task, old, asked=request.keep_head)
    add_dropout(head, recipe.dropout)
    backbone.replace_head(head)
    own = tuple(path for path, p in backbone.net.named_parameters() if not p.requires_grad)
    frozen = (*own, *apply_surgery(backbone, request.surgery, options.surgery))
    recipe = replace(recipe, freeze=(*recipe.freeze, *frozen))
    if recipe.batch_norm == "stored":
        backbone.freeze_statistics()
    return TrainingStart(start=start, recipe=recipe, default=default, kept=kept)


def _old(start: Start, registry: Registry) -> tuple[FinishedRun, nn.Module | None] | None:
    """The run that training starts from, and its head."""
    if start.run is None or start.path is None:
        return None
    return start.run, old_head(start.backbone, start.run, start.path, registry)


def _default_recipe(
    request: Request, start: Start, opened: Opened, registry: Registry, solver: Solver
) -> Recipe:
    pretrained, spec, splits = start.weights is not None, start.backbone.spec, opened.splits
    strategy, adapters = opened.strategy, dict(ADAPTERS)
    if strategy is not None and strategy.offer.kind is ADAPTER and request.strategy:
        adapters[request.strategy] = find_kind(strategy.name, registry)
    default = Recipe.default(
        spec.modality,
        pretrained=pretrained,
        strategy=request.strategy,
        products=len(splits.train)
        * (request.overrides.get("cached_views") or 1)
        * spec.feature_dim
        * len(splits.classes),
        adapters=adapters,
        preset=request.preset,
    )
    if solver == "adamw":
        default = replace(default, head_solver=solver)
    default = with_private_defaults(default, request.overrides, len(splits.train))
    chosen = preset_values(request.preset, spec.modality, pretrained=pretrained)
    if pretrained or not splits.epochs or "epochs" in chosen:
        return default
    return replace(default, epochs=splits.epochs)


def _fetched(
    request: Request, resolved: Resolved, reporter: Reporter
) -> tuple[Weights | None, Path | None]:
    """The requested weights and their path; ``None`` for random initialisation."""
    name = weights_name(resolved, request.weights)
    if resolved.loader and name in ("auto", TAG):  # the values that a user's own network has
        return resolved.own, None
    weights = choose(resolved.spec, name)
    if weights is None:
        return None, None
    try:
        return weights, fetch(weights)
    except WeightsUnavailable as error:
        if request.data is not None:
            raise
        reporter.note(f"{error.message}: the demo trains from random initialisation instead")
        return None, None


def start_from(request: Request, resolved: Resolved, splits: Splits, reporter: Reporter) -> Start:
    """Fetch the weights and build the backbone for the data.

    Raises:
        WeightsError: The weights are not available or do not fit.
        UsageError: An image size or text length that the backbone does not accept.
        DataError: Pairs of texts, and a tokenizer without a separator.
    """
    weights, path = _fetched(request, resolved, reporter)
    modality = modality_of(resolved.spec)
    spec = modality.fitted(
        for_weights(resolved.spec, weights),
        request.of(modality.options),
        splits,
        pretrained=weights is not None or resolved.loader is not None,
    )
    tokenizer = None
    if spec.input.needs_tokenizer:
        spec, tokenizer = modality.with_tokenizer(spec, splits.train, tokenizer_beside(path))
    if resolved.run is not None and path is not None:
        check_size(spec, path)
    if resolved.loader:
        return _own_start(request, resolved, spec, weights, path, tokenizer, splits)
    backbone = build(spec, weights, path=path)
    if spec.input.tokens and tokenizer is None and backbone.tokenizer is None:
        # Random initialisation, and the published tokenizer is not available: train a new one.
        spec, tokenizer = modality.with_tokenizer(spec, splits.train, tokenizer_beside(path))
        backbone = build(spec, weights, path=path)
    if backbone.channels_note:
        _require_channels(backbone)
    tokenizer = tokenizer or backbone.tokenizer
    modality.require_fit(splits.train, tokenizer)
    sha256 = file_sha256(path) if path else ""
    return Start(
        backbone=backbone,
        weights=weights,
        sha256=sha256,
        tokenizer=tokenizer,
        path=path,
        run=starting_run(weights, sha256, resolved.run),
    )


def _own_start(
    request: Request,
    resolved: Resolved,
    spec: BackboneSpec,
    weights: Weights | None,
    path: Path | None,
    tokenizer: Tokenizer | None,
    splits: Splits,
) -> Start:
    """A user's own network, with its own values, those of a file, or random ones."""
    backbone = build(spec, weights if path else None, path=path, loader=resolved.loader)
    if request.weights == "none" and resolved.own:
        randomise(backbone)
    tokenizer = tokenizer or backbone.tokenizer
    modality_of(spec).require_fit(splits.train, tokenizer)
    sha256 = file_sha256(path) if path else sha256_of_values(backbone) if weights else ""
    return Start(
        backbone=backbone,
        weights=weights,
        sha256=sha256,
        tokenizer=tokenizer,
        path=path,
        run=None,
    )


def _require_channels(backbone: Backbone) -> None:
    """Raise a :class:`ContractError` if the network fails with its channels, or ignores one."""
    spec = backbone.spec
    modality = modality_of(spec)
    batch = dict(modality.random_batch(spec, 2, size=modality.small_size(spec)))
    pixels = batch[modality.main_input]  # (2, C, H, W)
    mode = backbone.training
    backbone.eval()
    try:
        with torch.no_grad():
            whole = backbone.features(batch)
            for channel in range(pixels.shape[1]):
                other = pixels.clone()
                other[:, channel] = other[:, channel].flip(-1) + 1
                features = backbone.features({**batch, modality.main_input: other})
                require_all_channels(whole, features, spec.name, channel + 1)
    except (RuntimeError, IndexError, ValueError) as error:
        raise ContractError(
            f"{spec.name} fails on images of {pixels.shape[1]} channels: {first_line(error)}",
            hint="Choose another backbone, such as resnet18, or use --channels 3.",
        ) from error
    finally:
        backbone.train(mode)


def tokenizer_beside(path: Path | None) -> Tokenizer | None:
    """The tokenizer of the run that ``path`` belongs to, if it belongs to one.

    Raises:
        RunError: It cannot be read.
    """
    file = path.parent / TOKENIZER if path else None
    return read_tokenizer(file) if file and file.is_file() else None
