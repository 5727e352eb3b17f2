"""Where a phase's batches come from: the dataloader, or cached features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.data.loader import Loader
from zoo.engine import features as feature_cache
from zoo.engine.extraction import extraction_batch, fill_from
from zoo.engine.forward import head_logits
from zoo.engine.mixing import Mixer
from zoo.engine.resident import on_device
from zoo.engine.training_setup import PooledLoaders, TrainingSetup

Inputs = Mapping[str, Tensor] | Tensor


@dataclass(frozen=True)
class Step:
    """The samples of one step.

    Attributes:
        inputs: Those of this process: a batch, or features ``(b, feature_dim)``.
        labels: Those of this process: ``(b,)`` or ``(b, outputs)``.
        samples: Number of samples over all processes.
        indices: Indices of this process's training samples: ``(b,)``.
    """

    inputs: Inputs
    labels: Tensor
    samples: int
    indices: Tensor


class Source(Protocol):
    """The batches of a phase.

    Attributes:
        trained: Module called on the inputs of a step; returns ``(b, outputs)``.
        compilable: Whether compiling that module can pay off.
        steps: Steps per epoch.
    """

    trained: nn.Module
    compilable: bool
    steps: int

    def epoch(self, epoch: int, start: int) -> Iterator[Step]:
        """The steps of an epoch from ``start`` on; they depend only on the two numbers."""

    def place(self, step: Step, number: int) -> tuple[Inputs, Tensor]:
        """Inputs and targets on the device; ``number`` seeds what is random about them."""

    def validate(self) -> Tensor:
        """The validation split's logits: ``(M, outputs)``, on the CPU."""


class Batches:
    """Augmented batches for the whole backbone."""

    compilable = True

    def __init__(self, setup: TrainingSetup) -> None:
        self._setup = setup
        self._train, self._val = setup.dataloaders.train, setup.dataloaders.val
        self.trained: nn.Module = setup.forward.backbone
        self.steps = len(self._train)
        recipe = setup.recipe
        mixes = recipe.mixup or recipe.cutmix
        outputs = setup.outputs
        self._mixer = Mixer(recipe.mixup, recipe.cutmix, outputs, recipe.seed) if mixes else None

    def epoch(self, epoch: int, start: int) -> Iterator[Step]:
        """Shuffled and augmented as ``epoch`` says."""
        self._train.set_epoch(epoch, start=start)
        for batch, samples in self._train.steps():
            yield Step(batch, batch["labels"], samples, batch["index"])

    def place(self, step: Step, number: int) -> tuple[Inputs, Tensor]:
        """On the device, with MixUp and CutMix if the recipe has them."""
        assert isinstance(step.inputs, Mapping)
        placed = self._setup.forward.place(step.inputs)
        targets = self._setup.task.targets(placed["labels"])
        if self._mixer and "pixel_values" in placed:
            pixels, targets = self._mixer(placed["pixel_values"], targets, number)
            placed["pixel_values"] = pixels
        return placed, targets

    def validate(self) -> Tensor:
        """By a forward pass of the whole network."""
        return self._predict(self._setup.forward.backbone.features)

    def _predict(self, features: Callable[[Mapping[str, Tensor]], Tensor]) -> Tensor:
        setup = self._setup
        return setup.forward.predict(
            self._val,
            count=len(setup.dataloaders.val_labels),
            reporter=setup.reporter,
            accelerator=setup.accelerator,
            features=features,
            title="validate",
        )


class Features:
    """Cached features for the head, on the device if they fit; the frozen backbone runs once."""

    compilable = False

    def __init__(self, setup: TrainingSetup) -> None:
        dataloaders, recipe = setup.dataloaders, setup.recipe
        self._setup = setup
        self._batch: int | None = None  # measured when features are first computed
        self._count = len(dataloaders.train_labels)
        device = setup.forward.device
        if pool := dataloaders.pool:
            views = [each[pool.train] for each in self._of_pool(pool)]
            val = self._plain_pool(pool, exact=True)[pool.val]
        else:
            views = [
                self._cached(split, loader, self._count) for split, loader in training_views(setup)
            ]
            # Exact, so that a later evaluation agrees to the bit.
            val = self._cached("val", dataloaders.val, len(dataloaders.val_labels), exact=True)
        self._views = [on_device(view, device) for view in views]
        self._val = on_device(val, device)
        self._labels = torch.from_numpy(dataloaders.train_labels)
        # In the batches of the validation split, for the same reason.
        self._partition = dataloaders.val.order.epoch_batches()
        self.trained = setup.forward.backbone.head
        self.steps = -(-self._count // recipe.probe_batch_size)

    def epoch(self, epoch: int, start: int) -> Iterator[Step]:
        """Shuffled as ``epoch`` says; the views take turns."""
        recipe, accelerator = self._setup.recipe, self._setup.accelerator
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + epoch)
        order = torch.randperm(self._count, generator=generator)
        for chosen in torch.split(order, recipe.probe_batch_size)[start:]:
            local = chosen[accelerator.process_index :: accelerator.num_processes]
            rows, labels = self.rows(epoch, local)
            yield Step(rows, labels, len(chosen), local)

    @property
    def count(self) -> int:
        """Number of training samples."""
        return self._count

    @property
    def held_out(self) -> Tensor:
        """The features of the validation split: ``(M, feature_dim)``."""
        return self._val

    def rows(self, epoch: int, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The features and labels of the samples at ``chosen``, in the view of an epoch."""
        train = self._views[epoch % len(self._views)]
        return train[chosen.to(train.device, non_blocking=True)], self._labels[chosen]

    def everything(self) -> Step:
        """All samples in all views as one step; the features of a single one stay memory-mapped."""
        views = self._views
        rows = views[0] if len(views) == 1 else torch.cat(views)
        labels = torch.cat([self._labels] * len(views))
        return Step(rows, labels, len(labels), torch.arange(self._count).repeat(len(views)))

    def place(self, step: Step, number: int) -> tuple[Inputs, Tensor]:  # noqa: ARG002 - nothing random
        """On the device."""
        assert isinstance(step.inputs, Tensor)
        placed = self._setup.forward.place({"rows": step.inputs, "labels": step.labels})
        return placed["rows"], self._setup.task.targets(placed["labels"])

    @torch.inference_mode()
    def validate(self) -> Tensor:
        """By the head alone."""
        forward = self._setup.forward
        forward.backbone.eval()
        places = [torch.from_numpy(chosen).to(self._val.device) for chosen in self._partition]
        parts = [{"rows": self._val[chosen]} for chosen in places]
        gathered = torch.cat(
            [head_logits(forward.backbone, forward.place(part)["rows"]) for part in parts]
        )
        logits = torch.empty(gathered.shape)
        logits[torch.from_numpy(np.concatenate(self._partition))] = gathered.cpu()
        return logits

    def _of_pool(self, pool: PooledLoaders) -> Iterator[NDArray[np.float32]]:
        """The features of all samples of a cross-validation, view by view."""
        if not self._setup.recipe.cached_views:
            yield self._plain_pool(pool)
        variation = self._setup.dataloaders.variation
        for number in range(self._setup.recipe.cached_views):
            make = partial(pool.view, number)
            yield self._cached(f"all, view {number} ({variation})", make, pool.count, pool.key)

    def _plain_pool(self, pool: PooledLoaders, *, exact: bool = False) -> NDArray[np.float32]:
        return self._cached("all", pool.plain_train, pool.count, pool.key, exact=exact)

    def _cached(
        self,
        split: str,
        loader: Loader | Callable[[], Loader],
        count: int,
        key: str = "",
        *,
        exact: bool = False,
    ) -> NDArray[np.float32]:
        setup = self._setup
        forward = setup.forward
        precision = forward.precision_of(exact=exact)
        compiled = forward.compiler is not None and not exact
        weights = feature_cache.backbone_key(forward.backbone, precision, compiled=compiled)
        facts = {**feature_cache.facts_of(setup, split, count), "precision": precision}

        def fill(array: NDArray[np.float32]) -> None:
            if not exact and not self._batch:
                self._batch = extraction_batch(forward, count, setup.reporter)
            batch = None if exact else self._batch
            facts.update({"batch": batch} if batch else {})
            fill_from(
                array,
                loader if isinstance(loader, Loader) else loader(),
                forward,
                setup.extraction_reporter,
                exact=exact,
                compiled="" if exact else f"features of {split}",
                size=batch,
            )

        with setup.parts.part("features"):
            return feature_cache.compute(
                setup.cache,
                key=(weights, key or setup.dataloaders.key, split),
                shape=(count, forward.backbone.spec.feature_dim),
                dtype=np.float32,
                fill=fill,
                facts=facts,
                reporter=setup.reporter,
            )


def training_views(setup: TrainingSetup) -> Iterator[tuple[str, Loader]]:
    """The training split under its cache name: unaugmented, or in ``cached_views`` augmented views.

    The workers of each loader end before the next one starts.
    """
    dataloaders, views = setup.dataloaders, setup.recipe.cached_views
    if not views:
        with dataloaders.plain_train() as loader:
            yield "train", loader
    for number in range(views):
        with dataloaders.view(number) as loader:
            yield f"train, view {number} ({dataloaders.variation})", loader
