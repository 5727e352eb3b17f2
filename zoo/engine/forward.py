"""Running a backbone: device, precision and memory layout in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from zoo.contract.network.backbone import Backbone
from zoo.contract.network.batch import without_full_mask
from zoo.data.loader import Loader
from zoo.engine.compiled_features import CompiledFeatures
from zoo.engine.compiler import Compiler
from zoo.engine.folding import Pair, find_pairs, folded
from zoo.engine.progress import Reporter
from zoo.engine.streams import Copies, Fetched
from zoo.modalities import modality_of
from zoo.system.memory import keeping_memory, trimmed

if TYPE_CHECKING:
    from accelerate import Accelerator

_LARGE = 96  # pixels
_MANY = 64  # samples
_TRIMMED_EVERY = 4  # batches

_Call = Callable[[Mapping[str, Tensor]], Tensor]

FeatureScore = Callable[[Tensor], Tensor]
"""From features ``(B, feature_dim)`` to one number each, ``(B,)``."""


class FeaturesOf(Protocol):
    """As :meth:`Forward.features`."""

    def __call__(self, batch: Mapping[str, Tensor], *, exact: bool = False) -> Tensor:
        """``(B, feature_dim)``, float32, on the device."""


AUTOCAST: Mapping[str, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""The type that autocast computes in, by the precision's name."""

EXACT = "fp32"
"""Precision of metrics and predictions: in a lower one a sample's features depend on its batch."""


class Forward:
    """Runs batches through one backbone, on its device, in its precision and memory layout.

    Predictions (:meth:`logits`, :meth:`predict`) are computed in float32, whatever the precision of
    training: in bfloat16 they depend on the other samples of the batch, in the third digit.

    Args:
        backbone: Moved to ``device``. Networks for images become channels-last where that is
            faster: with autocast, off the CPU, and in float32 on a CPU from 96 pixels on. There
            inference is faster by a fifth to nine tenths at any size (ResNet-18, ResNet-10-T,
            EfficientNet-B0, VGG-11), but a training step of a ResNet at 32 pixels is slower by
            a quarter.
        device: The device to compute on.
        precision: ``fp32``; ``bf16`` or ``fp16`` for autocast.
        compiler: Compiles where that pays; ``None`` compiles nothing.

    Attributes:
        ragged: Whether batches differ in more than their number of samples.
        scaled: Whether training needs loss scaling.
        keeps_masks: Whether masks that hide nothing are placed, too: for compiled code.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        device: torch.device,
        precision: str,
        compiler: Compiler | None = None,
    ) -> None:
        self._modality = modality_of(backbone.spec)
        self.device = device
        self.precision = precision
        self.compiler = compiler
        self.keeps_masks = False
        self.ragged = self._modality.ragged
        self.scaled = AUTOCAST.get(precision) == torch.float16
        self._copies = Copies(device)
        self.backbone = backbone.to(device)
        self._normalise = self._modality.normaliser(backbone.spec)
        self._layout = torch.contiguous_format
        if side := self._modality.side(backbone.spec):
            if precision in AUTOCAST or device.type != "cpu" or side >= _LARGE:
                self._layout = torch.channels_last
            self.backbone = self.backbone.to(memory_format=self._layout)  # type: ignore[call-overload]

    def place(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Move a batch to the device; images and feature maps get the memory layout.

        Images that are bytes are normalised. A mask that hides nothing stays behind, if the network
        needs none; compiled code is for one kind of batch.
        """
        if self.backbone.optional_mask and not self.keeps_masks:
            batch = without_full_mask(batch)
        return {key: self._prepared(value) for key, value in self._copies(batch).items()}

    @contextmanager
    def masks_kept(self, keeps: bool) -> Iterator[None]:
        """Place masks that hide nothing while the block runs, if ``keeps``."""
        self.keeps_masks = keeps
        try:
            yield
        finally:
            self.keeps_masks = False

    def _prepared(self, value: Tensor) -> Tensor:
        if value.ndim == 4:
            value = value.contiguous(memory_format=self._layout)
        return self._normalise(value) if self._normalise and value.dtype == torch.uint8 else value

    def precision_of(self, *, exact: bool) -> str:
        """The precision to compute in: float32 if ``exact``."""
        return EXACT if exact else self.precision

    def autocast(self, *, exact: bool = False) -> AbstractContextManager[None]:
        """The autocast context of the precision; disabled if ``exact``."""
        dtype = AUTOCAST.get(self.precision_of(exact=exact))
        # Disabled autocast has a type too, and not every device supports float16.
        enabled, dtype = dtype is not None, dtype or torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype, enabled=enabled)

    @torch.inference_mode()
    def features(
        self, batch: Mapping[str, Tensor], *, exact: bool = False, call: _Call | None = None
    ) -> Tensor:
        """``(B, feature_dim)``, float32, on the device; the backbone in evaluation mode.

        Args:
            batch: On any device.
            exact: Compute in float32, whatever the precision, as :meth:`logits` does.
            call: Compiled code of the backbone's features, if there is some.
        """
        self.backbone.eval()
        with self.masks_kept(call is not None):
            placed = self.place(batch)
        with self.autocast(exact=exact):
            return (call or self.backbone.features)(placed).float()

    @torch.inference_mode()
    def logits(
        self,
        batch: Mapping[str, Tensor],
        features: _Call | None = None,
        score: FeatureScore | None = None,
    ) -> Tensor:
        """``(B, outputs)``, computed in float32, on the device; the backbone in evaluation mode.

        Args:
            batch: Input of ``features``, on any device.
            features: From a batch on the device to ``(B, feature_dim)``; default: the backbone's.
            score: Of the features; one more output.
        """
        self.backbone.eval()
        with self.autocast(exact=True):
            output = (features or self.backbone.features)(self.place(batch))
        rows = output.float()
        logits = head_logits(self.backbone, rows)
        return logits if score is None else torch.cat([logits, score(rows)[:, None]], dim=1)

    @contextmanager
    def inference(self, count: int, *, compiled: str = "") -> Iterator[FeaturesOf]:
        """Speed up inference while the block runs; the backbone must not change in it.

        If there are enough samples, batch normalisations are folded into convolutions, and on a CPU
        the memory of a batch is kept for the next.

        Args:
            count: Number of samples.
            compiled: What is computed, to compile it if the run compiles and it pays; for images only
                in full batches. Empty never compiles.

        Yields:
            :meth:`features`, or its compiled version.
        """
        many = count >= _MANY
        with folded(self._foldable() if many else ()), self.memory() if many else nullcontext():
            if self.compiler is None or not compiled:
                yield self.features
                return
            yield CompiledFeatures(self, self.compiler, compiled, count)

    def batches(self, loader: Loader) -> Iterator[Mapping[str, Tensor]]:
        """The batches of ``loader``; on a CPU the freed memory is returned to the system regularly."""
        return trimmed(loader, every=_TRIMMED_EVERY) if self.device.type == "cpu" else iter(loader)

    def memory(self) -> AbstractContextManager[None]:
        """On a CPU, memory is kept between batches of equal shapes while the block runs."""
        same = self.device.type == "cpu" and not self.ragged
        return keeping_memory() if same else nullcontext()

    def _foldable(self) -> Sequence[Pair]:
        if not self._modality.side(self.backbone.spec):
            return ()
        batch = self.place(self._modality.random_batch(self.backbone.spec, 2))
        self.backbone.eval()
        with torch.no_grad():
            return find_pairs(self.backbone.net, lambda: self.backbone.features(batch))

    def predict(
        self,
        loader: Loader,
        *,
        count: int,
        reporter: Reporter,
        accelerator: Accelerator | None = None,
        features: _Call | None = None,
        call: _Call | None = None,
        title: str = "predicting",
    ) -> Tensor:
        """Logits of a whole split in its own order: ``(count, outputs)``.

        Args:
            loader: Of the split.
            count: Its samples.
            reporter: Gets the progress bar.
            accelerator: Its processes share the batches, and each gets all logits.
            features: As in :meth:`logits`.
            call: From a batch to its logits; default: :meth:`logits`.
            title: Of the progress bar.
        """
        rank, processes = 0, 1
        if accelerator is not None:
            rank, processes = accelerator.process_index, accelerator.num_processes
        loader.set_epoch(0, start=rank, stride=processes)
        logits: Tensor | None = None

        def write(index: Tensor, part: Tensor) -> None:
            nonlocal logits
            if logits is None:
                logits = torch.zeros(count, part.shape[1])
            logits[index] = part

        fetched = Fetched(self.device, write)
        with self.inference(count), reporter.steps(title, len(loader)) as advance:
            for batch in self.batches(loader):
                fetched.add(batch["index"], call(batch) if call else self.logits(batch, features))
                advance()
            fetched.finish()
        if accelerator is not None and processes > 1:
            return _summed(logits, count, self.backbone, accelerator)
        assert logits is not None
        return logits


def _summed(
    local: Tensor | None, count: int, backbone: Backbone, accelerator: Accelerator
) -> Tensor:
    """The logits of all processes, each of which has computed some rows and left the others 0."""
    device = accelerator.device
    if local is None:  # fewer batches than processes
        width = int(
            backbone.head(torch.zeros(1, backbone.spec.feature_dim, device=device)).shape[1]
        )
        local = torch.zeros(count, width)
    total: Tensor = accelerator.reduce(local.to(device), reduction="sum")
    return total.cpu()


def head_logits(backbone: Backbone, features: Tensor) -> Tensor:
    """The head's outputs, float32, on the device."""
    logits: Tensor = backbone.head(features)
    return logits.float()
