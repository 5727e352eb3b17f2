"""What zoo must know about a family of Transformers' text networks, as data. No torch."""

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
"""The names under which configs state the width of the hidden states."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """How the networks of one ``model_type`` are built.

    Attributes:
        head: Where the head sits in the library's ``…ForSequenceClassification``; empty where it
            is to be found by rule (the last linear layer outside the encoder).
        pooling: What serves best while the backbone is frozen: ``pooler`` where the published
            weights hold a trained pooling layer, ``mean`` where that layer would be random.
        offset_positions: Whether positions are counted from ``pad_id + 1``, which takes that
            many rows from the table of positions.
        embedding_paths: Modules of the encoder that every layer reads, wherever they are kept:
            they count as embeddings.
        looks_for_padding: Whether the network reads the token ids for padding when it is given
            no mask.
    """

    head: str = ""
    pooling: Pooling = "mean"
    offset_positions: bool = False
    embedding_paths: tuple[str, ...] = ()
    looks_for_padding: bool = False


_COUNTER = "create_position_ids_from_input_ids"

_ROBERTA = Family(head="classifier.out_proj", offset_positions=True)

FAMILIES: Mapping[str, Family] = {
    # Next-sentence prediction trained the pooler.
    "bert": Family(head="classifier", pooling="pooler"),
    # Sentence-order prediction trained the pooler.
    "albert": Family(head="classifier", pooling="pooler"),
    # The prediction head of masked language modelling is the pooling layer.
    "modernbert": Family(head="classifier", pooling="pooler"),
    "distilbert": Family(head="classifier"),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "electra": Family(head="classifier.out_proj"),
    "deberta-v2": Family(
        head="classifier",
        embedding_paths=("encoder.rel_embeddings", "encoder.LayerNorm"),
        looks_for_padding=True,
    ),
    "mpnet": Family(
        head="classifier.out_proj",
        offset_positions=True,
        embedding_paths=("encoder.relative_attention_bias",),
    ),
}


def family_of(model_type: str) -> Family:
    """The family's facts; for an unknown one those that hold for most."""
    return FAMILIES.get(model_type, Family())


def width_of(config: Mapping[str, Any]) -> int | None:
    """The width of the hidden states, or ``None`` where the config states none."""
    found = (config[key] for key in WIDTHS if isinstance(config.get(key), int))
    return next(found, None)


def longest_text(config: Mapping[str, Any]) -> int:
    """The most tokens, special ones included, for which the network has positions.

    Networks without a table of positions take any length; 512 stands for them.
    """
    positions = config.get("max_position_embeddings") or config.get("n_positions") or 512
    model_type = str(config.get("model_type"))
    if not (family_of(model_type).offset_positions or _counts_from_padding(model_type)):
        return int(positions)
    return int(positions) - int(config.get("pad_token_id") or 0) - 1


@cache
def _counts_from_padding(model_type: str) -> bool:
    """Whether the library's code for a type counts positions from the padding's id, as RoBERTa's.

    Its source is searched for the function that does; to import it would take torch.
    """
    if not re.fullmatch(r"[\w-]+", model_type):
        return False  # it would be a pattern, or a path
    library = importlib.util.find_spec("transformers")
    module = f"modeling_{model_type.replace('-', '_')}.py"
    return any(
        _COUNTER in source.read_text(encoding="utf-8", errors="replace")
        for place in (library.submodule_search_locations if library else None) or []
        for source in Path(place).glob(f"models/*/{module}")
    )
