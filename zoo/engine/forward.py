"""Running a backbone: device, precision and memory layout in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from accelerate import Accelerator
from torch import Tensor

from zoo.contract.backbone import Backbone
from zoo.data.loader import Loader
from zoo.engine.compiled import quickened
from zoo.engine.feed import PLAIN_BATCH
from zoo.engine.folding import Pair, find_pairs, folded
from zoo.engine.progress import Reporter
from zoo.modalities.image.transforms import Normalise
from zoo.system.memory import give_back

_LARGE = 96  # pixels
_MANY = 64  # samples
_TIDIED_EVERY = 4  # batches


class Forward:
    """Feeds batches to one backbone the way the run says.

    What is told or measured (:meth:`logits`, :meth:`predict`) is computed in float32, whatever
    trains: in bfloat16 an answer depends on the other samples of its batch, in the third digit.

    Args:
        backbone: Moved to ``device``. Networks for pictures become channels-last where that is
            faster: in bfloat16, off the CPU, and in float32 on a CPU from 96 pixels on. There
            inference is faster by a fifth to nine tenths at any size (ResNet-18, ResNet-10-T,
            EfficientNet-B0, VGG-11), but a training step of a ResNet at 32 pixels is slower by
            a quarter.
        device: Where it computes.
        precision: ``fp32``, or ``bf16`` for bfloat16 autocast.

    Attributes:
        compiles: Whether what is worth it runs compiled (:mod:`zoo.engine.compiling`).
        dynamic: Whether batches differ in more than their number of samples.
    """

    def __init__(self, backbone: Backbone, *, device: torch.device, precision: str) -> None:
        self.device = device
        self.precision = precision
        self.compiles = False
        self.dynamic = backbone.spec.modality == "text"
        self.backbone = backbone.to(device)
        self._quick: Callable[[Mapping[str, Tensor]], Tensor] | None = None
        self._infers = False
        self._placed = 0
        self._layout = torch.contiguous_format
        if backbone.spec.modality == "image":
            self._normalise = Normalise(backbone.spec.image_input)
            large = backbone.spec.image_input.size >= _LARGE
            if precision == "bf16" or device.type != "cpu" or large:
                self._layout = torch.channels_last
            self.backbone = self.backbone.to(memory_format=self._layout)  # type: ignore[call-overload]

    def place(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The batch on the device; pictures, and what layers made of them, in the memory layout.

        Pictures are normalised, if they are bytes still.
        """
        self._placed += 1
        if self._infers and self._placed % _TIDIED_EVERY == 0:
            give_back()
        return {key: self._on_device(value) for key, value in batch.items()}

    def _on_device(self, value: Tensor) -> Tensor:
        value = value.to(self.device, non_blocking=True)
        if value.ndim == 4:
            value = value.contiguous(memory_format=self._layout)
        return self._normalise(value) if value.dtype == torch.uint8 else value

    def autocast(self, *, exact: bool = False) -> AbstractContextManager[None]:
        """Autocast as the precision says; none for what has to be ``exact``."""
        enabled = self.precision == "bf16" and not exact
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled)

    @torch.inference_mode()
    def features(self, batch: Mapping[str, Tensor], *, exact: bool = False) -> Tensor:
        """``(B, feature_dim)``, float32, on the CPU; the backbone in evaluation mode.

        Args:
            batch: Anywhere.
            exact: Compute in float32 whatever the precision, as :meth:`logits` does.
        """
        self.backbone.eval()
        placed = self.place(batch)
        with self.autocast(exact=exact):
            return self._features_of(placed)(placed).float().cpu()

    def _features_of(self, batch: Mapping[str, Tensor]) -> Callable[[Mapping[str, Tensor]], Tensor]:
        """What computes them; what is compiled is so for whole batches of pictures alone."""
        whole = self.dynamic or len(next(iter(batch.values()))) == PLAIN_BATCH
        return self._quick if self._quick and whole else self.backbone.features

    @torch.inference_mode()
    def logits(
        self,
        batch: Mapping[str, Tensor],
        features: Callable[[Mapping[str, Tensor]], Tensor] | None = None,
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
    def inference(self, count: int, *, compiled: bool = False) -> Iterator[None]:
        """Compute faster while the block runs, in which nothing of the backbone may change.

        For ``count`` samples that are worth it, batch normalisations are folded into the
        convolutions before them; ``compiled`` features come from compiled code. What batches have
        freed goes back to the system every now and then, of which the heap would become large:
        glibc seldom finds room for a tensor, which is aligned, where one of its size has been.
        """
        with folded(self._foldable() if count >= _MANY else ()):
            if compiled:
                features = self.backbone.features
                self._quick = quickened(features, dynamic=self.dynamic, frozen=True)
            self._infers, self._placed = self.device.type == "cpu", 0
            try:
                yield
            finally:
                self._quick, self._infers = None, False

    def _foldable(self) -> Sequence[Pair]:
        if self.backbone.spec.modality != "image":
            return ()
        size = self.backbone.spec.image_input.size
        example = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
        batch = self.place({"pixel_values": example})
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
        features: Callable[[Mapping[str, Tensor]], Tensor] | None = None,
    ) -> Tensor:
        """Logits of a whole split in its own order: ``(count, outputs)``.

        With an ``accelerator`` its processes share the batches, and each gets all logits;
        ``features`` as in :meth:`logits`.
        """
        rank, processes = 0, 1
        if accelerator is not None:
            rank, processes = accelerator.process_index, accelerator.num_processes
        loader.set_epoch(0, start=rank, stride=processes)
        logits: Tensor | None = None
        with self.inference(count), reporter.steps("predict", len(loader)) as advance:
            for batch in loader:
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
