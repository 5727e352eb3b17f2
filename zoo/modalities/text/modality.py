"""The text modality. Imports torch and tokenizers only inside functions."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.contract.spec import BackboneSpec
from zoo.modalities.defaults import Defaults

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor, nn

    from zoo.contract.network.backbone import Backbone
    from zoo.data.examined import Examined, Flags, Keeps
    from zoo.data.kind import DemoData, ReadContext
    from zoo.data.loader import BatchReader, Loader
    from zoo.data.samples import Samples, Splits
    from zoo.data.sequences import Indices, Inputs
    from zoo.data.table import Table
    from zoo.modalities.attribution import Attributed, Attribution, Question
    from zoo.modalities.batches import BatchOptions
    from zoo.modalities.exporting import ExportInputs
    from zoo.modalities.image.not_seen import Reading
    from zoo.modalities.not_seen import NotSeen
    from zoo.modalities.preparing import Preparer

PRETRAINED: Mapping[str, Any] = {
    "epochs": 3,
    "probe_epochs": 10,
    "lr": 1e-4,
    "probe_lr": 5e-3,
    "layer_decay": 0.98,
    "weight_decay": 0.01,
}
"""Hyperparameters where training starts from weights."""

SCRATCH: Mapping[str, Any] = {
    "epochs": 5,
    "probe_epochs": 20,
    "lr": 2e-3,
    "probe_lr": 5e-3,
    "layer_decay": 1.0,
    "base_width": 256,
    "weight_decay": 0.05,
}
"""The same where it starts from random parameters."""


@dataclass(frozen=True)
class TextModality(Defaults):
    """Texts, ``input_ids`` and ``attention_mask`` ``(B, T)``; see :class:`zoo.modalities.Modality`."""

    name: str = "text"
    noun: str = "text"
    nouns: str = "texts"
    in_files: bool = False
    in_columns: str = "texts"
    inputs_in_words: str = "texts, or tuples of two texts"
    most_columns: int = 2
    main_input: str = "input_ids"
    new_inputs: str = "new.csv"
    accept: str = ""
    readable: str = "texts"
    ragged: bool = True
    options: frozenset[str] = frozenset({"max_length", "pooling"})

    def shape_in_words(self, spec: BackboneSpec) -> str:
        """The maximum number of tokens, and the pooling."""
        text = spec.text_input
        return f"up to {text.max_length:,} tokens, {text.pooling} pooling"

    def recipe(self, *, pretrained: bool) -> Mapping[str, Any]:
        """:data:`PRETRAINED` or :data:`SCRATCH`."""
        return PRETRAINED if pretrained else SCRATCH

    def fitted(
        self,
        spec: BackboneSpec,
        asked: Mapping[str, Any],
        splits: Splits,
        *,
        pretrained: bool,
    ) -> BackboneSpec:
        """See :mod:`zoo.modalities.text.fitting`."""
        from zoo.modalities.text.fitting import fitted

        return fitted(spec, asked)

    def with_tokenizer(
        self, spec: BackboneSpec, train: Samples, found: Tokenizer | None
    ) -> tuple[BackboneSpec, Tokenizer]:
        """See :mod:`zoo.modalities.text.fitting`."""
        from zoo.modalities.text.fitting import with_tokenizer

        return with_tokenizer(spec, train, found)

    def require_fit(self, train: Samples, tokenizer: Tokenizer | None) -> None:
        """The tokenizer must separate the two texts of a pair."""
        from zoo.modalities.text.tokenization import require_separator

        if train.pairs and tokenizer is not None:
            require_separator(tokenizer)

    def truncation_note(
        self, cut: int, count: int, spec: BackboneSpec, *, trained: bool = False, command: str = ""
    ) -> str:
        """Texts longer than the maximum number of tokens are truncated."""
        if not cut:
            return ""
        given = spec.text_input
        are = "text is" if count == 1 else f"texts {'is' if cut == 1 else 'are'}"
        text = f"{cut:,} of {count:,} {are} truncated to {given.max_length:,} tokens"
        longest = given.longest or given.max_length
        if longest <= given.max_length:
            return f"{text}, the maximum of this network"
        option = f"{command and command + ' '}--max-length N, at most {longest:,}"
        how = f"set in training ({option})" if trained else f"{option}, reads more"
        return f"{text}; {how}"

    def not_seen(self, loader: Loader, spec: BackboneSpec) -> NotSeen:
        """Which texts were cut."""
        from zoo.modalities.not_seen import NotSeen
        from zoo.modalities.text.tokenization import END

        cut = loader.reader.cut
        words = self.truncation_note(int(cut.sum()), len(cut), spec, trained=True)
        return NotSeen(tuple((END,) if is_cut else () for is_cut in cut), (words,) if words else ())

    def preparer(
        self, spec: BackboneSpec, *, tokenizer: Any, pairs: bool, reading: Reading | None
    ) -> Preparer:
        """See :mod:`zoo.modalities.text.preparing`."""
        from zoo.modalities.text.preparing import TextPreparer

        return TextPreparer(tokenizer, spec.text_input, pairs=pairs)

    def predict_command(self, folder: str, example: Any) -> str:
        """The text comes on standard input, a pair of them with a tab between."""
        if not isinstance(example, str):
            first, second = (shlex.quote(" ".join(text.split())[:80]) for text in example)
            return f"printf '%s\\t%s\\n' {first} {second} | zoo predict {folder} -"
        line = (example.strip().splitlines() or [""])[0][:80]
        return f"echo {shlex.quote(line)} | zoo predict {folder} -"

    def plainly(self, shown: str | tuple[str, ...]) -> Attribution:
        """The text, or both."""
        from zoo.modalities.text.attribution import plainly

        return plainly(shown if isinstance(shown, tuple) else (shown,))

    def thumbnail(self, path: Path, side: int) -> None:
        """Texts have none."""

    def attribute(self, question: Question) -> Attributed:
        """See :mod:`zoo.modalities.text.attribution`."""
        from zoo.modalities.text.attribution import attribute

        return attribute(question)

    def export_inputs(self, backbone: Backbone, *, tokenizer: Any, pairs: bool) -> ExportInputs:
        """See :mod:`zoo.modalities.text.exporting`."""
        from zoo.modalities.text.exporting import TextExport

        return TextExport.of(backbone, tokenizer, pairs=pairs)

    def random_batch(
        self, spec: BackboneSpec, count: int, *, size: int | None = None, seed: int = 0
    ) -> dict[str, Tensor]:
        """Tokens; ``size`` is their number, by default 16 at most."""
        from zoo.modalities.text.noise import random_batch

        return random_batch(spec, count, size=size, seed=seed)

    def padded_batch(self, spec: BackboneSpec) -> dict[str, Tensor]:
        """Noise; the second text is half as long."""
        from zoo.modalities.text.noise import SMALL, random_batch

        batch = random_batch(spec, 2, size=4 * SMALL)
        rest = batch["attention_mask"].shape[1] // 2
        batch["attention_mask"][1, rest:] = 0
        batch["input_ids"][1, rest:] = spec.text_input.pad_id
        return batch

    def small_size(self, spec: BackboneSpec) -> None:
        """Texts are small by default."""

    def largest_size(self, spec: BackboneSpec) -> int:
        """As many tokens as the spec states, 512 at most."""
        from zoo.modalities.text.noise import LARGE

        return min(spec.text_input.max_length, LARGE)

    def native_outputs(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """The network gets the tensors by name."""
        outputs: Any = network(**batch)
        logits: Tensor = getattr(outputs, "logits", outputs)
        return logits

    # -- batches -----------------------------------------------------------------------------

    def batch_reader(
        self, samples: Samples, spec: BackboneSpec, options: BatchOptions
    ) -> BatchReader:
        """Tokenises all of them, once, here."""
        from zoo.modalities.text.batches import TextBatches
        from zoo.modalities.text.tokenization import TextEncoder

        assert options.tokenizer is not None
        encoder = TextEncoder(options.tokenizer, spec.text_input)
        return TextBatches(samples, encoder, options.static_batch)

    # -- for data sources ----------------------------------------------------------------------

    @property
    def column_names(self) -> Sequence[str]:
        """Of texts."""
        from zoo.modalities.text.columns import NAMES

        return NAMES

    def is_file(self, path: str | Path) -> bool:
        """Whether a file has a text in each line."""
        return os.path.splitext(path)[1].lower() == ".txt"

    def holds(self, table: Table, column: str) -> bool:
        """Whether a column is one of strings."""
        from zoo.modalities.text.columns import holds_texts

        return holds_texts(table, column)

    def usable_rows(self, table: Table, _: str, /) -> tuple[Flags, str]:
        """All of them."""
        import numpy as np

        return np.ones(len(table.data), dtype=np.bool_), ""

    def inputs_of(self, table: Table, columns: Sequence[str], rows: Indices) -> Inputs:
        """The texts in a column, or the pairs in two."""
        from zoo.modalities.text.columns import texts_in

        return texts_in(table, columns, rows)

    def examine(self, inputs: Inputs, keep: Keeps | None = None) -> Examined:
        """Find duplicates, ignoring case, white space and Unicode form."""
        from zoo.modalities.text.contents import examine_texts

        return examine_texts(inputs)

    def in_memory(self, given: object) -> bool:
        """Texts that are not paths, and pairs."""
        from zoo.modalities.text.inputs import Text

        if isinstance(given, tuple):
            return all(isinstance(each, str) for each in given)
        return isinstance(given, Text)

    def open_given(self, given: Any, number: int, context: ReadContext) -> Inputs:
        """A text, a pair, or those in a table or a ``.txt`` file."""
        from zoo.modalities.text.inputs import open_texts

        return open_texts(given, number, context)

    def example_file(self, raw: Any) -> tuple[str, bytes]:
        """A text in a file."""
        return ".txt", str(raw).encode()

    @property
    def demo(self) -> DemoData:
        """Customer-support messages to a shop."""
        from zoo.modalities.text.demo import MESSAGES

        return MESSAGES


TEXT = TextModality()
