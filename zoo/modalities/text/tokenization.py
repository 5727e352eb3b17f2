"""Tokenize texts, and train a tokenizer for networks that have none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from zoo.contract.spec import TextInput
from zoo.data.sequences import Pair
from zoo.errors import DataError, WeightsError
from zoo.modalities.text.widths import width_of
from zoo.system.panics import panics_are_errors

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, UNKNOWN, SEPARATOR = "[PAD]", "[UNK]", "[SEP]"

_LONG_WORD = re.compile(r"(\S{1000})(?=\S)")
"""Training time grows with the square of a word's length, so longer words are split."""


END = "end"
"""The name of the unread part of a truncated text."""


class Tokens(NamedTuple):
    """One tokenized input.

    Attributes:
        ids: Token ids, including special tokens.
        types: Token type ids: usually 0 for the first text of a pair and 1 for the second.
        cut: Whether the input was truncated.
    """

    ids: list[int]
    types: list[int]
    cut: bool = False


def train_tokenizer(texts: Iterable[str], vocab_size: int, *, pairs: bool = False) -> Tokenizer:
    """Train a lower-cased byte-pair tokenizer; ``[PAD]`` is 0 and ``[UNK]`` 1.

    Scripts without spaces work too.

    Args:
        texts: The texts of the training split.
        vocab_size: The maximum vocabulary size, including special tokens.
        pairs: Whether it is for text pairs, which it then separates by ``[SEP]``.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[PAD, UNKNOWN, *[SEPARATOR] * pairs],
        limit_alphabet=max(1, vocab_size // 4),
        show_progress=False,
    )
    tokenizer.train_from_iterator((_LONG_WORD.sub(r"\1 ", text) for text in texts), trainer)
    if pairs:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A",
            pair=f"$A {SEPARATOR} $B:1",
            special_tokens=[(SEPARATOR, tokenizer.token_to_id(SEPARATOR))],
        )
    return tokenizer


def require_separator(tokenizer: Tokenizer) -> None:
    """Raise a :class:`DataError` if the tokenizer does not separate the two texts of a pair."""
    if not tokenizer.num_special_tokens_to_add(True):
        raise DataError(
            "the tokenizer has no separator between the two texts of a pair",
            hint="Choose another backbone, or train from scratch with --weights none.",
        )


class TextEncoder:
    """Tokenizes texts and collates batches. Can be pickled.

    Args:
        tokenizer: The tokenizer; a copy is used, without its own truncation and padding.
        text_input: Maximum length and padding of the network.
    """

    def __init__(self, tokenizer: Tokenizer, text_input: TextInput) -> None:
        from tokenizers import Tokenizer as Copy

        self.input = text_input
        self.tokenizer = Copy.from_str(tokenizer.to_str())
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(text_input.max_length)
        unknown = self.tokenizer.token_to_id(UNKNOWN)
        self._empty_id = text_input.pad_id if unknown is None else unknown

    def encode(self, texts: Sequence[str | Pair]) -> list[list[int]]:
        """Token ids of each text or pair: at least one, at most ``max_length``."""
        return [tokens.ids for tokens in self.tokens(texts)]

    def tokens(self, texts: Sequence[str | Pair]) -> list[Tokens]:
        """Tokenize texts or pairs, each to at least one and at most ``max_length`` tokens.

        If a pair is too long, the longer text is truncated first.

        Raises:
            DataError: There is a pair, and the tokenizer does not separate its texts.
            WeightsError: The tokenizer is damaged, or does not match the network's vocabulary.
        """
        if any(isinstance(text, tuple) for text in texts):
            require_separator(self.tokenizer)
        try:
            with panics_are_errors():
                encodings = self.tokenizer.encode_batch_fast(list(texts))
        except Exception as error:  # tokenizers raises plain Exception for everything
            raise WeightsError(
                f"failed to tokenize a text: {error}",
                hint="The tokenizer is damaged: replace it by the tokenizer.json of the network.",
            ) from error
        tokens = [
            Tokens(e.ids or [self._empty_id], e.type_ids or [0], bool(e.overflowing))
            for e in encodings
        ]
        self._check_vocabulary(max((max(each.ids) for each in tokens), default=0))
        return tokens

    def _check_vocabulary(self, largest: int) -> None:
        """Raise an error if the network has no embedding for the largest token id."""
        rows = self.input.vocab_size
        if largest >= rows:
            raise WeightsError(
                f"the tokenizer produced token id {largest} "
                f"({self.tokenizer.id_to_token(largest)!r}), but the network has embeddings for "
                f"only {rows:,} tokens",
                hint="Use the tokenizer that the network was trained with.",
            )

    def collate(
        self,
        ids: Sequence[Sequence[int]],
        types: Sequence[Sequence[int]] | None = None,
        widths: Sequence[int] = (),
    ) -> dict[str, Tensor]:
        """Pad to a batch of ``(B, T)`` int64 tensors, T the longest sequence.

        ``input_ids``, ``attention_mask``, and ``token_type_ids`` (padded with 0) if ``types`` are
        given. With ``widths``, T is the smallest of them that is long enough.
        """
        longest = width_of(max(len(sequence) for sequence in ids), widths)
        mask = torch.zeros(len(ids), longest, dtype=torch.int64)
        for row, sequence in enumerate(ids):
            mask[row, : len(sequence)] = 1
        batch = {"input_ids": _padded(ids, longest, self.input.pad_id), "attention_mask": mask}
        return batch if types is None else batch | {"token_type_ids": _padded(types, longest, 0)}


def _padded(sequences: Sequence[Sequence[int]], longest: int, fill: int) -> Tensor:
    padded = torch.full((len(sequences), longest), fill, dtype=torch.int64)
    for row, sequence in enumerate(sequences):
        padded[row, : len(sequence)] = torch.as_tensor(sequence, dtype=torch.int64)
    return padded
