"""Builds the image encoders of Transformers as backbones."""

from __future__ import annotations

from zoo import Backbone as Backbone  # first: readies torch for torchvision
from zoo import Native

# isort: split
from torch import nn

from zoo import BackboneSpec
from zoo_transformers import image_networks, names, networks
from zoo_transformers.image_native import native_code, native_files
from zoo_transformers.quiet import quiet
from zoo_transformers.stages import stages_of


def load(spec: BackboneSpec) -> Backbone:
    """An image encoder.

    The library's own ``…ForImageClassification`` without its last layer, where it has one; else its
    encoder with its own pooled output (the vision towers of CLIP and SigLIP).

    Args:
        spec: A row of the catalogue, or what :mod:`.resolve` made of a name. Its ``config`` is
            the network.

    Raises:
        NameLookupError: The installed Transformers does not have the architecture.
        WeightsError: The network is larger than its files or than memory.
    """
    published = spec.default_weights
    classes = published.classes if published else 0
    with quiet():
        config = image_networks.make_config(spec, classes)
        networks.check_size(
            spec, lambda: image_networks.make(config), networks.published_folder(spec)
        )
        net = image_networks.make(config)
    head = image_networks.head_path(net)
    own_names = names.Names(net, head)
    backbone = Backbone.wrap(
        net,
        spec=spec,
        head=head,
        stages=stages_of(net, head),
        extract=image_networks.features,
        convert=own_names.to_own,
        native=Native(
            names=own_names.to_library,
            file=own_names.to_file,
            files=native_files,
            code=native_code,
        ),
    )
    if not classes:
        backbone.head = nn.Identity()
    return backbone
