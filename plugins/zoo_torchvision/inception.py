"""GoogLeNet (arXiv:1409.4842) and Inception v3 (arXiv:1512.00567).

The auxiliary classifiers were used only in the original training. The networks are built without
them, and their parameters in published files are ignored.

The published weights expect inputs in [-1, 1]. torchvision's pretrained constructors set
``transform_input``, with which the network converts ImageNet-normalised inputs to that range. Here
the catalogue declares a mean and a standard deviation of 0.5 instead, so that preprocessing does
the same in one step and ``transform_input`` is always off. Predictions for an image are the same as
torchvision's, and ``torchvision.models.googlenet(num_classes=n, aux_logits=False)`` with saved
weights gives the same outputs for the same inputs.
"""

from __future__ import annotations

from zoo import Backbone, BackboneSpec
from zoo_torchvision.network import StateDict, network, without, wrap

HEAD = "fc"

AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")

STAGES = {
    "googlenet": {
        "conv1": ("conv1",),
        "conv2": ("conv2", "conv3"),
        "inception3": ("inception3a", "inception3b"),
        "inception4": tuple(f"inception4{letter}" for letter in "abcde"),
        "inception5": ("inception5a", "inception5b"),
    },
    "inception_v3": {
        "conv1": ("Conv2d_1a_3x3",),
        "conv2": ("Conv2d_2a_3x3", "Conv2d_2b_3x3"),
        "conv3": ("Conv2d_3b_1x1",),
        "conv4": ("Conv2d_4a_3x3",),
        "mixed5": ("Mixed_5b", "Mixed_5c", "Mixed_5d"),
        "mixed6": tuple(f"Mixed_6{letter}" for letter in "abcde"),
        "mixed7": ("Mixed_7a", "Mixed_7b", "Mixed_7c"),
    },
}


def load(spec: BackboneSpec) -> Backbone:
    """Build a GoogLeNet or Inception v3 without auxiliary classifiers."""
    net = network(spec.arch, aux_logits=False, init_weights=True)
    stages = STAGES[spec.arch]
    return wrap(
        net,
        spec,
        head=HEAD,
        stages=stages,
        convert=_without_auxiliary,
        aux_logits=False,
        init_weights=False,
    )


def _without_auxiliary(state: StateDict) -> StateDict:
    return without(state, AUXILIARY)
