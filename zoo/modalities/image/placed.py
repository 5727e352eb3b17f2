"""Decoded images that stay in the memory of the device, or of the host, and batches made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from zoo.contract.extensions import AugmentationSpec
from zoo.contract.spec import ImageInput
from zoo.data.batch_order import Key
from zoo.data.loader import BatchReader, TensorBatch, labels_of
from zoo.data.samples import Samples
from zoo.data.sequences import Indices, Inputs
from zoo.modalities.batches import BatchOptions
from zoo.modalities.image.augmenting import BatchAugment
from zoo.modalities.image.bit_depth import OVERSAMPLING
from zoo.modalities.image.boxes import Boxes, Integers, plain_boxes, random_boxes
from zoo.modalities.image.decoded import ImageDecoding
from zoo.modalities.image.reading import read_image
from zoo.modalities.image.resampling import FILTERS, on_device, resample
from zoo.modalities.image.transforms import RGB
from zoo.registry.offers import Offer
from zoo.system.processor import usable_cores
from zoo.system.tensors.draws import Draws

_CHUNK = 64  # images that are decoded at a time


@dataclass(frozen=True)
class PlacedImages:
    """Inputs whose pixels are in one tensor, on the device or in the host's memory.

    Attributes:
        named: The inputs that they were decoded from.
        pixels: Bytes, one image after the other, each ``(H, 3, W)``; then a row of the widest.
        offsets: ``(N,)``, where each image begins.
        heights: ``(N,)``.
        widths: ``(N,)``.
        device: Where batches are made.
    """

    named: Inputs
    pixels: Tensor
    offsets: Integers
    heights: Integers
    widths: Integers
    device: torch.device

    @property
    def nbytes(self) -> int:
        """Their size in memory."""
        return self.pixels.nbytes

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, index: int) -> Image.Image:
        begin, shape = self.offsets[index], (self.heights[index], 3, self.widths[index])
        pixels = self.pixels[begin : begin + int(np.prod(shape))].cpu().numpy()
        return Image.fromarray(np.ascontiguousarray(pixels.reshape(shape).transpose(0, 2, 1)))

    def name(self, index: int) -> str:
        return self.named.name(index)

    def take(self, indices: Indices) -> PlacedImages:
        return replace(
            self,
            named=self.named.take(indices),
            offsets=self.offsets[indices],
            heights=self.heights[indices],
            widths=self.widths[indices],
        )


@dataclass(frozen=True)
class PreparedImages:
    """Inputs that are cropped, resized and stacked: ``(N, size, size, 3)``, uint8."""

    named: Inputs
    pixels: Tensor
    device: torch.device

    @property
    def nbytes(self) -> int:
        """Their size in memory."""
        return self.pixels.nbytes

    def __len__(self) -> int:
        return len(self.named)

    def __getitem__(self, index: int) -> Image.Image:
        return Image.fromarray(self.pixels[index].cpu().numpy())

    def name(self, index: int) -> str:
        return self.named.name(index)

    def take(self, indices: Indices) -> PreparedImages:
        return PreparedImages(self.named.take(indices), self.pixels[indices], self.device)


class PlacedBatches(BatchReader):
    """Augmented batches of placed images, made on the device.

    Crops, flips and augmentations have the distributions of :class:`ImageBatches`, whose workers
    augment single images, but draw other random numbers.
    """

    in_processes = False
    on_device = True

    def __init__(
        self, samples: Samples, inputs: PlacedImages, given: ImageInput, options: BatchOptions
    ) -> None:
        self.samples, self._inputs, self._given, self._options = samples, inputs, given, options
        mirrors = options.flip and given.flip
        self._augment: BatchAugment | None = None
        if options.train and options.augment is not None:
            self._augment = BatchAugment(options.augment, flip=mirrors)
        self._colour = tuple(round(255 * mean) for mean in given.mean)

    def read(self, keys: Sequence[Key]) -> TensorBatch:
        draws = Draws(self._options.seed, keys)
        rows = np.array([index for _, index in keys])
        heights, widths = self._inputs.heights[rows], self._inputs.widths[rows]
        pixels = self._resized(rows, widths, self._boxes(heights, widths, draws))
        if self._augment is not None:
            pixels = self._augment(pixels, draws)
        return {"pixel_values": pixels} | labels_of(self.samples, rows.tolist())

    def _boxes(self, heights: Integers, widths: Integers, draws: Draws) -> Boxes:
        options = self._options
        if not options.train:
            return plain_boxes(self._given, heights, widths)
        return random_boxes(
            self._given, heights, widths, draws, flip=options.flip, min_scale=options.min_scale
        )

    def _resized(self, rows: Integers, widths: Integers, boxes: Boxes) -> Tensor:
        pixels, offsets = self._inputs.pixels, self._inputs.offsets[rows]
        if pixels.device != self._inputs.device:
            pixels, offsets = _copied(pixels, offsets, widths, boxes, self._inputs.device)
            boxes = replace(boxes, rows=replace(boxes.rows, start=np.zeros_like(offsets)))
        red, green, blue = self._colour
        return resample(
            pixels,
            offsets,
            widths,
            boxes,
            size=self._given.size,
            interpolation=self._given.interpolation,
            colour=(red, green, blue),
        )


def batches_in_memory(
    samples: Samples, given: ImageInput, options: BatchOptions
) -> BatchReader | None:
    """Batches of samples that are placed or prepared; ``None`` for others."""
    inputs = samples.inputs
    if isinstance(inputs, PlacedImages):
        return PlacedBatches(samples, inputs, given, options)
    return PreparedBatches(samples, inputs) if isinstance(inputs, PreparedImages) else None


def _copied(
    pixels: Tensor, offsets: Integers, widths: Integers, boxes: Boxes, device: torch.device
) -> tuple[Tensor, Integers]:
    """Copy the rows that are needed from pinned memory; the host does not wait for it."""
    begins = offsets + 3 * boxes.rows.start * widths
    counts = 3 * boxes.rows.length * widths
    ends = np.cumsum(counts)
    copied = torch.empty(int(ends[-1] + widths.max()), dtype=torch.uint8, device=device)
    for begin, count, end in zip(begins.tolist(), counts.tolist(), ends.tolist(), strict=True):
        copied[end - count : end].copy_(pixels[begin : begin + count], non_blocking=True)
    return copied, ends - counts


class PreparedBatches(BatchReader):
    """Batches of prepared images: those of :class:`ImageBatches`, bit for bit."""

    in_processes = False

    def __init__(self, samples: Samples, inputs: PreparedImages) -> None:
        self.samples, self._pixels = samples, inputs.pixels
        self.on_device = inputs.pixels.device.type != "cpu"

    def read(self, keys: Sequence[Key]) -> TensorBatch:
        indices = [index for _, index in keys]
        rows = on_device(np.array(indices), self._pixels.device, torch.int64)
        pixels = self._pixels.index_select(0, rows).permute(0, 3, 1, 2)
        return {"pixel_values": pixels} | labels_of(self.samples, indices)


@dataclass(frozen=True)
class ImagePlacing:
    """See :class:`zoo.modalities.batches.Placing`."""

    given: ImageInput

    def obstacle(self, samples: Samples, augment: Offer[AugmentationSpec] | None) -> str:
        """Only 8-bit RGB images; not those of ``--augment`` for single images."""
        traits = samples.traits
        if self.given.channels != RGB or (traits is not None and traits["array"].any()):
            return "it takes RGB images only"
        if traits is not None and traits["deep"].any():
            return "there are images of more than 8 bits"
        if self.given.interpolation not in FILTERS:
            return f"{self.given.interpolation} interpolation is not available there"
        if augment is not None and not augment.value.apply_batch:
            return f"--augment {augment.name} takes single images"
        return ""

    def estimated_bytes(self, train: Samples, val: Samples) -> int:
        """Of the decoded training images, and the prepared validation images."""
        decoded = ImageDecoding(self.given.size).estimated_bytes(train)
        return decoded + len(val) * 3 * self.given.size**2

    def placed(
        self, samples: Samples, device: torch.device, *, on_host: bool, advance: Callable[[], None]
    ) -> Samples:
        """Decode images, no larger than needed."""
        store = torch.device("cpu") if on_host else device
        chunks, sizes = [], list[tuple[int, ...]]()
        for images in _decoded(samples, self.given.size):
            chunks.append(torch.from_numpy(np.concatenate([i.ravel() for i in images])).to(store))
            sizes += [image.shape for image in images]
            for _ in images:
                advance()
        heights, _, widths = np.array(sizes, np.int64).T
        pixels = _joined(chunks, int(widths.max()), pin=on_host and device.type == "cuda")
        ends = np.cumsum(3 * heights * widths)
        offsets = ends - 3 * heights * widths
        inputs = PlacedImages(samples.inputs, pixels, offsets, heights, widths, device)
        return replace(samples, inputs=inputs)

    def prepared(
        self,
        samples: Samples,
        batches: Iterable[TensorBatch],
        device: torch.device,
        *,
        on_host: bool,
    ) -> Samples:
        """The batches of :class:`ImageBatches`, once for all epochs."""
        store = torch.device("cpu") if on_host else device
        shape = (len(samples), self.given.size, self.given.size, 3)
        pixels = torch.empty(shape, dtype=torch.uint8, device=store)
        for batch in batches:
            pixels[batch["index"].to(store)] = batch["pixel_values"].to(store).permute(0, 2, 3, 1)
        return replace(samples, inputs=PreparedImages(samples.inputs, pixels, device))


def _decoded(samples: Samples, size: int) -> Iterator[list[NDArray[np.uint8]]]:
    """The images, ``(H, 3, W)`` each, several at a time."""
    read = partial(_pixels_of, samples, size)
    with ThreadPoolExecutor(max_workers=max(1, round(usable_cores()))) as pool:
        for start in range(0, len(samples), _CHUNK):
            yield list(pool.map(read, range(start, min(start + _CHUNK, len(samples)))))


def _pixels_of(samples: Samples, size: int, index: int) -> NDArray[np.uint8]:
    image = read_image(samples.raw(index), size=size, name=samples.input(index))
    # As large JPEGs are decoded: no larger than needed.
    if (factor := min(image.size) // (OVERSAMPLING * size)) > 1:
        image = image.reduce(factor)
    return np.ascontiguousarray(np.asarray(image).transpose(0, 2, 1))


def _joined(chunks: list[Tensor], widest: int, *, pin: bool) -> Tensor:
    """One tensor of all chunks, which are freed, and ``widest`` further bytes."""
    count = sum(map(len, chunks)) + widest
    joined = torch.zeros(count, dtype=torch.uint8, device=chunks[0].device, pin_memory=pin)
    begin = 0
    while chunks:
        chunk = chunks.pop(0)
        joined[begin : begin + len(chunk)] = chunk
        begin += len(chunk)
    return joined
