"""Batches for a backbone whose frozen first layers run once: their outputs come from the cache."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.data.batch_order import Key
from zoo.data.loader import BatchReader, Loader, TensorBatch
from zoo.engine import features as feature_cache
from zoo.engine.prefix import OUTPUTS, AfterPrefix, Prefix, find_prefix
from zoo.engine.sources import Batches, training_views
from zoo.engine.strategies import Phase
from zoo.engine.streams import Fetched
from zoo.engine.training_setup import TrainingSetup
from zoo.modalities import modality_of
from zoo.system.byte_sizes import in_bytes
from zoo.system.memory import give_back

MOST_BYTES = 16 * 10**9
"""Size limit of the cached outputs of frozen layers; above it, these run in every step."""

_STORED: Mapping[torch.dtype, type[np.generic]] = {
    torch.float32: np.float32,
    torch.float16: np.float16,
    torch.bfloat16: np.int16,  # NumPy has no bfloat16
}


def prefixed(setup: TrainingSetup, phase: Phase) -> Prefixed | None:
    """The batches of a phase with frozen first layers, if these can run once.

    Augmented inputs need a fixed number of cached views (``cached_views``).
    """
    recipe, dataloaders = setup.recipe, setup.dataloaders
    augmented = "cached_views" in modality_of(setup.forward.backbone.spec).options
    changing = (
        recipe.mixup
        or recipe.cutmix
        or recipe.activation_checkpointing
        or phase.gradual
        or setup.accelerator.is_fsdp2
    )
    if changing or phase.epochs < 2 or (augmented and not recipe.cached_views):
        return None
    first = [(0, index) for index in range(min(3, len(dataloaders.val_labels)))]
    examples = [setup.forward.place(dataloaders.val.batch(keys)) for keys in (first[:2], first)]
    modality = modality_of(setup.forward.backbone.spec)
    extra = examples[0].keys() - {modality.main_input, "index", "labels", "traits"}
    if extra and not modality.ragged:  # such as a mask, which has to be computed again
        return None
    with setup.forward.autocast():
        prefix = find_prefix(setup.forward.backbone, examples)
    if prefix is None or prefix.outputs.dtype not in _STORED:
        return None
    size = _bytes(prefix, setup)
    if size > MOST_BYTES:
        setup.reporter.note(
            f"the outputs of the frozen layers would take {in_bytes(size)}; they run in every step"
        )
        return None
    return Prefixed(setup, prefix)


class Prefixed(Batches):
    """Shuffled batches with the outputs of the frozen layers, computed once."""

    compilable = False  # modules are replaced in every step

    def __init__(self, setup: TrainingSetup, prefix: Prefix) -> None:
        super().__init__(setup)
        self._prefix = prefix
        self.trained = AfterPrefix(prefix)
        dataloaders = setup.dataloaders
        views = [
            self._cached(split, loader, dataloaders.train_labels)
            for split, loader in training_views(setup)
        ]
        self._train = dataloaders.train.over(
            _Outputs(dataloaders.train, views, dataloaders.train_labels)
        )
        val = self._cached("val", dataloaders.val, dataloaders.val_labels, exact=True)
        self._val = dataloaders.val.over(_Outputs(dataloaders.val, [val], dataloaders.val_labels))

    def validate(self) -> Tensor:
        """By a forward pass of the trained layers."""
        return self._predict(self._prefix.features)

    def _cached(
        self, split: str, loader: Loader, labels: NDArray[Any], *, exact: bool = False
    ) -> _Rows:
        setup, prefix = self._setup, self._prefix
        # Metrics are computed in float32 from the first layer on.
        precision = setup.forward.precision_of(exact=exact)
        dtype = torch.float32 if exact else prefix.outputs.dtype
        rows = _Rows(dtype, _lengths(loader, len(labels)))
        weights = feature_cache.backbone_key(setup.forward.backbone, precision, frozen=True)
        cut = _path(prefix)
        with setup.parts.part("features"):
            rows.array = feature_cache.compute(
                setup.cache,
                key=(weights, setup.dataloaders.key, split, f"up to {cut}"),
                shape=(rows.count, *prefix.shape),
                dtype=_STORED[dtype],
                fill=lambda array: self._fill(array, rows, loader, len(labels), exact=exact),
                facts={
                    **feature_cache.facts_of(setup, f"{split}, up to {cut}", len(labels)),
                    "precision": precision,
                },
                reporter=setup.reporter,
            )
        return rows

    @torch.inference_mode()
    def _fill(
        self, array: NDArray[Any], rows: _Rows, loader: Loader, count: int, *, exact: bool
    ) -> None:
        forward, prefix = self._setup.forward, self._prefix
        forward.backbone.eval()
        reporter = self._setup.extraction_reporter
        steps = reporter.steps("frozen layers", len(loader))
        masks: deque[Tensor] = deque()

        def write(index: Tensor, outputs: Tensor) -> None:
            if prefix.fixed > 1:
                outputs = outputs[masks.popleft().bool()]  # (tokens, …)
            array[rows.places(index.tolist())] = _as_stored(outputs)

        fetched = Fetched(forward.device, write)
        # The workers must end even if an exception is kept alive.
        with loader, forward.inference(count), steps as advance:
            for batch in forward.batches(loader):
                if prefix.fixed > 1:
                    masks.append(batch["attention_mask"])
                with forward.autocast(exact=exact):
                    fetched.add(batch["index"], prefix.run(forward.place(batch)))
                advance()
            fetched.finish()
        give_back()


class _Rows:
    """Outputs of the frozen layers, one row per image, or per token of each text.

    Attributes:
        array: ``(count, …)``, memory-mapped.
        count: Number of rows.
    """

    array: NDArray[Any]

    def __init__(self, dtype: torch.dtype, lengths: NDArray[np.int64]) -> None:
        self._dtype = dtype
        self._ends = np.cumsum(lengths)
        self._lengths = lengths
        self.count = int(lengths.sum())

    def places(self, indices: Sequence[int]) -> NDArray[np.int64]:
        """The row numbers of some samples, concatenated."""
        return np.concatenate(
            [np.arange(self._ends[i] - self._lengths[i], self._ends[i]) for i in indices]
        )

    def of(self, indices: Sequence[int]) -> Tensor:
        """The outputs for some samples: ``(rows, …)``."""
        return torch.from_numpy(self.array[self.places(indices)]).view(self._dtype)


class _Outputs(BatchReader):
    """Batches with the outputs of the frozen layers instead of images, or beside texts."""

    def __init__(self, loader: Loader, views: Sequence[_Rows], labels: NDArray[Any]) -> None:
        self.samples = loader.reader.samples
        self.widths = loader.reader.widths
        self._texts = loader.reader if loader.reader.lengths is not None else None
        self._views = views
        self._labels = labels

    def read(self, keys: Sequence[Key]) -> TensorBatch:
        indices = [index for _, index in keys]
        if self._texts is not None:
            batch = self._texts.read(keys)
            mask = batch["attention_mask"].bool()
            rows = self._views[0].of(indices)
            padded = torch.zeros(*mask.shape, *rows.shape[1:], dtype=rows.dtype)
            padded[mask] = rows
            return {**batch, OUTPUTS: padded}
        views = [self._views[_view(variation, len(self._views))] for variation, _ in keys]
        rows = torch.cat([view.of([i]) for view, i in zip(views, indices, strict=True)])
        labels = torch.from_numpy(self._labels[indices])
        return {"index": torch.tensor(indices), "labels": labels, OUTPUTS: rows}


def _view(variation: int, views: int) -> int:
    """The view of an image: they alternate by epoch, and where balancing repeats an image."""
    return ((variation & (2**32 - 1)) + (variation >> 32)) % views


def _lengths(loader: Loader, count: int) -> NDArray[np.int64]:
    lengths = loader.reader.lengths
    return np.ones(count, dtype=np.int64) if lengths is None else lengths


def _as_stored(outputs: Tensor) -> NDArray[Any]:
    bits = outputs.view(torch.int16) if outputs.dtype == torch.bfloat16 else outputs
    return bits.numpy()


def _path(prefix: Prefix) -> str:
    paths: dict[nn.Module, str] = {m: path for path, m in prefix.backbone.net.named_modules()}
    return paths[prefix.cut]


def _bytes(prefix: Prefix, setup: TrainingSetup) -> int:
    """Size of the outputs for both splits."""
    dataloaders, views = setup.dataloaders, max(1, setup.recipe.cached_views)
    train = int(_lengths(dataloaders.train, len(dataloaders.train_labels)).sum()) * views
    val = int(_lengths(dataloaders.val, len(dataloaders.val_labels)).sum())
    return (train + val) * int(np.prod(prefix.shape)) * prefix.outputs.element_size()
