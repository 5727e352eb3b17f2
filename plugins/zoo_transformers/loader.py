"""Build the text encoders of Transformers as backbones."""

from __future__ import annotations

from zoo import AdapterTargets, TokenOptions
from zoo import Backbone as Backbone  # first: readies torch for torchvision

# isort: split
from functools import partial

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from zoo import BackboneSpec
from zoo_transformers import names, networks, tokenization
from zoo_transformers.families import family_of
from zoo_transformers.masks import make_masks_unread
from zoo_transformers.native import native_code, native_files
from zoo_transformers.quiet import quiet
from zoo_transformers.stages import stages_of


def load(spec: BackboneSpec) -> Backbone:
    """Build a text encoder with the pooling that ``spec.input`` declares.

    With ``pooler`` it is the library's ``…ForSequenceClassification``, and ``forward`` returns the
    same logits. With ``cls``, ``mean`` (masked, summed in float32) or ``last`` it is the library's
    encoder with a head called ``zoo_head`` on the pooled last hidden states.

    Args:
        spec: A row of the catalogue, or a result of :mod:`.resolve`. ``spec.config`` is the
            content of the model's config.json. If a tokenizer is trained on the data, the
            ``vocab_size`` of ``spec.input`` differs from it.

    Raises:
        NameLookupError: The installed Transformers does not have the architecture.
        WeightsError: The network is larger than its files or than memory, or its tokenizer has
            no fast version.
    """
    spec = _with_published_vocabulary(spec)
    published = spec.default_weights
    with quiet():
        config = networks.make_config(spec, published.classes if published else 0)
        networks.check_size(
            spec, lambda: networks.make(spec, config), networks.published_folder(spec)
        )
        net = networks.make(spec, config)
        make_masks_unread(net)
    return _wrap(spec, net)


def _with_published_vocabulary(spec: BackboneSpec) -> BackboneSpec:
    """Use the ``vocab_size`` of the config, unless a tokenizer is trained on the data."""
    size = spec.config.get("vocab_size")
    if not spec.text_input.own_tokenizer or type(size) is not int:
        return spec
    return spec.with_input(vocab_size=size)


def _wrap(spec: BackboneSpec, net: PreTrainedModel) -> Backbone:
    pooled = networks.PLAIN_POOLING.get(spec.text_input.pooling)
    head = names.head_path(net) if pooled is None else names.ZOO_HEAD
    if pooled is not None:
        networks.disable_pooler(net)
    converter = names.NameConverter(net, head)
    backbone = Backbone.wrap(
        net,
        spec=spec,
        head=head,
        stages=stages_of(net, head),
        extract=pooled or networks.library_pooling,
        convert=converter.to_network,
        native=converter.native(native_files, native_code),
        adapters=AdapterTargets(
            also=[path for path, module in net.named_modules() if isinstance(module, Conv1D)]
        ),
        tokens=TokenOptions(
            tokenizer=partial(tokenization.find, spec),
            embedding=names.token_embedding_path(net),
            optional_mask=family_of(net.config.model_type).optional_mask,
        ),
    )
    backbone.head = nn.Identity()
    return backbone
