"""Files next to the weights, with which Transformers loads a text run without zoo."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo import Backbone
from zoo_transformers.loading_code import classifier_code, encoder_code
from zoo_transformers.networks import uses_token_types
from zoo_transformers.resolve import POOLING_KEY
from zoo_transformers.run_config import run_config

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Usual special tokens, by their role in the library.
_ROLES: Mapping[str, tuple[str, ...]] = {
    "unk_token": ("[UNK]", "<unk>"),
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "mask_token": ("[MASK]", "<mask>"),
    "bos_token": ("<s>", "<|begin_of_text|>", "<|endoftext|>"),
    "eos_token": ("</s>", "<|end_of_text|>", "<|endoftext|>"),
}


def native_files(backbone: Backbone, classes: Sequence[str], activation: str) -> Mapping[str, str]:
    """Return ``config.json`` and, with a tokenizer, ``tokenizer.json`` and ``tokenizer_config.json``.

    With the library's own pooling, ``AutoModelForSequenceClassification`` loads the run folder and
    gives the same logits. With another pooling, or for regression, it fails to load (see
    :class:`.names.NameConverter`); ``AutoModel`` gives the same last hidden states.
    """
    files = {"config.json": _config(backbone, classes, activation)}
    if backbone.tokenizer is not None:
        files["tokenizer.json"] = _tokenizer(backbone.tokenizer)
        files["tokenizer_config.json"] = _tokenizer_config(backbone, backbone.tokenizer)
    return files


def _config(backbone: Backbone, classes: Sequence[str], activation: str) -> str:
    pooling = backbone.spec.text_input.pooling
    config = run_config(backbone, classes, activation, has_classifier=pooling == "pooler")
    setattr(config, POOLING_KEY, pooling)
    return config.to_json_string()


def _tokenizer(tokenizer: Tokenizer) -> str:
    """Return the tokenizer as JSON, without padding and truncation, which are set when it is used."""
    plain = copy.deepcopy(tokenizer)
    plain.no_padding()
    plain.no_truncation()
    return plain.to_str()


def _tokenizer_config(backbone: Backbone, tokenizer: Tokenizer) -> str:
    """Make ``AutoTokenizer`` load ``tokenizer.json`` unchanged."""
    text = backbone.spec.text_input
    special = {t.content for t in tokenizer.get_added_tokens_decoder().values() if t.special}
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": text.max_length,
        "model_input_names": _input_names(backbone),
        "padding_side": "right",
        "clean_up_tokenization_spaces": False,
    }
    # The library splits a text at its padding token, so an ordinary word must not be declared as
    # one. Without a padding token it refuses to pad, as it should if padding changes the outputs.
    pad = tokenizer.id_to_token(text.pad_id)
    if pad in special and not backbone.unpadded:
        config["pad_token"] = pad
    for role, names in _ROLES.items():
        if held := [name for name in names if name in special]:
            config[role] = held[0]
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def _input_names(backbone: Backbone) -> list[str]:
    """Include token types only if the network distinguishes them."""
    types = ["token_type_ids"] if uses_token_types(backbone.net) else []
    return ["input_ids", *types, "attention_mask"]


_FORWARD = """\
    def forward(self, input_ids, attention_mask, **types):
        states = self.encoder(input_ids, attention_mask=attention_mask, **types).last_hidden_state
        return self.classifier(pooled(states, attention_mask))


def pooled(states, mask):
    {pooled}"""

_POOLED: Mapping[str, str] = {
    "cls": "return states[:, 0]",
    "mean": "return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)",
    "last": "return states[torch.arange(len(states)), mask.cumsum(1).argmax(1)]",
}


def native_code(backbone: Backbone) -> str:
    """Return code that loads a run folder with Transformers alone."""
    pooling = backbone.spec.text_input.pooling
    if pooling not in _POOLED:
        return classifier_code(
            backbone, auto_class="AutoModelForSequenceClassification", inputs="**batch"
        )
    forward = _FORWARD.format(pooled=_POOLED[pooling])
    return encoder_code(backbone, forward=forward, inputs="**batch")
