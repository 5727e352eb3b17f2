"""The image modality. Imports torch and Pillow only inside functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.contract.spec import BackboneSpec
from zoo.modalities.defaults import PRETRAINED, SCRATCH, DefaultsOfFiles

if TYPE_CHECKING:
    from torch import Tensor, nn

    from zoo.contract.network.backbone import Backbone
    from zoo.data.examined import Examined, Hashes, Keeps
    from zoo.data.kind import DemoData, ReadContext
    from zoo.data.loader import BatchReader, Loader
    from zoo.data.matches import Matches
    from zoo.data.samples import Samples, Splits
    from zoo.data.sequences import Indices, Inputs
    from zoo.data.table import Table
    from zoo.modalities.attribution import Attributed, Question
    from zoo.modalities.batches import BatchOptions, Decoding, Placing
    from zoo.modalities.exporting import ExportInputs
    from zoo.modalities.image.not_seen import Reading
    from zoo.modalities.not_seen import NotSeen
    from zoo.modalities.preparing import Preparer
    from zoo.modalities.views import View

_LR = 2e-4  # where training starts from weights

_RGB = 3

SMALL = 64
"""Pixels of a side that are enough to try a network."""


@dataclass(frozen=True)
class ImageModality(DefaultsOfFiles):
    """Images, ``pixel_values`` ``(B, C, size, size)``; see :class:`zoo.modalities.Modality`."""

    name: str = "image"
    noun: str = "image"
    nouns: str = "images"
    in_files: bool = True
    in_columns: str = "image paths"
    inputs_in_words: str = "paths, Pillow images, arrays, tensors, or encoded images (bytes)"
    most_columns: int = 1
    main_input: str = "pixel_values"
    new_inputs: str = "new/*.jpg"
    accept: str = "image/*"
    readable: str = "images in JPEG, PNG, WebP, GIF, TIFF or AVIF format"
    ragged: bool = False
    options: frozenset[str] = frozenset(
        {
            *("image_size", "channels", "resize", "value_range", "flip", "random_crop"),
            *("augment", "augment_on", "mixup", "cutmix", "cached_views", "cache_images"),
        }
    )

    def recipe(self, *, pretrained: bool) -> Mapping[str, Any]:
        """Those of files, with a higher learning rate where training starts from weights."""
        return {**PRETRAINED, "lr": _LR} if pretrained else SCRATCH

    def side(self, spec: BackboneSpec) -> int:
        """The size of the images."""
        return spec.image_input.size

    def normaliser(self, spec: BackboneSpec) -> Callable[[Tensor], Tensor]:
        """Images travel as bytes."""
        from zoo.modalities.image.transforms import Normalise

        return Normalise(spec.image_input)

    def shape_in_words(self, spec: BackboneSpec) -> str:
        """Height and width in pixels, and the number of channels unless it is 3."""
        given = spec.image_input
        channels = f" of {given.channels} channels" if given.channels != _RGB else ""
        return f"{given.size} pixels{channels}".replace("of 1 channels", "of 1 channel")

    def fitted(
        self, spec: BackboneSpec, asked: Mapping[str, Any], splits: Splits, *, pretrained: bool
    ) -> BackboneSpec:
        """See :mod:`zoo.modalities.image.fitting`."""
        from zoo.modalities.image.fitting import fitted

        return fitted(spec, asked, splits, pretrained=pretrained)

    def input_facts(
        self, spec: BackboneSpec, splits: Splits, asked: Mapping[str, Any]
    ) -> dict[str, str]:
        """How images are made square, their value range, and parts that are not seen."""
        from zoo.modalities.image.not_seen import reading_in_words, steps_in_words

        square = {"resize": asked["resize"]} if asked["resize"] else {}
        given = asked["value_range"] is not None
        return {
            **square,
            **steps_in_words(spec.image_input, splits, asked),
            **reading_in_words(spec.image_input, splits, given=given),
        }

    def input_record(
        self, spec: BackboneSpec, splits: Splits, asked: Mapping[str, Any]
    ) -> dict[str, Any]:
        """``images``: their value range, and how many have parts that are not seen."""
        from zoo.modalities.image.not_seen import reading_record

        given = asked["value_range"] is not None
        return {"images": reading_record(spec.image_input, splits, given=given)}

    def reading(self, spec: BackboneSpec, data: Mapping[str, Any]) -> Reading:
        """Uses the value range of the training images."""
        from zoo.modalities.image.not_seen import Reading

        images = data.get("images") or {}
        return Reading(
            spec.image_input,
            trained=True,
            deep=bool(images.get("all_deep", False)),
            windowed=bool(images.get("windowed", False)),
        )

    def test_views(self, spec: BackboneSpec, data: Mapping[str, Any]) -> Sequence[View]:
        """See :mod:`zoo.modalities.image.views`; mirrored if training images were."""
        from zoo.modalities.image.views import image_views

        images = data.get("images") or {}
        mirrored = spec.image_input.flip and bool(images.get("mirrored", True))
        return image_views(spec.image_input, mirrored=mirrored)

    def not_seen(self, loader: Loader, spec: BackboneSpec) -> NotSeen:
        """The parts that were recorded while the loader read images."""
        from zoo.modalities.image.not_seen import Reading
        from zoo.modalities.not_seen import NotSeen

        watched = getattr(loader.reader, "reading", None)
        reading = watched or Reading(spec.image_input, trained=True)
        words = reading.in_words(loader.traits)
        return NotSeen(reading.names(loader.traits), tuple(words.values()))

    def preparer(
        self, spec: BackboneSpec, *, tokenizer: Any, pairs: bool, reading: Reading | None
    ) -> Preparer:
        """See :mod:`zoo.modalities.image.preparing`."""
        from zoo.modalities.image.preparing import ImagePreparer

        return ImagePreparer(spec.image_input, reading)

    def thumbnail(self, path: Path, side: int) -> bytes | None:
        """See :mod:`zoo.modalities.image.thumbnails`."""
        from zoo.modalities.image.thumbnails import jpeg_thumbnail

        return jpeg_thumbnail(path, side)

    def attribute(self, question: Question) -> Attributed:
        """See :mod:`zoo.modalities.image.attribution`."""
        from zoo.modalities.image.attribution import attribute

        return attribute(question)

    def export_inputs(self, backbone: Backbone, *, tokenizer: Any, pairs: bool) -> ExportInputs:
        """See :mod:`zoo.modalities.image.exporting`."""
        from zoo.modalities.image.exporting import ImageExport

        return ImageExport(backbone.spec)

    def random_batch(
        self,
        spec: BackboneSpec,
        count: int,
        *,
        size: int | tuple[int, int] | None = None,
        seed: int = 0,
    ) -> dict[str, Tensor]:
        """Pixels; ``size`` is height and width."""
        from zoo.modalities.image.noise import random_batch

        return random_batch(spec, count, size=size, seed=seed)

    def padded_batch(self, spec: BackboneSpec) -> dict[str, Tensor]:
        """Images are not padded."""
        return self.random_batch(spec, 2)

    def small_size(self, spec: BackboneSpec) -> int:
        """The smallest height and width that the spec allows, not below :data:`SMALL`."""
        image = spec.image_input
        return (
            image.size if image.fixed_size else min(image.fitting(SMALL), image.fitting(image.size))
        )

    def largest_size(self, spec: BackboneSpec) -> int:
        """The size in the spec."""
        return spec.image_input.size

    def native_outputs(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """The network gets the pixels as its only argument."""
        outputs: Any = network(batch["pixel_values"])
        logits: Tensor = getattr(outputs, "logits", outputs)
        return logits

    # -- batches -----------------------------------------------------------------------------

    def batch_reader(
        self, samples: Samples, spec: BackboneSpec, options: BatchOptions
    ) -> BatchReader:
        """Reads and augments images as they are needed, or those that are in memory already."""
        from zoo.modalities.image.batches import ImageBatches
        from zoo.modalities.image.device_batches import device_batches
        from zoo.modalities.image.transforms import make_transform

        if found := device_batches(samples, spec.image_input, options):
            return found
        transform = make_transform(
            spec.image_input,
            train=options.train,
            flip=options.flip,
            min_scale=options.min_scale,
            augment=options.augment,
        )
        return ImageBatches(samples, transform, options.seed, options.reading)

    def decoding(self, spec: BackboneSpec, *, train: bool) -> Decoding | None:
        """To pixels, no larger than needed; ``None`` for other channels than RGB."""
        from zoo.modalities.image.decoded import ImageDecoding
        from zoo.modalities.image.transforms import RGB, resized

        given = spec.image_input
        if given.channels != RGB:
            return None
        return ImageDecoding(given.size if train else resized(given), given.value_range)

    def placing(self, spec: BackboneSpec) -> Placing:
        """See :mod:`zoo.modalities.image.placed`."""
        from zoo.modalities.image.placed import ImagePlacing

        return ImagePlacing(spec.image_input)

    def decodings(
        self, spec: BackboneSpec, asked: Mapping[str, Any], *, pretrained: bool
    ) -> Sequence[Decoding]:
        """As for RGB images of 8 bits."""
        from zoo.modalities.image.fitting import expected

        likely = expected(spec, asked, pretrained=pretrained)
        found = [self.decoding(likely, train=train) for train in (True, False)]
        return [each for each in found if each is not None]

    # -- for data sources ----------------------------------------------------------------------

    @property
    def column_names(self) -> Sequence[str]:
        """Of images, and of their paths."""
        from zoo.modalities.image.columns import NAMES

        return NAMES

    def is_file(self, path: str | Path) -> bool:
        """Whether a file name has the extension of an image."""
        from zoo.modalities.image.reading import looks_like_image

        return looks_like_image(path)

    def holds(self, table: Table, column: str) -> bool:
        """Whether a column holds images, or mostly their paths."""
        from zoo.data.sources.file_columns import holds_files_of

        return holds_files_of(self, table, column)

    @property
    def examiner(self) -> str:
        """Pillow's version; see :mod:`zoo.modalities.image.examining`."""
        from zoo.modalities.image.examining import examiner

        return examiner()

    def examine(self, inputs: Inputs, keep: Keeps | None = None) -> Examined:
        """Decode every image once, the only way to find all damaged files."""
        from zoo.modalities.image.examining import examine

        return examine(inputs, keep)

    def near_matches(self, train: Hashes, held: Hashes) -> Matches | None:
        """By perceptual hashes, mirrored or not."""
        from zoo.modalities.perceptual_hash import near_matches

        return near_matches(train, held)

    def near_sets(self, hashes: Hashes) -> Indices | None:
        """By perceptual hashes, mirrored or not."""
        from zoo.modalities.perceptual_hash import near_sets

        return near_sets(hashes)

    def in_memory(self, given: object) -> bool:
        """Pillow's images, encoded ones, arrays and tensors."""
        from PIL import Image

        from zoo.modalities.image.arrays import is_array

        return isinstance(given, (bytes, Image.Image)) or is_array(given)

    def open_given(self, given: Any, number: int, context: ReadContext) -> Inputs:
        """An image, or those in a folder or a table."""
        from zoo.modalities.image.inputs import open_images

        return open_images(given, number, context)

    def example_file(self, raw: Any) -> tuple[str, bytes]:
        """A PNG."""
        import io

        from PIL import Image

        from zoo.modalities.image.reading import read_image

        image = raw if isinstance(raw, Image.Image) else read_image(raw, values="own")
        file = io.BytesIO()
        image.save(file, "PNG")
        return ".png", file.getvalue()

    @property
    def demo(self) -> DemoData:
        """Handwritten digits."""
        from zoo.modalities.image.demo import DIGITS

        return DIGITS


IMAGE = ImageModality()
