"""Images for batches that are made on the device: decoded in its memory or the host's, or streamed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
from zoo.data.loader import TensorBatch
from zoo.data.samples import Samples
from zoo.data.sequences import Indices, Inputs, Raw, in_memory
from zoo.modalities.image.bit_depth import OVERSAMPLING
from zoo.modalities.image.boxes import Integers
from zoo.modalities.image.decoded import ImageDecoding
from zoo.modalities.image.device_jpeg import can_decode, is_plain_jpeg
from zoo.modalities.image.reading import read_image
from zoo.modalities.image.resampling import FILTERS
from zoo.modalities.image.transforms import RGB
from zoo.registry.offers import Offer
from zoo.system.processor import usable_cores

_CHUNK = 64  # images that are decoded at a time
_ASKED = 16  # images of which half must be JPEGs for all to be streamed


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


@dataclass(frozen=True)
class StreamedImages:
    """Inputs that are decoded on the device, in each epoch.

    Attributes:
        named: Where they are.
        device: Where they are decoded.
    """

    named: Inputs
    device: torch.device

    def __len__(self) -> int:
        return len(self.named)

    def __getitem__(self, index: int) -> Raw:
        return self.named[index]

    def name(self, index: int) -> str:
        return self.named.name(index)

    def take(self, indices: Indices) -> StreamedImages:
        return StreamedImages(self.named.take(indices), self.device)


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

    def streamed(self, samples: Samples, device: torch.device) -> Samples | None:
        """JPEGs decoded by nvJPEG; see :mod:`zoo.modalities.image.device_jpeg`."""
        if in_memory(samples.inputs) or not can_decode(device):
            return None
        some = np.linspace(0, len(samples) - 1, min(_ASKED, len(samples))).astype(int)
        if 2 * sum(is_plain_jpeg(samples.raw(int(index))) for index in some) < len(some):
            return None
        return replace(samples, inputs=StreamedImages(samples.inputs, device))


def _decoded(samples: Samples, size: int) -> Iterator[list[NDArray[np.uint8]]]:
    """The images, ``(H, 3, W)`` each, several at a time."""
    read = partial(pixels_of, samples, size)
    with ThreadPoolExecutor(max_workers=max(1, round(usable_cores()))) as pool:
        for start in range(0, len(samples), _CHUNK):
            yield list(pool.map(read, range(start, min(start + _CHUNK, len(samples)))))


def pixels_of(samples: Samples, size: int, index: int) -> NDArray[np.uint8]:
    """An image as bytes ``(H, 3, W)``, no larger than needed."""
    image = read_image(samples.raw(index), size=size, name=samples.input(index))
    # As large JPEGs are decoded.
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
