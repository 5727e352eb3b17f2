"""What is peculiar to texts. Light to import: what needs torch or tokenizers is imported when called."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TextModality:
    """Texts, ``input_ids`` and ``attention_mask`` ``(B, T)``; see :class:`zoo.modalities.Modality`."""

    name: str = "text"
    noun: str = "text"
    nouns: str = "texts"
    main_input: str = "input_ids"
    dtype: str = "int64"
    ragged: bool = True
    options: frozenset[str] = frozenset({"max_length", "pooling"})


TEXT = TextModality()
