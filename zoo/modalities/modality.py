"""What a modality is: everything that differs between images, texts, and others to come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from zoo.contract.spec import BackboneSpec
from zoo.data.kind import InputKind

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor, nn

    from zoo.contract.backbone import Backbone
    from zoo.data.loader import BatchReader, Loader
    from zoo.data.samples import Samples, Splits
    from zoo.modalities.attribution import Attributed, Attribution, Question
    from zoo.modalities.batches import BatchOptions, Decoding
    from zoo.modalities.exporting import ExportInputs
    from zoo.modalities.image.not_seen import Reading
    from zoo.modalities.not_seen import NotSeen
    from zoo.modalities.preparing import Preparer


class Modality(InputKind, Protocol):
    """How raw inputs become batches, and how they are shown; frozen data plus functions.

    A modality is a folder in :mod:`zoo.modalities` whose object is listed in
    :data:`zoo.modalities.MODALITIES`. No other module asks which one it has.
    """

    @property
    def main_input(self) -> str:
        """The key, in a batch, of the tensor that holds the inputs themselves."""

    @property
    def dtype(self) -> str:
        """Of that tensor as the network takes it, as NumPy and ONNX call it."""

    @property
    def new_inputs(self) -> str:
        """What follows ``zoo predict RUN`` in an example."""

    @property
    def ragged(self) -> bool:
        """Whether batches differ in more than their number of samples."""

    @property
    def options(self) -> frozenset[str]:
        """Options of a fine-tune that mean something for this modality alone."""

    # -- on the device -------------------------------------------------------------------------

    def side(self, spec: BackboneSpec) -> int:
        """Height and width of the maps that a network begins with, in pixels; 0 for none."""

    def normaliser(self, spec: BackboneSpec) -> Callable[[Tensor], Tensor] | None:
        """What turns bytes in a batch into what the network takes, on the device; ``None`` for nothing."""

    # -- in words ----------------------------------------------------------------------------

    def shape_in_words(self, spec: BackboneSpec) -> str:
        """What inputs of a backbone are made into, in a few words."""

    def recipe(self, *, pretrained: bool) -> Mapping[str, Any]:
        """Hyperparameters that are good enough for most data: fields of the engine's recipe.

        Args:
            pretrained: Whether training starts from weights.
        """

    # -- fitting a network to the data ---------------------------------------------------------

    def fitted(
        self, spec: BackboneSpec, asked: Mapping[str, Any], splits: Splits, *, pretrained: bool
    ) -> BackboneSpec:
        """The spec with the input that the user and the data ask for.

        Args:
            spec: As the weights were trained.
            asked: Values of :attr:`options` that the user gave, ``None`` where none was given.
            splits: The data.
            pretrained: Whether there are weights to begin with.

        Raises:
            UsageError: Something that the network does not take.
        """

    def with_tokenizer(
        self, spec: BackboneSpec, train: Samples, found: Tokenizer | None
    ) -> tuple[BackboneSpec, Tokenizer | None]:
        """A tokenizer for a network of tokens that brings none, and the spec with its vocabulary.

        Args:
            spec: Of the network.
            train: What a tokenizer is trained on.
            found: One to take instead.
        """

    def require_fit(self, train: Samples, tokenizer: Tokenizer | None) -> None:
        """Raise a :class:`zoo.DataError` where the network cannot tell parts of an input apart."""

    def input_facts(
        self, spec: BackboneSpec, splits: Splits, asked: Mapping[str, Any]
    ) -> dict[str, str]:
        """How inputs are read and what of them is not, a fact a line of the header."""

    def input_record(
        self, spec: BackboneSpec, splits: Splits, asked: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The same for ``data`` of ``run.json``."""

    # -- reading -----------------------------------------------------------------------------

    def reading(self, spec: BackboneSpec, data: Mapping[str, Any]) -> Reading | None:
        """How a run reads its inputs; ``None`` where there is nothing to watch.

        Args:
            spec: Of the run.
            data: Of its ``run.json``.

        Raises:
            TypeError, ValueError: They are something else than :meth:`input_record` gives.
        """

    def truncation_note(
        self, cut: int, count: int, spec: BackboneSpec, *, trained: bool = False, command: str = ""
    ) -> str:
        """How many inputs are truncated, and how to change it; empty where none is.

        Args:
            cut: How many are.
            count: Of how many.
            spec: Says where they are truncated, and how long they may be at most.
            trained: Whether a run was trained so, which only another fine-tune changes.
            command: The command that has the option for it, where it is another one.
        """

    def not_seen(self, loader: Loader, spec: BackboneSpec) -> NotSeen:
        """What a run has not read of the samples of a loader, after a whole pass."""

    def preparer(
        self, spec: BackboneSpec, *, tokenizer: Any, pairs: bool, reading: Reading | None
    ) -> Preparer:
        """What prepares inputs of a run one at a time.

        Args:
            spec: Of the run.
            tokenizer: That of the run, if it has one.
            pairs: Whether the inputs are pairs.
            reading: As :meth:`reading` gives it.
        """

    def predict_command(self, folder: str, example: Any) -> str:
        """A command that tries a run on one input.

        Args:
            folder: The run folder, quoted for a shell.
            example: The input, as ``run.json`` keeps it: a path or what the folder holds, a text,
                or a pair of texts.
        """

    # -- showing -----------------------------------------------------------------------------

    def plainly(self, shown: str | tuple[str, ...]) -> Attribution:
        """An input as a page shows it where no network can be asked.

        Args:
            shown: What stands for it among the predictions: a path, a text, or a pair.
        """

    def thumbnail(self, path: Path, side: int) -> bytes | None:
        """Return an input file as a small JPEG; ``None`` if it is unreadable or has no preview.

        Args:
            path: The file.
            side: Maximum width and height, in pixels.
        """

    def attribute(self, question: Question) -> Attributed:
        """Inputs as a page shows them, with where the network looked."""

    # -- without zoo ---------------------------------------------------------------------------

    def export_inputs(self, backbone: Backbone, *, tokenizer: Any, pairs: bool) -> ExportInputs:
        """What an export has to know of a network's inputs.

        Args:
            backbone: With its head, in evaluation mode.
            tokenizer: That of the run, if it has one.
            pairs: Whether the inputs are pairs.
        """

    # -- batches -----------------------------------------------------------------------------

    def batch_reader(
        self, samples: Samples, spec: BackboneSpec, options: BatchOptions
    ) -> BatchReader:
        """What makes batches of samples, as the backbone takes them."""

    def decoding(self, spec: BackboneSpec, *, train: bool) -> Decoding | None:
        """How inputs are decoded once for a whole run; ``None`` where that is of no use.

        Args:
            spec: Of the network.
            train: Whether they are augmented after it.
        """

    # -- batches that mean nothing -------------------------------------------------------------

    def random_batch(
        self, spec: BackboneSpec, count: int, *, size: Any = None, seed: int = 0
    ) -> dict[str, Tensor]:
        """A seeded batch of noise, without padding, on the CPU.

        Args:
            spec: Whose input it is.
            count: Samples in it.
            size: As large as this, in the modality's own measure; as the spec says by default,
                within reason.
            seed: Decides the values.
        """

    def padded_batch(self, spec: BackboneSpec) -> dict[str, Tensor]:
        """Two samples of noise; the second is padded from its middle on, where that can be."""

    def small_size(self, spec: BackboneSpec) -> Any:
        """``size`` of a small batch that the backbone takes; ``None`` for that of the spec."""

    def largest_size(self, spec: BackboneSpec) -> Any:
        """``size`` of the largest batch that the spec promises, within reason."""

    def native_outputs(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """What a library's own network puts out for a batch."""
