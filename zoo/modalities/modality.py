"""The modality protocol: everything that differs between images, texts and future modalities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from zoo.contract.spec import BackboneSpec
from zoo.data.kind import InputKind

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor, nn

    from zoo.contract.network.backbone import Backbone
    from zoo.data.loader import BatchReader, Loader
    from zoo.data.samples import Samples, Splits
    from zoo.modalities.attribution import Attributed, Attribution, Question
    from zoo.modalities.batches import BatchOptions, Decoding, Placing
    from zoo.modalities.exporting import ExportInputs
    from zoo.modalities.image.not_seen import Reading
    from zoo.modalities.not_seen import NotSeen
    from zoo.modalities.preparing import Preparer
    from zoo.modalities.views import View


class Modality(InputKind, Protocol):
    """How raw inputs become batches, and how they are displayed; frozen data plus functions.

    A modality is a folder in :mod:`zoo.modalities`, or a plugin's :class:`zoo.FileModality`; the
    table is :mod:`zoo.contract.modalities`. No other module checks which modality it has.
    """

    @property
    def main_input(self) -> str:
        """The key of the input tensor in a batch."""

    @property
    def new_inputs(self) -> str:
        """Example arguments for ``zoo predict RUN``."""

    @property
    def accept(self) -> str:
        """The files that a page lets users choose, as HTML's ``accept``; empty for none."""

    @property
    def readable(self) -> str:
        """What a server takes, in words."""

    @property
    def ragged(self) -> bool:
        """Whether batches differ in other dimensions than the number of samples."""

    @property
    def options(self) -> frozenset[str]:
        """Options of ``finetune`` that apply only to this modality."""

    # -- on the device -------------------------------------------------------------------------

    def side(self, spec: BackboneSpec) -> int:
        """Height and width of the input in pixels; 0 if the modality has none."""

    def normaliser(self, spec: BackboneSpec) -> Callable[[Tensor], Tensor] | None:
        """Normalises a batch on the device; ``None`` if there is nothing to do."""

    # -- in words ----------------------------------------------------------------------------

    def shape_in_words(self, spec: BackboneSpec) -> str:
        """The input shape of a backbone, in a few words."""

    def recipe(self, *, pretrained: bool) -> Mapping[str, Any]:
        """Default hyperparameters: fields of the engine's recipe.

        Args:
            pretrained: Whether training starts from pretrained weights.
        """

    # -- fitting a network to the data ---------------------------------------------------------

    def fitted(
        self, spec: BackboneSpec, asked: Mapping[str, Any], splits: Splits, *, pretrained: bool
    ) -> BackboneSpec:
        """The spec with its input adapted to the options and the data.

        Args:
            spec: As the weights were trained.
            asked: The user's values of :attr:`options`, ``None`` if not given.
            splits: The data.
            pretrained: Whether training starts from pretrained weights.

        Raises:
            UsageError: The network does not support an option.
        """

    def with_tokenizer(
        self, spec: BackboneSpec, train: Samples, found: Tokenizer | None
    ) -> tuple[BackboneSpec, Tokenizer | None]:
        """A tokenizer for a network without one, and the spec with its vocabulary.

        Args:
            spec: The network's spec.
            train: The samples to train a tokenizer on.
            found: A tokenizer to use instead.
        """

    def require_fit(self, train: Samples, tokenizer: Tokenizer | None) -> None:
        """Raise a :class:`zoo.DataError` if the tokenizer does not suit the inputs."""

    def input_facts(
        self, spec: BackboneSpec, splits: Splits, asked: Mapping[str, Any]
    ) -> dict[str, str]:
        """How inputs are read, one entry per line of the summary."""

    def input_record(
        self, spec: BackboneSpec, splits: Splits, asked: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The same for ``data`` in ``run.json``."""

    # -- reading -----------------------------------------------------------------------------

    def reading(self, spec: BackboneSpec, data: Mapping[str, Any]) -> Reading | None:
        """How a run reads its inputs; ``None`` if inputs are always read completely.

        Args:
            spec: The run's spec.
            data: ``data`` in its ``run.json``.

        Raises:
            TypeError, ValueError: ``data`` does not come from :meth:`input_record`.
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
        """The unread parts of a loader's samples, after a whole pass."""

    def preparer(
        self, spec: BackboneSpec, *, tokenizer: Any, pairs: bool, reading: Reading | None
    ) -> Preparer:
        """Prepares single inputs of a run.

        Args:
            spec: The run's spec.
            tokenizer: The run's tokenizer, if it has one.
            pairs: Whether the inputs are pairs.
            reading: The result of :meth:`reading`.
        """

    def test_views(self, spec: BackboneSpec, data: Mapping[str, Any]) -> Sequence[View]:
        """Other views of a batch, for test-time augmentation; empty if there are none.

        Args:
            spec: The run's spec.
            data: ``data`` in its ``run.json``.
        """

    def predict_command(self, folder: str, example: Any) -> str:
        """A command that tries a run on one input.

        Args:
            folder: The run folder, quoted for a shell.
            example: The input as in ``run.json``: a path, a text, or a text pair.
        """

    # -- display -----------------------------------------------------------------------------

    def plainly(self, shown: str | tuple[str, ...]) -> Attribution:
        """An input as displayed without attributions.

        Args:
            shown: The input as in predictions: a path, a text, or a text pair.
        """

    def thumbnail(self, path: Path, side: int) -> bytes | None:
        """Return an input file as a small JPEG; ``None`` if it is unreadable or has no preview.

        Args:
            path: The file.
            side: Maximum width and height, in pixels.
        """

    def attribute(self, question: Question) -> Attributed:
        """Inputs as displayed, with attributions."""

    # -- without zoo ---------------------------------------------------------------------------

    def export_inputs(self, backbone: Backbone, *, tokenizer: Any, pairs: bool) -> ExportInputs:
        """The inputs of a network, for an export.

        Args:
            backbone: With its head, in evaluation mode.
            tokenizer: The run's tokenizer, if it has one.
            pairs: Whether the inputs are pairs.
        """

    # -- batches -----------------------------------------------------------------------------

    def batch_reader(
        self, samples: Samples, spec: BackboneSpec, options: BatchOptions
    ) -> BatchReader:
        """Makes batches of samples for a backbone."""

    def decoding(self, spec: BackboneSpec, *, train: bool) -> Decoding | None:
        """How to decode inputs once for a whole run; ``None`` if that is of no use.

        Args:
            spec: The network's spec.
            train: Whether inputs are augmented afterwards.
        """

    def placing(self, spec: BackboneSpec) -> Placing | None:
        """How to make and augment batches on the device; ``None`` if that is of no use."""

    def decodings(
        self, spec: BackboneSpec, asked: Mapping[str, Any], *, pretrained: bool
    ) -> Sequence[Decoding]:
        """How inputs will be decoded for training and validation, before the data is known.

        Args:
            spec: As the weights were trained.
            asked: As for :meth:`fitted`.
            pretrained: As for :meth:`fitted`.
        """

    # -- random batches ------------------------------------------------------------------------

    def random_batch(
        self, spec: BackboneSpec, count: int, *, size: Any = None, seed: int = 0
    ) -> dict[str, Tensor]:
        """A seeded batch of noise, without padding, on the CPU.

        Args:
            spec: The backbone's spec.
            count: Number of samples.
            size: Input size in the modality's own unit; by default from the spec, within limits.
            seed: Determines the values.
        """

    def padded_batch(self, spec: BackboneSpec) -> dict[str, Tensor]:
        """Two samples of noise; the second is half padding if the modality has padding."""

    def small_size(self, spec: BackboneSpec) -> Any:
        """A small ``size`` that the backbone takes; ``None`` for the default."""

    def largest_size(self, spec: BackboneSpec) -> Any:
        """The largest ``size`` that the spec allows, within limits."""

    def native_outputs(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """The output of a library's own network for a batch."""
