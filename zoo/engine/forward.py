"""Running a backbone: device, precision and memory layout in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import torch
from accelerate import Accelerator
from torch import Tensor

from zoo.contract.backbone import Backbone
from zoo.data.loader import Loader
from zoo.engine.compiled import Compiler
from zoo.engine.folding import Pair, find_pairs, folded
from zoo.engine.loader_factory import PLAIN_BATCH
from zoo.engine.progress import Reporter
from zoo.modalities import modality_of
from zoo.system.memory import trimmed

_LARGE = 96  # pixels
_MANY = 64  # samples
_TRIMMED_EVERY = 4  # batches

_Call = Callable[[Mapping[str, Tensor]], Tensor]


class FeaturesOf(Protocol):
    """As :meth:`Forward.features`."""

    def __call__(self, batch: Mapping[str, Tensor], *, exact: bool = False) -> Tensor:
        """``(B, feature_dim)``, float32, on the CPU."""


EXACT = "fp32"
"""Of what is measured, compared or written: in bfloat16 a sample's features depend on its batch."""


class Forward:
    """Runs batches through one backbone, on its device, in its precision and memory layout.

    What is told or measured (:meth:`logits`, :meth:`predict`) is computed in float32, whatever
    trains: in bfloat16 an answer depends on the other samples of its batch, in the third digit.

    Args:
        backbone: Moved to ``device``. Networks for images become channels-last where that is
            faster: in bfloat16, off the CPU, and in float32 on a CPU from 96 pixels on. There
            inference is faster by a fifth to nine tenths at any size (ResNet-18, ResNet-10-T,
            EfficientNet-B0, VGG-11), but a training step of a ResNet at 32 pixels is slower by
            a quarter.
        device: Where it computes.
        precision: ``fp32``, or ``bf16`` for bfloat16 autocast.

        compiler: Compiles what is worth it (:mod:`zoo.engine.compiled`); ``None`` for nothing.

    Attributes:
        ragged: Whether batches differ in more than their number of samples.
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
        self.ragged = self._modality.ragged
        self.backbone = backbone.to(device)
        self._normalise = self._modality.normaliser(backbone.spec)
        self._layout = torch.contiguous_format
        if side := self._modality.side(backbone.spec):
            if precision == "bf16" or device.type != "cpu" or side >= _LARGE:
                self._layout = torch.channels_last
            self.backbone = self.backbone.to(memory_format=self._layout)  # type: ignore[call-overload]

    def place(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The batch on the device; images, and what layers made of them, in the memory layout.

        Images are normalised, if they are bytes still.
        """
        return {key: self._on_device(value) for key, value in batch.items()}

    def _on_device(self, value: Tensor) -> Tensor:
        value = value.to(self.device, non_blocking=True)
        if value.ndim == 4:
            value = value.contiguous(memory_format=self._layout)
        return self._normalise(value) if self._normalise and value.dtype == torch.uint8 else value

    def precision_of(self, *, exact: bool) -> str:
        """What is computed with: float32 for what has to be ``exact``."""
        return EXACT if exact else self.precision

    def autocast(self, *, exact: bool = False) -> AbstractContextManager[None]:
        """Autocast as the precision says; none for what has to be ``exact``."""
        enabled = self.precision_of(exact=exact) == "bf16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled)

    def features(self, batch: Mapping[str, Tensor], *, exact: bool = False) -> Tensor:
        """``(B, feature_dim)``, float32, on the CPU; the backbone in evaluation mode.

        Args:
            batch: Anywhere.
            exact: Compute in float32 whatever the precision, as :meth:`logits` does.
        """
        return self._features_by(self.backbone.features, batch, exact=exact)

    @torch.inference_mode()
    def _features_by(self, call: _Call, batch: Mapping[str, Tensor], *, exact: bool) -> Tensor:
        self.backbone.eval()
        placed = self.place(batch)
        with self.autocast(exact=exact):
            return call(placed).float().cpu()

    @torch.inference_mode()
    def logits(
        self,
        batch: Mapping[str, Tensor],
        features: _Call | None = None,
    ) -> Tensor:
        """``(B, outputs)``, computed in float32, on the CPU; the backbone in evaluation mode.

        Args:
            batch: What ``features`` takes, anywhere.
            features: From a placed batch to ``(B, feature_dim)``; the backbone's by default.
        """
        self.backbone.eval()
        with self.autocast(exact=True):
            made = (features or self.backbone.features)(self.place(batch))
        return head_logits(self.backbone, made.float())

    @contextmanager
    def inference(self, count: int, *, compiled: bool = False) -> Iterator[FeaturesOf]:
        """Compute faster while the block runs, in which nothing of the backbone may change.

        For ``count`` samples that are worth it, batch normalisations are folded into the
        convolutions before them.

        Args:
            count: Samples.
            compiled: Compile the features, if the run compiles at all. Images are so in whole
                batches alone.

        Yields:
            :meth:`features`, compiled if so.
        """
        with folded(self._foldable() if count >= _MANY else ()):
            if self.compiler is None or not compiled:
                yield self.features
                return
            quick = self.compiler(self.backbone.features, dynamic=self.ragged, frozen=True)

            def features(batch: Mapping[str, Tensor], *, exact: bool = False) -> Tensor:
                whole = self.ragged or len(next(iter(batch.values()))) == PLAIN_BATCH
                call = quick if whole else self.backbone.features
                return self._features_by(call, batch, exact=exact)

            yield features

    def batches(self, loader: Loader) -> Iterator[Mapping[str, Tensor]]:
        """Those of ``loader``, for inference; on a CPU the memory of earlier ones is given back."""
        return trimmed(loader, every=_TRIMMED_EVERY) if self.device.type == "cpu" else iter(loader)

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
        title: str = "predict",
    ) -> Tensor:
        """Logits of a whole split in its own order: ``(count, outputs)``.

        Args:
            loader: Of the split.
            count: Its samples.
            reporter: Gets the progress bar.
            accelerator: Its processes share the batches, and each gets all logits.
            features: As in :meth:`logits`.
            title: Of the progress bar.
        """
        rank, processes = 0, 1
        if accelerator is not None:
            rank, processes = accelerator.process_index, accelerator.num_processes
        loader.set_epoch(0, start=rank, stride=processes)
        logits: Tensor | None = None
        with self.inference(count), reporter.steps(title, len(loader)) as advance:
            for batch in self.batches(loader):
                part = self.logits(batch, features)
                if logits is None:
                    logits = torch.zeros(count, part.shape[1])
                logits[batch["index"]] = part
                advance()
        if accelerator is not None and processes > 1:
            return _summed(logits, count, self.backbone, accelerator)
        assert logits is not None
        return logits


def _summed(own: Tensor | None, count: int, backbone: Backbone, accelerator: Accelerator) -> Tensor:
    """The logits that several processes computed, each of other samples and 0 for the rest."""
    device = accelerator.device
    if own is None:  # fewer batches than processes
        width = int(
            backbone.head(torch.zeros(1, backbone.spec.feature_dim, device=device)).shape[1]
        )
        own = torch.zeros(count, width)
    total: Tensor = accelerator.reduce(own.to(device), reduction="sum")
    return total.cpu()


def head_logits(backbone: Backbone, features: Tensor) -> Tensor:
    """The head's outputs in float32 on the CPU, whatever precision the backbone ran in."""
    logits: Tensor = backbone.head(features)
    return logits.float().cpu()
