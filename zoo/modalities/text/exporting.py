"""Exports for texts: tensors of tokens, and the tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.export import Dim

from zoo.contract.network.backbone import Backbone
from zoo.contract.spec import BackboneSpec
from zoo.modalities.exporting import TensorBatch
from zoo.modalities.named_network import named_network
from zoo.modalities.text.noise import LARGE
from zoo.modalities.text.tokenization import UNKNOWN, TextEncoder
from zoo.registry.run_record import TOKENIZER

_TRACED = 16  # tokens; a network is captured with a length that is neither 1 nor its longest
_CHECKED = (7, 21)  # tokens


@dataclass(frozen=True)
class TextExport:
    """See :class:`zoo.modalities.exporting.ExportInputs`.

    Attributes:
        spec: The network's spec.
        tokenizer: The run's tokenizer.
        pairs: Whether the inputs are text pairs.
        types: Whether ``token_type_ids`` are among the tensors.
    """

    spec: BackboneSpec
    tokenizer: Any
    pairs: bool
    types: bool = False

    @classmethod
    def of(cls, backbone: Backbone, tokenizer: Any, *, pairs: bool) -> TextExport:
        """With types of tokens where the tokenizer gives them and the network heeds them."""
        plain = cls(backbone.spec, tokenizer, pairs)
        if not pairs or not plain.tells_pairs_apart():
            return plain
        typed = cls(backbone.spec, tokenizer, pairs, types=True)
        batch = typed.traced()
        untyped = {name: tensor for name, tensor in batch.items() if name != "token_type_ids"}
        with torch.inference_mode():
            heeded = not torch.equal(backbone(batch), backbone(untyped))
        return typed if heeded else plain

    def tells_pairs_apart(self) -> bool:
        """Whether the tokenizer gives the two texts of a pair different types."""
        encoder = TextEncoder(self.tokenizer, self.spec.text_input)
        [tokens] = encoder.tokens([("a", "b")])
        return any(tokens.types)

    @property
    def axes(self) -> dict[str, tuple[str | int, ...]]:
        """Tokens of any length."""
        return dict.fromkeys(self.traced(), ("batch", "length"))

    @property
    def what(self) -> str:
        """One text, or two."""
        return "a pair of texts" if self.pairs else "a text"

    @property
    def limits(self) -> str:
        """How long texts may be."""
        return f" and of {self.shortest} to {self.longest} tokens"

    @property
    def longest(self) -> int:
        """The maximum number of tokens of the network."""
        return self.spec.text_input.max_length

    @property
    def shortest(self) -> int:
        """The minimum number of tokens of a text."""
        special = self.tokenizer.num_special_tokens_to_add(self.pairs)
        return min(self.longest, max(1, int(special)))

    def traced(self) -> TensorBatch:
        """Two texts."""
        return self._batch(2, _TRACED)

    def checked(self) -> Iterator[TensorBatch]:
        """One text and three, in several lengths, from the shortest to 512 tokens."""
        lengths = {min(self.longest, max(self.shortest, length)) for length in _CHECKED}
        for length in sorted(lengths):
            yield from (self._batch(1, length), self._batch(3, length))
        yield self._batch(1, self.shortest)
        yield self._batch(1, min(self.longest, LARGE))

    def dynamic_shapes(self) -> dict[str, dict[int, Dim]]:
        """The number of texts and their length."""
        batch = Dim("batch", min=1)
        length = Dim("length", min=self.shortest, max=self.longest)
        return {name: {0: batch, 1: length} for name in self.axes}

    def by_name(self, backbone: Backbone) -> nn.Module:
        """The network of ``input_ids``, ``attention_mask`` and perhaps ``token_type_ids``."""
        return named_network(list(self.axes), backbone)

    def preparation(self) -> dict[str, Any]:
        """The tokenizer, and how tokens are truncated and padded."""
        text = self.spec.text_input
        unknown = self.tokenizer.token_to_id(UNKNOWN)
        return {
            "tokenizer": {
                "file": TOKENIZER,
                "pairs": self.pairs,
                "max_length": text.max_length,
                "truncation": "longest_first",
                "truncation_side": "right",
                "shortest": self.shortest,
                "padding_side": "right",
                "pad_id": text.pad_id,
                "empty_id": text.pad_id if unknown is None else unknown,
            }
        }

    def _batch(self, count: int, length: int) -> TensorBatch:
        text, length = self.spec.text_input, min(self.longest, max(self.shortest, length))
        generator = torch.Generator().manual_seed(1000 * count + length)
        ids = torch.randint(text.vocab_size, (count, length), generator=generator)
        ids[ids == text.pad_id] = (text.pad_id + 1) % text.vocab_size
        lengths = torch.full((count, 1), length)
        lengths[1:] = torch.randint(1, length + 1, (count - 1, 1), generator=generator)
        mask = (torch.arange(length) < lengths).long()  # (count, length)
        batch = {"input_ids": torch.where(mask > 0, ids, text.pad_id), "attention_mask": mask}
        if self.types:
            batch["token_type_ids"] = mask * (torch.arange(length) >= length // 2)
        return batch
