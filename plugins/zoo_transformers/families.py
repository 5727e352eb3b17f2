"""Facts about families of text networks that their configs do not state. No torch."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from zoo import Pooling

WIDTHS = ("hidden_size", "dim", "d_model", "n_embd")
"""Config fields for the width of the hidden states."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """How the networks of one ``model_type`` are built.

    Attributes:
        head: Path of the head in the library's ``…ForSequenceClassification``; if empty, it is
            the last linear layer outside the encoder.
        pooling: Best pooling for a frozen backbone: ``pooler`` if the published weights include a
            trained pooling layer, ``mean`` if that layer would be random.
        offset_positions: Whether positions are counted from ``pad_id + 1``, so that the first
            ``pad_id + 1`` rows of the position embeddings are not used for tokens.
        embedding_paths: Modules shared by all layers, which belong to the embedding stage.
        infers_mask: Whether the network finds padding by its token id if it gets no mask.
        optional_mask: Whether the network takes no mask for texts without padding, and then reads
            nothing on the host.
    """

    head: str = ""
    pooling: Pooling = "mean"
    offset_positions: bool = False
    embedding_paths: tuple[str, ...] = ()
    infers_mask: bool = False
    optional_mask: bool = False


_COUNTER = "create_position_ids_from_input_ids"

_ROBERTA = Family(head="classifier.out_proj", offset_positions=True, optional_mask=True)

FAMILIES: Mapping[str, Family] = {
    # Next-sentence prediction trained the pooler.
    "bert": Family(head="classifier", pooling="pooler", optional_mask=True),
    # Sentence-order prediction trained the pooler.
    "albert": Family(head="classifier", pooling="pooler", optional_mask=True),
    # The prediction head of masked language modelling is the pooling layer.
    "modernbert": Family(head="classifier", pooling="pooler", optional_mask=True),
    "distilbert": Family(head="classifier", optional_mask=True),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "electra": Family(head="classifier.out_proj", optional_mask=True),
    "deberta-v2": Family(
        head="classifier",
        embedding_paths=("encoder.rel_embeddings", "encoder.LayerNorm"),
        infers_mask=True,
    ),
    "mpnet": Family(
        head="classifier.out_proj",
        offset_positions=True,
        embedding_paths=("encoder.relative_attention_bias",),
        optional_mask=True,
    ),
}


def family_of(model_type: str) -> Family:
    """Return the facts about a family; the most common ones for an unknown family."""
    return FAMILIES.get(model_type, Family())


def width_of(config: Mapping[str, Any]) -> int | None:
    """Return the width of the hidden states, or ``None`` if the config does not state it."""
    found = (config[key] for key in WIDTHS if isinstance(config.get(key), int))
    return next(found, None)


def longest_text(config: Mapping[str, Any]) -> int:
    """Return the maximum number of tokens, including special tokens.

    512 for networks without position embeddings, which accept any length.
    """
    positions = config.get("max_position_embeddings") or config.get("n_positions") or 512
    model_type = str(config.get("model_type"))
    if not (family_of(model_type).offset_positions or _counts_from_padding(model_type)):
        return int(positions)
    return int(positions) - int(config.get("pad_token_id") or 0) - 1


@cache
def _counts_from_padding(model_type: str) -> bool:
    """Whether the library's code for a type counts positions from the padding id, as RoBERTa's does.

    Searches the source for the name of the function, because importing it would import torch.
    """
    if not re.fullmatch(r"[\w-]+", model_type):
        return False  # could be a glob pattern or a path
    library = importlib.util.find_spec("transformers")
    module = f"modeling_{model_type.replace('-', '_')}.py"
    return any(
        _COUNTER in source.read_text(encoding="utf-8", errors="replace")
        for place in (library.submodule_search_locations if library else None) or []
        for source in Path(place).glob(f"models/*/{module}")
    )
