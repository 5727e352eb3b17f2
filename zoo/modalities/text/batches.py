"""Batches of texts: tokenised once, padded to the longest or to one of a few lengths."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.batch_order import Key
from zoo.data.loader import BatchReader, TensorBatch, labels_of
from zoo.data.samples import Samples
from zoo.data.sequences import Pair
from zoo.modalities.text.tokenization import TextEncoder
from zoo.modalities.text.widths import choose_widths

_CHUNK = 1_000  # texts that are tokenised at a time


class TextBatches(BatchReader):
    """Batches of texts: ``input_ids`` and ``attention_mask`` ``(B, T)``, ``index``, ``labels``.

    Pairs have ``token_type_ids`` ``(B, T)`` too, if the tokenizer tells the texts of any apart.
    All texts are tokenised once, here. The ids lie in temporary files that are mapped into
    memory, so that RAM does not grow with the data.

    Args:
        samples: The texts.
        encoder: Tokenises them.
        static_batch: As of :class:`zoo.modalities.batches.BatchOptions`.
    """

    in_processes = False
    lengths: NDArray[np.int64]

    def __init__(self, samples: Samples, encoder: TextEncoder, static_batch: int = 0) -> None:
        self.samples = samples
        self.encoder = encoder
        pairs, lengths, cut = samples.pairs, list[int](), list[bool]()
        with tempfile.TemporaryFile() as ids, tempfile.TemporaryFile() as types:
            for start in range(0, len(samples), _CHUNK):
                stop = min(start + _CHUNK, len(samples))
                tokens = encoder.tokens([_text(samples, i) for i in range(start, stop)])
                lengths += [len(each.ids) for each in tokens]
                cut += [each.cut for each in tokens]
                ids.write(np.concatenate([each.ids for each in tokens]).astype(np.int32).tobytes())
                if pairs:
                    joined = np.concatenate([each.types for each in tokens])
                    types.write(joined.astype(np.int32).tobytes())
            self.lengths, self.cut = np.array(lengths, np.int64), np.array(cut, np.bool_)
            self._ends = np.cumsum(self.lengths)
            self._ids = _mapped(ids)
            self._types = _mapped(types) if pairs else None
        if self._types is not None and not self._types.any():
            self._types = None
        if static_batch:
            self.widths = choose_widths(self.lengths, static_batch, encoder.input.max_length)

    def read(self, keys: Sequence[Key]) -> TensorBatch:
        indices = [index for _, index in keys]
        ids = self._rows(self._ids, indices)
        types = None if self._types is None else self._rows(self._types, indices)
        return self.encoder.collate(ids, types, self.widths) | labels_of(self.samples, indices)

    def _rows(self, mapped: np.ndarray[Any, Any], indices: Sequence[int]) -> list[Any]:
        ends = [(self._ends[i], self.lengths[i]) for i in indices]
        return [mapped[end - length : end].astype(np.int64) for end, length in ends]


def _text(samples: Samples, index: int) -> str | Pair:
    raw = samples.raw(index)
    return raw if isinstance(raw, tuple) else str(raw)


def _mapped(file: Any) -> np.ndarray[Any, Any]:
    """The numbers in a file. The mapping outlives the file object, which has no name to leave."""
    file.flush()
    return np.memmap(file, dtype=np.int32, mode="r") if file.tell() else np.empty(0, np.int32)
