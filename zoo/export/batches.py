"""What a network is captured with and checked on: pixels and tokens drawn from one seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.contract.backbone import Backbone
from zoo.modalities.text.tokenization import TextEncoder
from zoo.runs.run import Run

TensorBatch = dict[str, Tensor]

_TRACED = 16  # tokens; a network is captured with a length that is neither 1 nor its longest
_CHECKED = (7, 21)  # tokens
_LONGEST = 512  # tokens; attention over more takes gigabytes


@dataclass(frozen=True)
class Batches:
    """Makes batches that a run's network takes.

    Attributes:
        run: Whose input they are for.
        types: Whether there are types of tokens among it.
    """

    run: Run
    types: bool = False

    @classmethod
    def of(cls, run: Run, backbone: Backbone) -> Batches:
        """With types of tokens where the run's tokenizer gives them and its network heeds them."""
        if not run.pairs or not _tells_pairs_apart(run):
            return cls(run)
        batch = cls(run, types=True).traced()
        plain = {name: tensor for name, tensor in batch.items() if name != "token_type_ids"}
        with torch.inference_mode():
            heeded = not torch.equal(backbone(batch), backbone(plain))
        return cls(run, types=heeded)

    @property
    def axes(self) -> dict[str, tuple[str | int, ...]]:
        """The shape of each input: a name for what may be of any size."""
        if self.run.spec.modality == "image":
            size = self.run.spec.image_input.size
            return {"pixel_values": ("batch", 3, size, size)}
        return dict.fromkeys(self.traced(), ("batch", "length"))

    @property
    def longest(self) -> int:
        """The most tokens that the network takes."""
        return self.run.spec.text_input.max_length

    @property
    def shortest(self) -> int:
        """The fewest tokens that a text becomes."""
        special = self.run.tokenizer.num_special_tokens_to_add(self.run.pairs)
        return min(self.longest, max(1, int(special)))

    def traced(self) -> TensorBatch:
        """The batch that the network is captured with."""
        return self._batch(2, _TRACED)

    def checked(self) -> Iterator[TensorBatch]:
        """One sample and three; of texts, in several lengths, from the shortest to 512 tokens."""
        if self.run.spec.modality == "image":
            yield from (self._batch(1, 0), self._batch(3, 0))
            return
        lengths = {min(self.longest, max(self.shortest, length)) for length in _CHECKED}
        for length in sorted(lengths):
            yield from (self._batch(1, length), self._batch(3, length))
        yield self._batch(1, self.shortest)
        yield self._batch(1, min(self.longest, _LONGEST))

    def _batch(self, count: int, length: int) -> TensorBatch:
        generator = torch.Generator().manual_seed(1000 * count + length)
        if self.run.spec.modality == "image":
            size = self.run.spec.image_input.size
            return {"pixel_values": torch.randn(count, 3, size, size, generator=generator)}
        return self._texts(count, min(self.longest, max(self.shortest, length)), generator)

    def _texts(self, count: int, length: int, generator: torch.Generator) -> TensorBatch:
        text = self.run.spec.text_input
        ids = torch.randint(text.vocab_size, (count, length), generator=generator)
        ids[ids == text.pad_id] = (text.pad_id + 1) % text.vocab_size
        lengths = torch.full((count, 1), length)
        lengths[1:] = torch.randint(1, length + 1, (count - 1, 1), generator=generator)
        mask = (torch.arange(length) < lengths).long()  # (count, length)
        batch = {"input_ids": torch.where(mask > 0, ids, text.pad_id), "attention_mask": mask}
        if self.types:
            batch["token_type_ids"] = mask * (torch.arange(length) >= length // 2)
        return batch


def _tells_pairs_apart(run: Run) -> bool:
    [tokens] = TextEncoder(run.tokenizer, run.spec.text_input).tokens([("a", "b")])
    return any(tokens.types)
