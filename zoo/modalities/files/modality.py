"""A modality of files, made of a plugin's functions. Imports torch only inside functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.contract.spec import BackboneSpec
from zoo.modalities.defaults import PRETRAINED, SCRATCH, DefaultsOfFiles
from zoo.modalities.files.functions import FileFunctions

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
    from zoo.modalities.batches import BatchOptions
    from zoo.modalities.exporting import ExportInputs
    from zoo.modalities.not_seen import NotSeen
    from zoo.modalities.preparing import Preparer
    from zoo.modalities.views import View


@dataclass(frozen=True, kw_only=True, eq=False)
class FileModality(FileFunctions, DefaultsOfFiles):
    """A modality whose inputs are files; see :class:`FileFunctions` for its arguments."""

    in_files: bool = field(default=True, init=False)
    most_columns: int = field(default=1, init=False)
    ragged: bool = field(default=False, init=False)

    # -- in words ----------------------------------------------------------------------------

    @property
    def in_columns(self) -> str:
        """Their paths."""
        return f"{self.noun} paths"

    @property
    def inputs_in_words(self) -> str:
        """Paths, what the plugin takes, and encoded files."""
        return ", ".join(
            ["paths", *filter(None, [self.objects]), f"or encoded {self.nouns} (bytes)"]
        )

    @property
    def new_inputs(self) -> str:
        """Files with the first ending."""
        return f"new/*{self.endings[0]}"

    @property
    def accept(self) -> str:
        """The endings."""
        return ",".join(self.endings)

    @property
    def readable(self) -> str:
        """The endings, in words."""
        return f"{self.nouns}: {', '.join(self.endings)} files"

    @property
    def options(self) -> frozenset[str]:
        """Those of the input; augmented inputs have views to cache."""
        return frozenset({"input", "cached_views"} if self.augmented else {"input"})

    def shape_in_words(self, spec: BackboneSpec) -> str:
        """The plugin's description."""
        from zoo.modalities.files.reading import calling

        with calling(self, "in_words"):
            return self.in_words(spec.input)

    def recipe(self, *, pretrained: bool) -> Mapping[str, Any]:
        """The plugin's hyperparameters; the usual ones for the rest."""
        if pretrained:
            return {**PRETRAINED, **self.pretrained}
        return {**SCRATCH, **self.scratch}

    # -- fitting a network to the data ---------------------------------------------------------

    def fitted(
        self, spec: BackboneSpec, asked: Mapping[str, Any], splits: Splits, *, pretrained: bool
    ) -> BackboneSpec:
        """As the plugin fits the input to the training data, with the user's options."""
        from zoo.modalities.files.fitting import fitted

        return fitted(self, spec, asked, splits, pretrained=pretrained)

    def input_facts(
        self, spec: BackboneSpec, splits: Splits, asked: Mapping[str, Any]
    ) -> dict[str, str]:
        """The plugin's summary of the training inputs."""
        from zoo.modalities.files.fitting import facts_of

        return facts_of(self, spec, splits)

    # -- reading -----------------------------------------------------------------------------

    def test_views(self, spec: BackboneSpec, data: Mapping[str, Any]) -> Sequence[View]:
        """Those of the plugin."""
        from zoo.modalities.files.views import views_of_files

        return views_of_files(self, spec, lambda: self.padded_batch(spec))

    def not_seen(self, loader: Loader, spec: BackboneSpec) -> NotSeen:
        """Not known of a single input."""
        from zoo.modalities.not_seen import NotSeen

        return NotSeen(tuple(() for _ in range(len(loader.reader))), ())

    def preparer(
        self, spec: BackboneSpec, *, tokenizer: Any, pairs: bool, reading: Any
    ) -> Preparer:
        """See :mod:`zoo.modalities.files.preparing`."""
        from zoo.modalities.files.preparing import FilePreparer

        return FilePreparer(self, spec.input)

    def example_file(self, raw: Any) -> tuple[str, bytes]:
        """A file with the first ending."""
        from zoo.modalities.files.reading import encoded

        return self.endings[0], encoded(self, raw)

    # -- display -----------------------------------------------------------------------------

    def thumbnail(self, path: Path, side: int) -> bytes | None:
        """The plugin's preview."""
        from zoo.modalities.files.showing import thumbnail

        return thumbnail(self, path, side)

    def attribute(self, question: Question) -> Attributed:
        """See :mod:`zoo.modalities.files.attribution`."""
        from zoo.modalities.files.attribution import attribute

        return attribute(self, question)

    # -- without zoo ---------------------------------------------------------------------------

    def export_inputs(self, backbone: Backbone, *, tokenizer: Any, pairs: bool) -> ExportInputs:
        """See :mod:`zoo.modalities.files.exporting`."""
        from zoo.modalities.files.exporting import FileExport

        return FileExport(self, backbone.spec)

    # -- batches -----------------------------------------------------------------------------

    def batch_reader(
        self, samples: Samples, spec: BackboneSpec, options: BatchOptions
    ) -> BatchReader:
        """Reads and augments inputs as they are needed."""
        from zoo.modalities.files.batches import FileBatches

        return FileBatches(self, samples, spec.input, options)

    # -- random batches ------------------------------------------------------------------------

    def random_batch(
        self, spec: BackboneSpec, count: int, *, size: Any = None, seed: int = 0
    ) -> dict[str, Tensor]:
        """Noise of the shape that the spec states; ``size`` is not used."""
        from zoo.modalities.files.collating import noise

        return noise(self, spec.input, count, seed=seed)

    def padded_batch(self, spec: BackboneSpec) -> dict[str, Tensor]:
        """The second is half as long where the plugin collates; else every input has one shape."""
        from zoo.modalities.files.collating import noise

        return noise(self, spec.input, 2, padded=True)

    def small_size(self, spec: BackboneSpec) -> None:
        """There is one shape."""

    def largest_size(self, spec: BackboneSpec) -> None:
        """There is one shape."""

    def native_outputs(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """The network gets the tensor by name, as in Transformers."""
        outputs: Any = network(**batch)
        logits: Tensor = getattr(outputs, "logits", outputs)
        return logits

    # -- for data sources ----------------------------------------------------------------------

    @property
    def column_names(self) -> Sequence[str]:
        """As the plugin names them."""
        return self.columns

    def holds(self, table: Table, column: str) -> bool:
        """Whether a column holds such files, or mostly their paths."""
        from zoo.data.sources.file_columns import holds_files_of

        return holds_files_of(self, table, column)

    @property
    def examiner(self) -> str:
        """The plugin's files and libraries; see :mod:`zoo.modalities.files.reading`."""
        from zoo.modalities.files.reading import examiner

        return examiner(self)

    def examine(self, inputs: Inputs, keep: Keeps | None = None) -> Examined:
        """Read every file once, the only way to find all damaged ones."""
        from zoo.modalities.files.reading import examine

        return examine(self, inputs)

    def near_matches(self, train: Hashes, held: Hashes) -> Matches | None:
        """By perceptual hashes of their outlines."""
        from zoo.modalities.perceptual_hash import near_matches

        return near_matches(train, held, mirrored=False)

    def near_sets(self, hashes: Hashes) -> Indices | None:
        """By perceptual hashes of their outlines."""
        from zoo.modalities.perceptual_hash import near_sets

        return near_sets(hashes, mirrored=False)

    def in_memory(self, given: object) -> bool:
        """Encoded inputs, and what the plugin takes."""
        from zoo.modalities.files.reading import calling

        with calling(self, "takes"):
            return super().in_memory(given)

    def open_given(self, given: Any, number: int, context: ReadContext) -> Inputs:
        """An input, or those in a folder or a table."""
        from zoo.modalities.files.inputs import open_files

        return open_files(self, given, number, context)

    @property
    def demo(self) -> DemoData:
        """The data that the plugin makes."""
        from zoo.modalities.files.demo import demo_of

        return demo_of(self)
