"""Batches of images that are made on the device."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from zoo.contract.spec import ImageInput
from zoo.data.batch_order import Key
from zoo.data.loader import BatchReader, TensorBatch, labels_of
from zoo.data.samples import Samples
from zoo.modalities.batches import BatchOptions
from zoo.modalities.image.augmenting import BatchAugment
from zoo.modalities.image.boxes import Boxes, Integers, plain_boxes, random_boxes
from zoo.modalities.image.device_jpeg import EncodedImage, decode, encoded_jpeg
from zoo.modalities.image.placed import PlacedImages, PreparedImages, StreamedImages, pixels_of
from zoo.modalities.image.resampling import MOST_PIXELS, on_device, resample
from zoo.system.processor import usable_cores
from zoo.system.tensors.draws import Draws


class DeviceBatches(BatchReader):
    """Augmented batches of images, made on the device.

    Crops, flips and augmentations have the distributions of :class:`ImageBatches`, whose workers
    augment single images, but draw other random numbers.
    """

    in_processes = False
    on_device = True

    def __init__(self, samples: Samples, given: ImageInput, options: BatchOptions) -> None:
        self.samples, self._given, self._options = samples, given, options
        mirrors = options.flip and given.flip
        self._augment: BatchAugment | None = None
        if options.train and options.augment is not None:
            self._augment = BatchAugment(options.augment, flip=mirrors)
        self._colour = tuple(round(255 * mean) for mean in given.mean)

    def read(self, keys: Sequence[Key]) -> TensorBatch:
        draws = Draws(self._options.seed, keys)
        pixels = self._cropped([index for _, index in keys], draws)
        if self._augment is not None:
            pixels = self._augment(pixels, draws)
        return {"pixel_values": pixels} | labels_of(self.samples, [index for _, index in keys])

    @abstractmethod
    def _cropped(self, indices: Sequence[int], draws: Draws) -> Tensor:
        """Images cropped, mirrored and resized: ``(B, 3, size, size)``, uint8."""

    def boxes(self, heights: Integers, widths: Integers, draws: Draws) -> Boxes:
        options = self._options
        if not options.train:
            return plain_boxes(self._given, heights, widths)
        return random_boxes(
            self._given, heights, widths, draws, flip=options.flip, min_scale=options.min_scale
        )

    def resized(self, pixels: Tensor, offsets: Integers, widths: Integers, boxes: Boxes) -> Tensor:
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


class PlacedBatches(DeviceBatches):
    """Batches of placed images."""

    def __init__(
        self, samples: Samples, inputs: PlacedImages, given: ImageInput, options: BatchOptions
    ) -> None:
        super().__init__(samples, given, options)
        self._inputs = inputs

    def _cropped(self, indices: Sequence[int], draws: Draws) -> Tensor:
        inputs, rows = self._inputs, np.array(indices)
        pixels, offsets, widths = inputs.pixels, inputs.offsets[rows], inputs.widths[rows]
        boxes = self.boxes(inputs.heights[rows], widths, draws)
        if pixels.device.type != inputs.device.type:  # a tensor's device has a number, too
            pixels, offsets = _copied(pixels, offsets, widths, boxes, inputs.device)
            boxes = replace(boxes, rows=replace(boxes.rows, start=np.zeros_like(offsets)))
        return self.resized(pixels, offsets, widths, boxes)


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


class StreamedBatches(DeviceBatches):
    """Batches of images whose JPEGs are decoded on the device; other files are decoded on the host.

    Each part of a batch is decoded and resized before the next one: decoded at their full size, all
    of its photos could fill the memory.
    """

    def __init__(
        self, samples: Samples, inputs: StreamedImages, given: ImageInput, options: BatchOptions
    ) -> None:
        super().__init__(samples, given, options)
        self._device, self._side = inputs.device, given.size
        self._pool: ThreadPoolExecutor | None = None

    def _cropped(self, indices: Sequence[int], draws: Draws) -> Tensor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max_workers=max(1, round(usable_cores())))
        found = list(self._pool.map(self._read, indices))
        heights, widths = np.array([image.size for image in found], np.int64).T
        boxes, parts, first = self.boxes(heights, widths, draws), list[Tensor](), 0
        total = np.cumsum(heights * widths)
        while first < len(found):
            done = total[first - 1] if first else 0
            after = max(first + 1, int(np.searchsorted(total, done + MOST_PIXELS, side="right")))
            part = slice(first, after)
            parts.append(self._part(found[part], widths[part], boxes.part(part)))
            first = after
        return torch.cat(parts)

    def _read(self, index: int) -> EncodedImage:
        raw = self.samples.raw(index)
        encoded = encoded_jpeg(raw)
        return encoded or EncodedImage.decoded(pixels_of(self.samples, self._side, index))

    def _part(self, images: Sequence[EncodedImage], widths: Integers, boxes: Boxes) -> Tensor:
        decoded = [pixels.flatten() for pixels in decode(images, self._device)]
        ends = np.cumsum([len(pixels) for pixels in decoded])
        decoded.append(torch.zeros(int(widths.max()), dtype=torch.uint8, device=self._device))
        offsets = ends - [len(pixels) for pixels in decoded[:-1]]
        return self.resized(torch.cat(decoded), offsets, widths, boxes)


def device_batches(
    samples: Samples, given: ImageInput, options: BatchOptions
) -> BatchReader | None:
    """Batches of samples that are placed, prepared or streamed; ``None`` for others."""
    inputs = samples.inputs
    if isinstance(inputs, PlacedImages):
        return PlacedBatches(samples, inputs, given, options)
    if isinstance(inputs, StreamedImages):
        return StreamedBatches(samples, inputs, given, options)
    return PreparedBatches(samples, inputs) if isinstance(inputs, PreparedImages) else None
