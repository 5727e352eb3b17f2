"""Images decoded once into a memory-mapped file.

Decoding a JPEG takes longer than running a small network on it. The file is in Arrow format, one row
per image: mode, width, height and pixels, as RGB or gray floats. Reading gives the same bits as
decoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import PIL
from PIL import Image

from zoo.data.samples import Samples
from zoo.data.sequences import Indices, Inputs, in_memory
from zoo.modalities.image.bit_depth import SCALED, ValueRange
from zoo.modalities.image.reading import read_image
from zoo.system.files import replacing
from zoo.system.leftovers import held
from zoo.system.processor import usable_cores

if TYPE_CHECKING:
    import pyarrow as pa

_CHUNK = 64  # images that are decoded at a time, and a record batch

SMALL = 128
"""Image size in pixels up to which networks on a CPU are mostly faster than decoding."""


@dataclass(frozen=True)
class Decoded:
    """Inputs whose images are decoded in ``file``; pickles as its path.

    Attributes:
        file: The images, in the order of ``named``.
        named: The inputs that they were decoded from.
        rows: The row of each input in the file.
    """

    file: Path
    named: Inputs
    rows: Indices

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Image.Image:
        chunk, place = divmod(int(self.rows[index]), _CHUNK)
        batch = self._reader.get_batch(chunk)
        mode, width, height = (
            batch.column(name)[place].as_py() for name in ("mode", "width", "height")
        )
        pixels = batch.column("pixels")[place].as_buffer()
        image = Image.frombuffer(mode, (width, height), pixels, "raw", mode, 0, 1)
        image.info[SCALED] = True
        return image

    def name(self, index: int) -> str:
        return self.named.name(index)

    def take(self, indices: Indices) -> Decoded:
        return replace(self, named=self.named.take(indices), rows=self.rows[indices])

    def __getstate__(self) -> dict[str, object]:
        return {name: self.__dict__[name] for name in ("file", "named", "rows")}

    @cached_property
    def _reader(self) -> pa.RecordBatchFileReader:
        import pyarrow as pa

        return pa.ipc.open_file(pa.memory_map(str(self.file)))


def estimated_bytes(samples: Samples, size: int, values: ValueRange = ()) -> int:
    """The decoded size of the images, estimated from some of them.

    Args:
        samples: Images.
        size: The shorter side needed, in pixels.
        values: Values of black and white in images with more than 8 bits.
    """
    count = min(32, len(samples))
    chosen = np.linspace(0, len(samples) - 1, count).astype(int)
    images = [_decoded(samples, int(index), size, values) for index in chosen]
    some = sum((4 if image.mode == "F" else 3) * image.width * image.height for image in images)
    return some * len(samples) // max(1, count)


def decode(samples: Samples, size: int, file: Path, values: ValueRange = ()) -> Iterator[int]:
    """Decode all images into ``file``; yields the number of each chunk.

    As :func:`zoo.modalities.image.reading.read_image`.

    Args:
        samples: Images.
        size: The shorter side needed, in pixels.
        file: Written to a temporary file and renamed at the end.
        values: Values of black and white in images with more than 8 bits.

    Raises:
        BadFilesError: An image cannot be read.
        OSError: The file cannot be written.
    """
    import pyarrow as pa

    columns = {
        "mode": pa.string(),
        "width": pa.int32(),
        "height": pa.int32(),
        "pixels": pa.large_binary(),
    }
    with (
        replacing(file) as temporary,
        held(temporary),
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, pa.schema(columns)) as writer,
        ThreadPoolExecutor(max_workers=max(1, round(usable_cores()))) as pool,
    ):
        for start in range(0, len(samples), _CHUNK):
            indices = range(start, min(start + _CHUNK, len(samples)))
            images = list(pool.map(lambda index: _decoded(samples, index, size, values), indices))
            rows = {
                "mode": [image.mode for image in images],
                "width": [image.width for image in images],
                "height": [image.height for image in images],
                "pixels": [image.tobytes() for image in images],
            }
            batch = [pa.array(rows[name], kind) for name, kind in columns.items()]
            writer.write_batch(pa.record_batch(batch, schema=pa.schema(columns)))
            yield len(images)


def opened(samples: Samples, file: Path) -> Samples | None:
    """``samples`` with the images decoded in ``file``; ``None`` if it is missing or incomplete."""
    import pyarrow as pa

    inputs = Decoded(file, samples.inputs, np.arange(len(samples)))
    try:
        chunks = inputs._reader.num_record_batches
    except (OSError, pa.ArrowInvalid):
        return None
    return replace(samples, inputs=inputs) if chunks == -(-len(samples) // _CHUNK) else None


def _decoded(samples: Samples, index: int, size: int, values: ValueRange) -> Image.Image:
    name = samples.input(index)
    return read_image(samples.raw(index), size=size, name=name, values=values)


@dataclass(frozen=True)
class ImageDecoding:
    """See :class:`zoo.modalities.batches.Decoding`.

    Attributes:
        size: The shorter side needed, in pixels.
        values: Values of black and white in images with more than 8 bits.
    """

    size: int
    values: ValueRange = ()

    @property
    def slow(self) -> bool:
        """Whether images have at most :data:`SMALL` pixels per side."""
        return self.size <= SMALL

    @property
    def key(self) -> str:
        """Size, scale, and the version of what decodes."""
        return f"{self.size}\n{self.values}\n{PIL.__version__}"

    def applies(self, samples: Samples) -> bool:
        """Whether there are any, not in memory, and Pillow has such images."""
        if not len(samples) or in_memory(samples.inputs):
            return False
        return samples.traits is None or not samples.traits["array"].any()

    def estimated_bytes(self, samples: Samples) -> int:
        """From some of them."""
        return estimated_bytes(samples, self.size, self.values)

    def decode(self, samples: Samples, file: Path) -> Iterator[int]:
        """As :func:`decode` does."""
        yield from decode(samples, self.size, file, self.values)

    def opened(self, samples: Samples, file: Path) -> Samples | None:
        """As :func:`opened` does."""
        return opened(samples, file)
