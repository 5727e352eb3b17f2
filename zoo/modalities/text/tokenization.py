"""From texts to token ids, and a tokenizer for networks that bring none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from zoo.contract.spec import TextInput
from zoo.data.sequences import Pair
from zoo.errors import DataError, WeightsError
from zoo.system.panics import panics_are_errors

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, UNKNOWN, SEPARATOR = "[PAD]", "[UNK]", "[SEP]"

_LONG_WORD = re.compile(r"(\S{1000})(?=\S)")
"""Training takes time with the square of a word's length: longer ones are learned from in pieces."""


END = "end"
"""What the network does not see of a text that is cut."""


class Tokens(NamedTuple):
    """One input as a network reads it.

    Attributes:
        ids: Token ids, special ones included.
        types: For each which text it belongs to, as the tokenizer says: mostly 0 for the first
            and 1 for the second of a pair.
        cut: Whether the input was longer than the network reads.
    """

    ids: list[int]
    types: list[int]
    cut: bool = False


def train_tokenizer(texts: Iterable[str], vocab_size: int, *, pairs: bool = False) -> Tokenizer:
    """Learn a tokenizer: lower-cased byte-pair encoding, ``[PAD]`` is 0 and ``[UNK]`` 1.

    Words that occur often become one token, others a few; a script without spaces works too.

    Args:
        texts: The texts of the training split alone, so that validation stays honest.
        vocab_size: The most tokens that it may have, special ones included.
        pairs: Whether it is for pairs of texts, between which it then puts ``[SEP]``.
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
    """Raise a :class:`DataError` where the two texts of a pair would run into each other."""
    if not tokenizer.num_special_tokens_to_add(True):
        raise DataError(
            "the tokenizer puts no separator between the two texts of a pair",
            hint="Choose another backbone, or let one be trained for pairs: --weights none.",
        )


class TextEncoder:
    """From texts to token ids, and from those to batches. Can be pickled.

    Args:
        tokenizer: Is copied; its own truncation and padding do not matter.
        text_input: Says how many tokens the network takes, and what fills short sequences.
    """

    def __init__(self, tokenizer: Tokenizer, text_input: TextInput) -> None:
        from tokenizers import Tokenizer as Copy

        self.input = text_input
        self.tokenizer = Copy.from_str(tokenizer.to_str())
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(text_input.max_length)
        unknown = self.tokenizer.token_to_id(UNKNOWN)
        self._for_nothing = text_input.pad_id if unknown is None else unknown

    def encode(self, texts: Sequence[str | Pair]) -> list[list[int]]:
        """Token ids of each text or pair: at least one, at most ``max_length``."""
        return [tokens.ids for tokens in self.tokens(texts)]

    def tokens(self, texts: Sequence[str | Pair]) -> list[Tokens]:
        """Each text or pair as tokens: at least one, at most ``max_length``.

        Of a pair that is too long, the longer text is cut first.

        Raises:
            DataError: There is a pair, and the tokenizer puts nothing between its texts.
            WeightsError: The tokenizer is damaged, or gives a token that the network does not have.
        """
        if any(isinstance(text, tuple) for text in texts):
            require_separator(self.tokenizer)
        try:
            with panics_are_errors():
                encodings = self.tokenizer.encode_batch_fast(list(texts))
        except Exception as error:  # tokenizers raises plain Exception for whatever is wrong
            raise WeightsError(
                f"the tokenizer cannot take a text apart: {error}",
                hint="It is damaged: put the tokenizer.json of the network in its place.",
            ) from error
        tokens = [
            Tokens(e.ids or [self._for_nothing], e.type_ids or [0], bool(e.overflowing))
            for e in encodings
        ]
        self._refuse_unknown(max((max(own.ids) for own in tokens), default=0))
        return tokens

    def _refuse_unknown(self, largest: int) -> None:
        """Refuse a token that the network has no embedding for."""
        rows = self.input.vocab_size
        if largest >= rows:
            raise WeightsError(
                f"the tokenizer gives token {largest} ({self.tokenizer.id_to_token(largest)!r}), "
                f"and the network has embeddings of {rows:,} tokens, the first of them 0",
                hint="Use the tokenizer that the network was trained with.",
            )

    def collate(
        self, ids: Sequence[Sequence[int]], types: Sequence[Sequence[int]] | None = None
    ) -> dict[str, Tensor]:
        """A batch, ``(B, T)`` of int64 each, T the longest here.

        ``input_ids`` and ``attention_mask``, and ``token_type_ids`` where ``types`` are given,
        which are 0 where the mask is.
        """
        longest = max(len(sequence) for sequence in ids)
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
