"""The part of a file modality that a plugin provides: plain data and functions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.contract.inputs import InputSpec
from zoo.errors import ContractError

if TYPE_CHECKING:
    from numpy.random import Generator
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class FileFunctions:
    """A kind of input that is read from files, as plain data and functions.

    ``raw`` is an input as it is stored: the path of a file, encoded bytes, or an object in memory.
    ``sample`` is the result of ``read``. Functions must be defined at the top level of a module,
    since worker processes import them by name.

    Attributes:
        name: As in ``BackboneSpec.modality``.
        noun: One input, such as ``recording``; ``nouns``: several.
        endings: File extensions in lower case, with the dot; the first is that of ``encode``.
        main_input: The key of the input tensor in a batch.
        shape: The shape of one prepared input, without the batch.
        in_words: Function from an input to a short description of it.
        read: From ``raw`` to a sample. A ``ValueError`` or ``OSError`` says why an input cannot be
            read; any other exception is a bug of the plugin.
        prepare: From ``(sample, input, generator)`` to a float tensor of ``shape``. It is augmented
            only with a generator, and random numbers must come from that; ``None`` in evaluation.
        collate: From ``(prepared, input)``, a list of prepared inputs, to the tensors of a batch, the
            main input ``(B, *shape)`` among them; by default that alone, stacked. With it, prepared
            inputs may be shorter than ``shape`` along the last axis.
        demo_classes: The classes of the demo data, in order.
        make_demo: From a seed to pairs of a raw input and its class, for ``zoo finetune`` without
            data.
        demo_epochs: The default number of epochs on it.
        encode: From a raw input in memory, or bytes, to the bytes of a file.
        takes: Whether an object is a raw input in memory; bytes always are.
        objects: What ``takes`` takes, in words, to follow "paths, ".
        columns: Names of table columns that hold paths, in lower case, in order of preference.
        digest: From a sample to bytes that are equal for duplicates; by default the stored bytes.
        outline: From a sample to a matrix of numbers from 0 to 255, NumPy, at least 32 x 32, that
            hardly differs between copies, such as the spectrogram of its lower tones: copies of a
            sample are found by it, whatever their format and volume. Nothing else may be alike.
        measure: From a sample to a number about it, such as its length in seconds. It is kept with
            the result of the check, as long as the file does not change.
        libraries: Distributions on whose versions ``read``, ``digest``, ``outline`` and ``measure`` depend, such
            as ``soundfile``: files are checked again with another version of them, or of the plugin.
        fit: From ``(input, inputs, pretrained)`` to the input adapted to the training data;
            ``inputs`` is a sequence of raw inputs, whose attribute ``measures`` has their numbers,
            ``(N,)``, or is ``None`` where they are not known; ``pretrained`` says whether training
            starts from weights.
        facts: From ``(input, inputs)``, as of ``fit``, to lines of the summary, by title.
        image: From ``(prepared, input)`` to pixels ``(height, width)`` or ``(height, width, 3)``
            of 0 to 255, for reports; NumPy.
        preview: The same from a sample, for lists of files.
        across: From ``input`` to the axis of a prepared input that is horizontal in its image.
            Attribution sets parts along this axis to zero in turn.
        views: From ``(prepared, input)``, a batch of prepared inputs ``(B, *shape)``, to a list of
            the same inputs seen otherwise, of the same shape: for ``zoo predict --tta``.
        steps: The preprocessing steps, for users of an export.
        augmented: Whether ``prepare`` augments.
        pretrained: Default hyperparameters from pretrained weights, where they differ from those
            for images.
        scratch: The same for training from scratch.
    """

    name: str
    noun: str
    nouns: str
    endings: tuple[str, ...]
    main_input: str
    shape: Callable[[Any], tuple[int, ...]]
    in_words: Callable[[Any], str]
    read: Callable[[Any], Any]
    prepare: Callable[[Any, Any, Generator | None], Tensor]
    demo_classes: tuple[str, ...]
    make_demo: Callable[[int], Iterable[tuple[Any, str]]]
    encode: Callable[[Any], bytes]
    collate: Callable[[Any, Any], Mapping[str, Tensor]] | None = None
    demo_epochs: int | None = None
    takes: Callable[[Any], bool] | None = None
    objects: str = ""
    columns: tuple[str, ...] = ("path", "file", "file_name", "filename")
    digest: Callable[[Any], bytes] | None = None
    outline: Callable[[Any], Any] | None = None
    measure: Callable[[Any], float] | None = None
    libraries: tuple[str, ...] = ()
    fit: Callable[[Any, Any, bool], InputSpec] | None = None
    facts: Callable[[Any, Any], Mapping[str, str]] | None = None
    image: Callable[[Tensor, Any], Any] | None = None
    preview: Callable[[Any], Any] | None = None
    across: Callable[[Any], int] | None = None
    views: Callable[[Tensor, Any], Iterable[Tensor]] | None = None
    steps: Callable[[Any], list[dict[str, Any]]] | None = None
    augmented: bool = True
    pretrained: Mapping[str, Any] = field(default_factory=dict)
    scratch: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.main_input.isidentifier() and self.endings and self.demo_classes):
            raise ContractError(
                f"invalid modality {self.name!r}: main_input must be a name, and endings and "
                "demo_classes must not be empty",
                hint="See 'zoo_modalities' in docs/plugins.md.",
            )
        bad = [each for each in self.endings if not each.startswith(".") or each != each.lower()]
        if bad:
            raise ContractError(
                f"invalid modality {self.name!r}: an ending of {bad[0]!r}",
                hint="Write extensions in lower case with a dot, such as '.wav'.",
            )

    def is_file(self, path: str | Path) -> bool:
        """Whether a file name has one of the endings."""
        return os.path.splitext(path)[1].lower() in self.endings

    def in_memory(self, given: object) -> bool:
        """Whether an object is encoded bytes, or accepted by ``takes``."""
        return isinstance(given, bytes) or bool(self.takes is not None and self.takes(given))
