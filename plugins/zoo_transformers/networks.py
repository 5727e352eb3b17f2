"""Build the library's text networks, and pool their hidden states."""

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

# Entries of config.json that zoo sets itself, or that describe the file rather than the network.
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
    # May name a Hub repository of compiled kernels, which the library would download and run.
    "attn_implementation",
    "_attn_implementation",
    "_attn_implementation_internal",
    "experts_implementation",
    "_experts_implementation",
    "_experts_implementation_internal",
)


def make_config(spec: BackboneSpec, classes: int) -> PretrainedConfig:
    """Return the library's config for ``spec``, with ``classes`` labels (2 if ``classes`` is 0).

    Raises:
        NameLookupError: The installed Transformers does not have the architecture, or a size in
            the config is not valid.
    """
    return library_config(
        spec, classes, vocab_size=spec.text_input.vocab_size, pad_token_id=_pad_id(spec)
    )


def library_config(spec: BackboneSpec, classes: int, **changes: Any) -> PretrainedConfig:
    """Return the library's config for ``spec.config`` with ``changes``; see :func:`make_config`."""
    sizes.check_config(spec.name, spec.config)
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
    # If a type has two encoders (Funnel), these would decide which one AutoModel builds.
    config.architectures = []
    return config


def _pad_id(spec: BackboneSpec) -> int:
    """Return the config's ``pad_token_id``, from which some networks count positions; the
    tokenizer's if the vocabulary is not the published one."""
    published, vocab = spec.config.get("pad_token_id"), spec.text_input.vocab_size
    if vocab == spec.config.get("vocab_size") and isinstance(published, int):
        return published
    return spec.text_input.pad_id if spec.text_input.pad_id < vocab else 0


def published_folder(spec: BackboneSpec) -> Path | None:
    """Return the folder of the published weights if they are on this machine."""
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
    """Check the size of a network, built on the meta device, before memory is allocated for it.

    Args:
        spec: The backbone, for messages.
        build: Builds the network.
        folder: The folder of its weights, if they are in one.

    Raises:
        WeightsError: The network has more parameters than its weights files have bytes, does not
            fit into this machine's memory, or cannot be built.
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
    """Build the network with random weights, in float32."""
    net: PreTrainedModel = _kind(spec, config).from_config(
        config, dtype=torch.float32, trust_remote_code=False
    )
    return net


def _kind(spec: BackboneSpec, config: PretrainedConfig) -> Any:
    """Return the auto class that builds the network for the declared pooling."""
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
    """Return the inputs of the classifier's last layer: ``(B, feature_dim)``.

    The last layer must have been replaced by an identity.
    """
    features: Tensor = _call(net, batch).logits
    return features


def first_token(net: nn.Module, batch: Batch) -> Tensor:
    """Return the last hidden state of the first token: ``(B, feature_dim)``."""
    return _hidden(net, batch)[:, 0]


def mean_of_tokens(net: nn.Module, batch: Batch) -> Tensor:
    """Return the masked mean of the last hidden states, summed in float32: ``(B, feature_dim)``."""
    hidden = _hidden(net, batch)  # (B, T, feature_dim)
    given = batch.get("attention_mask")
    if given is None:
        return hidden.float().mean(dim=1).to(hidden.dtype)
    mask = given.unsqueeze(-1).float()  # (B, T, 1)
    total = (hidden.float() * mask).sum(dim=1)
    return (total / mask.sum(dim=1).clamp(min=1)).to(hidden.dtype)


def last_token(net: nn.Module, batch: Batch) -> Tensor:
    """Return the last hidden state of the last token before padding: ``(B, feature_dim)``."""
    hidden = _hidden(net, batch)  # (B, T, feature_dim)
    mask = batch.get("attention_mask")
    if mask is None:
        return hidden[:, -1]
    positions = torch.arange(mask.shape[1], device=mask.device) * mask
    last = positions.argmax(dim=1)[:, None, None]  # (B, 1, 1)
    # Indexing with arange(len(hidden)) instead would fix the batch size of an exported model.
    return hidden.gather(1, last.expand(-1, 1, hidden.shape[-1])).squeeze(1)


PLAIN_POOLING: Mapping[str, Any] = {
    "cls": first_token,
    "mean": mean_of_tokens,
    "last": last_token,
}
"""Poolings of the last hidden states, which work for any encoder."""


def _hidden(net: nn.Module, batch: Batch) -> Tensor:
    hidden: Tensor = _call(net, batch).last_hidden_state
    return hidden


def _call(net: nn.Module, batch: Batch) -> Any:
    """Run the network on ids, mask (if any) and, if it distinguishes them, token types."""
    mask = batch.get("attention_mask")
    ids = batch["input_ids"]
    if ids.is_meta and not family_of(str(getattr(net.config, "model_type", ""))).infers_mask:
        mask = None  # The library checks whether it is all ones, which fails on the meta device.
    types = batch.get("token_type_ids")
    if types is None or not uses_token_types(net):
        return net(input_ids=ids, attention_mask=mask)
    return net(input_ids=ids, attention_mask=mask, token_type_ids=types)


def uses_token_types(net: nn.Module) -> bool:
    """Whether the network has an embedding for more than one token type."""
    accepted = "token_type_ids" in inspect.signature(net.forward).parameters
    return accepted and (getattr(net.config, "type_vocab_size", 0) or 0) > 1


# -- unused pooling layers ---------------------------------------------------------------------


class UnusedLayer(nn.Module):
    """Keeps the tensors of a layer that the features do not use; ``forward`` is the identity.

    The tensors become buffers with the same names, so that they are not trained but are still in
    the file for ``AutoModel``.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        for name, child in layer.named_children():
            self.add_module(name, UnusedLayer(child))
        for name, tensor in [
            *layer.named_parameters(recurse=False),
            *layer.named_buffers(recurse=False),
        ]:
            self.register_buffer(name, tensor.detach())

    def forward(self, hidden: Tensor) -> Tensor:
        """Return ``hidden`` unchanged."""
        return hidden


def disable_pooler(net: PreTrainedModel) -> None:
    """Replace the encoder's pooling layer, which another pooling does not use."""
    layer = getattr(net, names.POOLER, None)
    if isinstance(layer, nn.Module):
        setattr(net, names.POOLER, UnusedLayer(layer))
