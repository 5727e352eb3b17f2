"""Texts prepared one at a time, as a server needs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from zoo.contract.spec import TextInput
from zoo.data.sequences import Raw
from zoo.modalities.preparing import PreparedInput
from zoo.modalities.text.tokenization import END, TextEncoder


class TextPreparer:
    """See :class:`zoo.modalities.preparing.Preparer`; contents are tokens.

    Args:
        tokenizer: The run's.
        given: What the network takes.
        pairs: Whether the inputs are pairs of texts.
    """

    def __init__(self, tokenizer: Any, given: TextInput, *, pairs: bool) -> None:
        self._encoder = TextEncoder(tokenizer, given)
        self._pairs = pairs

    def prepare(self, raw: Raw, name: str) -> PreparedInput:
        """Of a text or a pair.

        Raises:
            DataError: A pair of texts, and the tokenizer cannot tell them apart.
        """
        tokens = self._encoder.tokens([raw if isinstance(raw, tuple) else str(raw)])[0]
        return PreparedInput(raw, name, tokens, (END,) if tokens.cut else ())

    def batch(self, prepared: Sequence[PreparedInput]) -> dict[str, Tensor]:
        """``input_ids`` and ``attention_mask``, ``(B, T)``; of pairs ``token_type_ids``, if they differ."""
        tokens = [each.content for each in prepared]
        distinguished = self._pairs and any(any(each.types) for each in tokens)
        types = [each.types for each in tokens] if distinguished else None
        return self._encoder.collate([each.ids for each in tokens], types)

    def example(self) -> Raw:
        """A word, or a pair of them."""
        return ("one", "two") if self._pairs else "one"
