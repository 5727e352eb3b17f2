"""From texts to token ids, and a tokenizer for networks that bring none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo.spec import TextInput

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, UNKNOWN = "[PAD]", "[UNK]"


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Learn a tokenizer: lower-cased byte-pair encoding, ``[PAD]`` is 0 and ``[UNK]`` 1.

    Words that occur often become one token, others a few; a script without spaces works too.

    Args:
        texts: The texts of the training split alone, so that validation stays honest.
        vocab_size: The most tokens that it may have, both special ones included.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[PAD, UNKNOWN],
        limit_alphabet=max(1, vocab_size // 4),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


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

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, special ones included: at least one, at most ``max_length``."""
        encodings = self.tokenizer.encode_batch_fast(list(texts))
        return [encoding.ids or [self._for_nothing] for encoding in encodings]

    def collate(self, ids: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """``input_ids`` and ``attention_mask``, both ``(B, T)`` of int64, T the longest here."""
        longest = max(len(sequence) for sequence in ids)
        input_ids = torch.full((len(ids), longest), self.input.pad_id, dtype=torch.int64)
        mask = torch.zeros(len(ids), longest, dtype=torch.int64)
        for row, sequence in enumerate(ids):
            input_ids[row, : len(sequence)] = torch.as_tensor(sequence, dtype=torch.int64)
            mask[row, : len(sequence)] = 1
        return {"input_ids": input_ids, "attention_mask": mask}
