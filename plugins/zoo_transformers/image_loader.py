"""Build the image encoders of Transformers as backbones."""

from __future__ import annotations

from zoo import Backbone as Backbone  # first: readies torch for torchvision

# isort: split
from torch import nn

from zoo import BackboneSpec
from zoo_transformers import image_networks, names, networks
from zoo_transformers.image_native import native_code, native_files
from zoo_transformers.quiet import quiet
from zoo_transformers.stages import stages_of


def load(spec: BackboneSpec) -> Backbone:
    """Build an image encoder.

    It is the library's ``…ForImageClassification`` without its last layer. For types that have no
    classifier, such as the vision towers of CLIP and SigLIP, it is the encoder, and the features
    are its pooled output.

    Args:
        spec: A row of the catalogue, or a result of :mod:`.resolve`. ``spec.config`` is the
            content of the model's config.json.

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
    converter = names.NameConverter(net, head)
    backbone = Backbone.wrap(
        net,
        spec=spec,
        head=head,
        stages=stages_of(net, head),
        extract=image_networks.features,
        convert=converter.to_network,
        native=converter.native(native_files, native_code),
    )
    if not classes:
        backbone.head = nn.Identity()
    return backbone
