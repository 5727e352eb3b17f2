"""Images decoded once into memory-mapped files.

Decoding a JPEG takes longer than running a small network on it. A file is in Arrow format, one row
per image: what it was decoded from, mode, width, height and pixels, as RGB or gray floats. Reading
gives the same bits as decoding.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence, Set
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from zoo.data.samples import Samples
from zoo.data.sequences import Indices, Inputs, in_memory
from zoo.modalities.image.bit_depth import SCALED, ValueRange
from zoo.modalities.image.reading import content_of, opened_as, read_image, sizes_alike
from zoo.system.files import replacing
from zoo.system.leftovers import held

if TYPE_CHECKING:
    import pyarrow as pa

_VERSION = 2  # of the files

_ROWS = 64  # of a record batch, at most
_BYTES = 2**25  # of the pixels of a record batch, about

_ESTIMATED = 32  # images from which the size of all is estimated

SMALL = 128
"""Image size in pixels up to which networks on a CPU are mostly faster than decoding."""

PLACE = np.dtype([("file", np.int32), ("batch", np.int32), ("row", np.int32)])
"""Where an image is."""


class DecodedImage(NamedTuple):
    """An image as the cache has it.

    Attributes:
        image: RGB, or gray floats.
        values: The values of black and white that it was scaled with; empty with 8 bits.
        lowest: The least size to which it would be decoded alike, in pixels.
        highest: The largest one.
    """

    image: Image.Image
    values: str
    lowest: int
    highest: int

    @property
    def size(self) -> int:
        """Of the pixels, in bytes."""
        image = self.image
        return (4 if image.mode == "F" else 3) * image.width * image.height


@dataclass(frozen=True)
class Decoded:
    """Inputs whose images are decoded in ``files``; pickles as their paths.

    Attributes:
        files: The files.
        named: The inputs that the images were decoded from.
        places: ``(N,)`` of :data:`PLACE`.
    """

    files: tuple[Path, ...]
    named: Inputs
    places: NDArray[Any]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Image.Image:
        file, chunk, place = self.places[index].tolist()
        batch = self._readers[file].get_batch(chunk)
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
        return replace(self, named=self.named.take(indices), places=self.places[indices])

    def __getstate__(self) -> dict[str, object]:
        return {name: self.__dict__[name] for name in ("files", "named", "places")}

    @cached_property
    def _readers(self) -> list[pa.RecordBatchFileReader]:
        return [_reader(file) for file in self.files]


def _reader(file: Path) -> pa.RecordBatchFileReader:
    import pyarrow as pa

    return pa.ipc.open_file(pa.memory_map(str(file)))


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        {
            "digest": pa.binary(),
            "values": pa.string(),
            "lowest": pa.int32(),
            "highest": pa.int32(),
            "mode": pa.string(),
            "width": pa.int32(),
            "height": pa.int32(),
            "pixels": pa.large_binary(),
        }
    )


class ImageWriter:
    """Writes images to a temporary file, which gets its name by :meth:`finish`; thread-safe.

    Args:
        file: The name. Without any image, there is no file.
    """

    def __init__(self, file: Path) -> None:
        self.count, self.size = 0, 0
        self.file, self._stack = file, ExitStack()
        self._writer: pa.RecordBatchFileWriter | None = None
        self._rows: list[tuple[object, ...]] = []
        self._pending = 0
        self._lock = threading.Lock()

    def add(self, digest: bytes, decoded: DecodedImage) -> None:
        """Write one image.

        Raises:
            OSError: The file cannot be written.
        """
        image, *facts = decoded
        pixels = image.tobytes()
        with self._lock:
            self._rows.append((digest, *facts, image.mode, image.width, image.height, pixels))
            self.count, self.size = self.count + 1, self.size + len(pixels)
            self._pending += len(pixels)
            if len(self._rows) == _ROWS or self._pending >= _BYTES:
                self._write()

    def finish(self) -> None:
        """Write the rest; give the file its name.

        Raises:
            OSError: The file cannot be written.
        """
        with self._lock, self._stack:
            if self._rows:
                self._write()

    def abandon(self) -> None:
        """Remove the file."""

        class Abandoned(Exception):
            pass

        with self._lock:
            error = Abandoned()
            self._stack.__exit__(Abandoned, error, None)
            self._rows.clear()

    def _write(self) -> None:
        import pyarrow as pa

        schema = _schema()
        if self._writer is None:
            temporary = self._stack.enter_context(replacing(self.file))
            self._stack.enter_context(held(temporary))
            sink = self._stack.enter_context(pa.OSFile(str(temporary), "wb"))
            self._writer = self._stack.enter_context(pa.ipc.new_file(sink, schema))
        columns = zip(*self._rows, strict=True)
        arrays = [pa.array(each, kind) for each, kind in zip(columns, schema.types, strict=True)]
        self._writer.write_batch(pa.record_batch(arrays, schema=schema))
        self._rows.clear()
        self._pending = 0


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
        """The versions of the files, and of what decodes."""
        return f"images {_VERSION}, Pillow {PIL.__version__}"

    def applies(self, samples: Samples) -> bool:
        """Whether there are any, not in memory, and Pillow has such images."""
        if not len(samples) or samples.digests is None or in_memory(samples.inputs):
            return False
        return samples.traits is None or not samples.traits["array"].any()

    def read(self, raw: Any, name: str) -> tuple[bytes, DecodedImage]:
        """The digest of a file, and its image; the file is opened once."""
        content = raw
        with suppress(OSError, ValueError):  # reported when it is decoded
            content = content_of(raw)
        digest = hashlib.sha256(content).digest() if isinstance(content, bytes) else b""
        return digest, self.decoded(content, name)

    def decoded(self, content: Any, name: str) -> DecodedImage:
        """As :func:`zoo.modalities.image.reading.read_image`."""
        lowest, highest = opened_as(content, lambda image: sizes_alike(image, self.size), name)
        image = read_image(content, size=self.size, name=name, values=self.values)
        return self.of(image, lowest, highest)

    def of(self, image: Image.Image, lowest: int, highest: int) -> DecodedImage:
        """An image as :func:`zoo.modalities.image.reading.read_image` returns it."""
        return DecodedImage(image, repr(self.values) if image.mode == "F" else "", lowest, highest)

    def estimated_bytes(self, samples: Samples) -> int:
        """From some of them."""
        count = min(_ESTIMATED, len(samples))
        chosen = np.linspace(0, len(samples) - 1, count).astype(int).tolist()
        some = [self.read(samples.raw(index), samples.input(index))[1].size for index in chosen]
        return sum(some) * len(samples) // max(1, count)

    def writer(self, file: Path) -> ImageWriter:
        """Writes the results of :meth:`decoded`."""
        return ImageWriter(file)

    def find(self, file: Path, digests: Set[bytes]) -> Mapping[bytes, tuple[int, int]]:
        """The batches and rows of those that are in the file; none if it is damaged."""
        import pyarrow as pa

        found = dict[bytes, tuple[int, int]]()
        try:
            reader = _reader(file)
            for chunk in range(reader.num_record_batches):
                batch = reader.get_batch(chunk)
                batch.validate(full=True)  # damaged offsets would point anywhere
                columns = [
                    batch.column(name).to_pylist()
                    for name in ("digest", "values", "lowest", "highest")
                ]
                for row, (digest, values, lowest, highest) in enumerate(zip(*columns, strict=True)):
                    fits = lowest <= self.size <= highest and values in ("", repr(self.values))
                    if fits and digest in digests:
                        found[digest] = chunk, row
        except (OSError, KeyError, pa.ArrowInvalid):
            return {}
        return found

    def opened(
        self, samples: Samples, files: Sequence[Path], places: Sequence[tuple[int, int, int]]
    ) -> Samples:
        """The samples, with images from these files."""
        rows = np.array(list(places), dtype=PLACE)
        return replace(samples, inputs=Decoded(tuple(files), samples.inputs, rows))
