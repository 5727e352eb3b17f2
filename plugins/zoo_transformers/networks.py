"""Makes the library's networks, and pools their hidden states."""

from __future__ import annotations

from zoo import Backbone as Backbone  # first: readies torch for torchvision
from zoo import ContractError, NameLookupError, WeightsError, ZooError, first_line

# isort: split
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)

from zoo import BackboneSpec, Batch
from zoo_transformers import hub, names, sizes
from zoo_transformers.families import family_of

# Settled by zoo, or said about the file and not about the network.
_NOT_OPTIONS = (
    "model_type",
    "architectures",
    "auto_map",
    "_name_or_path",
    "transformers_version",
    "dtype",
    "torch_dtype",
    "quantization_config",
    "vocab_size",
    "pad_token_id",
    "num_labels",
    "return_dict",
    "output_hidden_states",
    "output_attentions",
    # May name a repository of compiled code, which the library would fetch and run.
    "attn_implementation",
    "_attn_implementation",
    "_attn_implementation_internal",
    "experts_implementation",
    "_experts_implementation",
    "_experts_implementation_internal",
)


def make_config(spec: BackboneSpec, classes: int) -> PretrainedConfig:
    """The library's config for ``spec``, with ``classes`` labels (2 where no head is published).

    Raises:
        NameLookupError: The installed Transformers does not have the architecture, or a number
            cannot be.
    """
    return library_config(
        spec, classes, vocab_size=spec.text_input.vocab_size, pad_token_id=_pad_id(spec)
    )


def library_config(spec: BackboneSpec, classes: int, **changes: Any) -> PretrainedConfig:
    """The library's config for ``spec.config`` with some entries changed; see :func:`make_config`."""
    sizes.refuse_impossible(spec.name, spec.config)
    options = {k: v for k, v in spec.config.items() if k not in _NOT_OPTIONS}
    labels = options.pop("id2label", None) or {}
    options.pop("label2id", None)
    if classes and len(labels) == classes:
        options["id2label"] = {int(index): label for index, label in labels.items()}
    else:
        options["num_labels"] = classes or 2
    try:
        config: PretrainedConfig = AutoConfig.for_model(
            spec.config["model_type"], **{**options, **changes}
        )
    except ValueError as error:
        raise NameLookupError(
            f"Transformers {transformers.__version__} does not support networks of type "
            f"{spec.config['model_type']!r}, such as {spec.name}",
            hint="Try a newer version: pip install --upgrade transformers",
        ) from error
    # Where a type has two encoders (Funnel), the library looks through these before it takes the first.
    config.architectures = []
    return config


def _pad_id(spec: BackboneSpec) -> int:
    """The network's own, which counts positions from it, unless the tokenizer is another."""
    own, vocab = spec.config.get("pad_token_id"), spec.text_input.vocab_size
    if vocab == spec.config.get("vocab_size") and isinstance(own, int):
        return own
    return spec.text_input.pad_id if spec.text_input.pad_id < vocab else 0


def published_folder(spec: BackboneSpec) -> Path | None:
    """The folder of the published weights, if they are on this machine."""
    published = spec.default_weights
    if published is None:
        return None
    if published.uri.startswith("hf:"):
        return hub.cached_folder(published.uri.removeprefix("hf:"))
    folder = Path(published.uri)
    return folder if folder.is_dir() else None


def check_size(
    spec: BackboneSpec, build: Callable[[], PreTrainedModel], folder: Path | None
) -> None:
    """Refuse a network that is larger than its files or than memory, before it takes any.

    Args:
        spec: The network.
        build: Makes it.
        folder: Where its weights lie, if they lie in a folder.

    Raises:
        WeightsError: It has more parameters than its weights have bytes, would fill this
            machine's memory, or cannot be built at all.
    """
    if torch.get_default_device().type == "meta":
        return
    try:
        with torch.device("meta"):
            count = sum(parameter.numel() for parameter in build().parameters())
    except ZooError:
        raise
    # The library checks a config while it builds: ValueError, KeyError, AssertionError, …
    except Exception as error:
        raise WeightsError(
            f"failed to build {spec.name} from its config.json: {first_line(error, kind=True)}",
            hint="Use the config.json that belongs to the weights.",
        ) from error
    size, memory = sizes.of_files(folder) if folder else 0, sizes.of_memory()
    if memory and 4 * count > memory:
        raise WeightsError(
            f"{spec.name} has {count:,} parameters according to its config.json, too many for the "
            f"memory of this machine ({memory:,} bytes)",
            hint="Use a smaller model, or the config.json that belongs to the weights.",
        )
    if size and count > size:
        raise WeightsError(
            f"{spec.name} has {count:,} parameters according to its config.json, but the weights in "
            f"{folder} have only {size:,} bytes",
            hint="Use the config.json that belongs to the weights.",
        )


def make(spec: BackboneSpec, config: PretrainedConfig) -> PreTrainedModel:
    """The network with random parameters, in float32."""
    net: PreTrainedModel = _kind(spec, config).from_config(
        config, dtype=torch.float32, trust_remote_code=False
    )
    return net


def _kind(spec: BackboneSpec, config: PretrainedConfig) -> Any:
    """The auto class that makes the network for the declared pooling."""
    if spec.text_input.pooling != "pooler":
        return AutoModel
    mapping = transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
    if type(config) not in mapping:
        raise ContractError(
            f"{spec.name} has no pooling layer: Transformers has no "
            f"sequence classifier of type {config.model_type!r}",
            hint="Use --pooling mean, cls or last.",
        )
    return AutoModelForSequenceClassification


# -- pooling ---------------------------------------------------------------------------------


def library_pooling(net: nn.Module, batch: Batch) -> Tensor:
    """What the library's own classifier hands to its last layer: ``(B, feature_dim)``."""
    features: Tensor = _call(net, batch).logits
    return features


def first_token(net: nn.Module, batch: Batch) -> Tensor:
    """The hidden state of the first token: ``(B, feature_dim)``."""
    return _hidden(net, batch)[:, 0]


def mean_of_tokens(net: nn.Module, batch: Batch) -> Tensor:
    """The average of the hidden states under the mask, added in float32: ``(B, feature_dim)``."""
    hidden = _hidden(net, batch)  # (B, T, feature_dim)
    mask = batch["attention_mask"].unsqueeze(-1).float()  # (B, T, 1)
    total = (hidden.float() * mask).sum(dim=1)
    return (total / mask.sum(dim=1).clamp(min=1)).to(hidden.dtype)


def last_token(net: nn.Module, batch: Batch) -> Tensor:
    """The hidden state of the last token before the padding: ``(B, feature_dim)``."""
    hidden = _hidden(net, batch)  # (B, T, feature_dim)
    mask = batch["attention_mask"]
    places = torch.arange(mask.shape[1], device=mask.device) * mask
    last = places.argmax(dim=1)[:, None, None]  # (B, 1, 1)
    # Not indexed with arange(len(hidden)), which would fix the size of the batch in an export.
    return hidden.gather(1, last.expand(-1, 1, hidden.shape[-1])).squeeze(1)


PLAIN_POOLING: Mapping[str, Any] = {
    "cls": first_token,
    "mean": mean_of_tokens,
    "last": last_token,
}
"""The poolings that work on any encoder's last hidden states."""


def _hidden(net: nn.Module, batch: Batch) -> Tensor:
    hidden: Tensor = _call(net, batch).last_hidden_state
    return hidden


def _call(net: nn.Module, batch: Batch) -> Any:
    """The library's output for ids and mask, and for types of tokens where it tells several apart."""
    mask: Tensor | None = batch["attention_mask"]
    ids = batch["input_ids"]
    if ids.is_meta and not family_of(str(getattr(net.config, "model_type", ""))).looks_for_padding:
        mask = None  # The library asks whether it is all ones, and here it has no values.
    types = batch.get("token_type_ids")
    if types is None or not tells_types_apart(net):
        return net(input_ids=ids, attention_mask=mask)
    return net(input_ids=ids, attention_mask=mask, token_type_ids=types)


def tells_types_apart(net: nn.Module) -> bool:
    """Whether the network learns something of each of several types of tokens."""
    takes = "token_type_ids" in inspect.signature(net.forward).parameters
    return takes and (getattr(net.config, "type_vocab_size", 0) or 0) > 1


# -- pooling layers that the features do not pass through --------------------------------------


class SetAside(nn.Module):
    """The tensors of a layer that the features do not need, kept for the library's own file.

    They are buffers under the layer's names, so that nothing trains them and a plain
    ``AutoModel`` still finds them; called, it hands its input on.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        for name, child in layer.named_children():
            self.add_module(name, SetAside(child))
        for name, tensor in [
            *layer.named_parameters(recurse=False),
            *layer.named_buffers(recurse=False),
        ]:
            self.register_buffer(name, tensor.detach())

    def forward(self, hidden: Tensor) -> Tensor:
        """``hidden``, unchanged."""
        return hidden


def set_poolers_aside(net: PreTrainedModel) -> None:
    """Replace the pooling layer of an encoder whose hidden states are pooled otherwise."""
    layer = getattr(net, names.POOLER, None)
    if isinstance(layer, nn.Module):
        setattr(net, names.POOLER, SetAside(layer))
