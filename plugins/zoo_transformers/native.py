"""Files next to the weights, with which Transformers loads a run without zoo."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo import Backbone
from zoo_transformers.networks import tells_types_apart
from zoo_transformers.resolve import POOLING_KEY

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

# Usual special tokens, by their role in the library.
_ROLES: Mapping[str, tuple[str, ...]] = {
    "unk_token": ("[UNK]", "<unk>"),
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "mask_token": ("[MASK]", "<mask>"),
    "bos_token": ("<s>", "<|begin_of_text|>", "<|endoftext|>"),
    "eos_token": ("</s>", "<|end_of_text|>", "<|endoftext|>"),
}


PROBLEMS: Mapping[str, Any] = {
    "softmax": "single_label_classification",
    "sigmoid": "multi_label_classification",
    "standardised": "regression",
}
"""The library's ``problem_type`` by activation; its pipeline applies softmax, sigmoid or nothing.
"""


def native_files(backbone: Backbone, classes: Sequence[str], activation: str) -> Mapping[str, str]:
    """``config.json``, and with a tokenizer ``tokenizer.json`` and ``tokenizer_config.json``.

    With them ``AutoTokenizer`` and, for the library's own pooling,
    ``AutoModelForSequenceClassification`` load the run folder and give the same logits. With
    another pooling, or for regression, ``AutoModel`` loads it and gives the same last hidden
    states, and the classifier refuses it (:class:`.names.Names`).
    """
    files = {"config.json": _config(backbone, classes, activation)}
    if backbone.tokenizer is not None:
        files["tokenizer.json"] = _tokenizer(backbone.tokenizer)
        files["tokenizer_config.json"] = _tokenizer_config(backbone, backbone.tokenizer)
    return files


def _config(backbone: Backbone, classes: Sequence[str], activation: str) -> str:
    net: PreTrainedModel = backbone.net  # type: ignore[assignment]
    config = copy.deepcopy(net.config)
    # Without a classifier, no architecture is named, or the pipeline would load the bare encoder.
    pooled = backbone.spec.text_input.pooling != "pooler"
    config.architectures = None if pooled else [type(net).__name__]
    config.id2label = dict(enumerate(classes))
    config.problem_type = PROBLEMS.get(activation)
    config.label2id = {label: index for index, label in enumerate(classes)}
    setattr(config, POOLING_KEY, backbone.spec.text_input.pooling)
    return config.to_json_string()


def _tokenizer(tokenizer: Tokenizer) -> str:
    """The tokenizer without padding and truncation, which depend on its use."""
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
    # A word declared as padding would be split off wherever it occurs in a text; without
    # a padding token the library refuses to pad, where padding would change the outputs.
    pad = tokenizer.id_to_token(text.pad_id)
    if pad in special and not backbone.unpadded:
        config["pad_token"] = pad
    for role, names in _ROLES.items():
        if held := [name for name in names if name in special]:
            config[role] = held[0]
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def _input_names(backbone: Backbone) -> list[str]:
    """Token types only if the network distinguishes them."""
    types = ["token_type_ids"] if tells_types_apart(backbone.net) else []
    return ["input_ids", *types, "attention_mask"]


_LIBRARY_POOLING = """\
from pathlib import Path

from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForSequenceClassification


def load(folder):
    config = AutoConfig.from_pretrained(folder)
    network = AutoModelForSequenceClassification.from_config(config)
    state = load_file(Path(folder) / "model.safetensors")
    state = {{k.replace("zoo_head.", "{head}."): v for k, v in state.items() if v.numel()}}
    network.load_state_dict(state)
    return network.eval()


def logits(network, batch):
    return network(**batch).logits  # (B, {outputs})
"""

_PLAIN_POOLING = """\
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import AutoModel


class Classifier(torch.nn.Module):
    def __init__(self, folder):
        super().__init__()
        self.encoder = AutoModel.from_pretrained(folder)
        self.classifier = torch.nn.Linear({features}, {outputs})
        with safe_open(Path(folder) / "model.safetensors", "pt") as file:
            head = {{name: file.get_tensor(f"zoo_head.{{name}}") for name in ("weight", "bias")}}
        self.classifier.load_state_dict(head)

    def forward(self, input_ids, attention_mask, **types):
        states = self.encoder(input_ids, attention_mask=attention_mask, **types).last_hidden_state
        return self.classifier(pooled(states, attention_mask))


def pooled(states, mask):
    {pooled}


def load(folder):
    return Classifier(folder).eval()


def logits(network, batch):
    return network(**batch)  # (B, {outputs})
"""

_POOLED: Mapping[str, str] = {
    "cls": "return states[:, 0]",
    "mean": "return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)",
    "last": "return states[torch.arange(len(states)), mask.cumsum(1).argmax(1)]",
}


def native_code(backbone: Backbone) -> str:
    """Return code that loads a run folder with Transformers alone."""
    pooling = backbone.spec.text_input.pooling
    outputs, features = backbone.head.out_features, backbone.spec.feature_dim
    if pooling not in _POOLED:
        return _LIBRARY_POOLING.format(outputs=outputs, head=backbone.head_path)
    return _PLAIN_POOLING.format(outputs=outputs, features=features, pooled=_POOLED[pooling])
