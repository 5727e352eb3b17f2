"""The other convolutional families, with head paths and stages as tables.

Only SqueezeNet is a special case. Its published head is a 1×1 convolution, a ReLU and a global
average pool. Here pooling comes first: the features are the pooled ``(B, 512)``, and the head is
the same convolution as a linear layer. The two orders are equal except for the ReLU, which sets
negative class scores at each position to zero before they are averaged. So the logits differ from
torchvision's, also when saved weights, whose names and shapes are torchvision's, are loaded there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from torch import nn

from zoo import Backbone, BackboneSpec
from zoo_torchvision.network import Stages, StateDict, cut, network, of_family, wrap

HEADS = {
    "alexnet": "classifier.6",
    "convnext": "classifier.2",
    "densenet": "classifier",
    "efficientnet": "classifier.1",
    "mnasnet": "classifier.1",
    "mobilenet_v2": "classifier.1",
    "mobilenet_v3": "classifier.3",
    "regnet": "fc",
    "shufflenet_v2": "fc",
    "squeezenet": "classifier.1",
}

_SEVEN = {f"stage{i}": 1 for i in range(1, 8)}
_MOBILENET_LINEAR = {"classifier.0": ("classifier.0", "classifier.1", "classifier.2")}

STAGES: Mapping[str, Stages] = {
    "alexnet": cut("features", conv1=3, conv2=3, conv3=2, conv4=2, conv5=3)
    | {
        "classifier.1": ("classifier.0", "classifier.1", "classifier.2"),
        "classifier.4": ("classifier.3", "classifier.4", "classifier.5"),
    },
    "convnext": cut("features", stem=1, stage1=1, stage2=2, stage3=2, stage4=2)
    | {"norm": ("classifier.0",)},
    "densenet": {
        "stem": ("features.conv0", "features.norm0"),
        "dense1": ("features.denseblock1", "features.transition1"),
        "dense2": ("features.denseblock2", "features.transition2"),
        "dense3": ("features.denseblock3", "features.transition3"),
        "dense4": ("features.denseblock4", "features.norm5"),
    },
    "efficientnet_b": cut("features", stem=1, **_SEVEN, top=1),
    "efficientnet_v2_s": cut(
        "features", stem=1, stage1=1, stage2=1, stage3=1, stage4=1, stage5=1, stage6=1, top=1
    ),
    "efficientnet_v2": cut("features", stem=1, **_SEVEN, top=1),
    "mnasnet": cut(
        "layers", stem=8, stage1=1, stage2=1, stage3=1, stage4=1, stage5=1, stage6=1, top=3
    ),
    "mobilenet_v2": cut(
        "features",
        stem=1,
        stage1=1,
        stage2=2,
        stage3=3,
        stage4=4,
        stage5=3,
        stage6=3,
        stage7=1,
        top=1,
    ),
    "mobilenet_v3_large": cut(
        "features", stem=1, stage1=1, stage2=2, stage3=3, stage4=4, stage5=2, stage6=3, top=1
    )
    | _MOBILENET_LINEAR,
    "mobilenet_v3_small": cut(
        "features", stem=1, stage1=1, stage2=2, stage3=3, stage4=2, stage5=3, top=1
    )
    | _MOBILENET_LINEAR,
    "regnet": {
        "stem": ("stem",),
        "block1": ("trunk_output.block1",),
        "block2": ("trunk_output.block2",),
        "block3": ("trunk_output.block3",),
        "block4": ("trunk_output.block4",),
    },
    "shufflenet_v2": {
        "conv1": ("conv1",),
        "stage2": ("stage2",),
        "stage3": ("stage3",),
        "stage4": ("stage4",),
        "conv5": ("conv5",),
    },
    "squeezenet1_0": cut("features", stem=3, stage1=4, stage2=5, stage3=1),
    "squeezenet1_1": cut("features", stem=3, stage1=3, stage2=3, stage3=4),
}

_OLD_DENSE_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")


def load(spec: BackboneSpec) -> Backbone:
    """Build a network of one of the families in :data:`HEADS`."""
    return wrap(
        network(spec.arch),
        spec,
        head=of_family(spec.arch, HEADS),
        stages=of_family(spec.arch, STAGES),
    )


def load_densenet(spec: BackboneSpec) -> Backbone:
    """Build a DenseNet. Published files call a layer ``norm.1`` that torchvision now calls ``norm1``."""
    return wrap(
        network(spec.arch),
        spec,
        head=HEADS["densenet"],
        stages=STAGES["densenet"],
        convert=_with_present_dense_names,
    )


def load_squeezenet(spec: BackboneSpec) -> Backbone:
    """Build a SqueezeNet with a linear head after the pooling; see the module's docstring.

    Without its head, torchvision's ``classifier`` is dropout, a ReLU without effect (``features``
    ends in one), and the average pool.
    """
    net = network(spec.arch)
    classifier = cast(nn.Sequential, net.classifier)
    classifier[1] = _as_linear(cast(nn.Conv2d, classifier[1]))
    return wrap(
        net,
        spec,
        head=HEADS["squeezenet"],
        stages=of_family(spec.arch, STAGES),
        convert=_with_linear_head,
        to_native=_with_convolutional_head,
    )


def _with_present_dense_names(state: StateDict) -> StateDict:
    return {_OLD_DENSE_NAME.sub(r"\1\2", key): value for key, value in state.items()}


def _as_linear(convolution: nn.Conv2d) -> nn.Linear:
    linear = nn.Linear(convolution.in_channels, convolution.out_channels)
    linear.load_state_dict(
        {
            name: value.flatten(1) if value.ndim == 4 else value  # (n, 512, 1, 1) to (n, 512)
            for name, value in convolution.state_dict().items()
        }
    )
    return linear


_SQUEEZENET_WEIGHT = f"{HEADS['squeezenet']}.weight"


def _with_linear_head(state: StateDict) -> StateDict:
    weight = state.get(_SQUEEZENET_WEIGHT)
    if weight is None or weight.ndim != 4:
        return state
    return {**state, _SQUEEZENET_WEIGHT: weight.flatten(1)}


def _with_convolutional_head(state: StateDict) -> StateDict:
    weight = state.get(_SQUEEZENET_WEIGHT)
    if weight is None or weight.ndim != 2:
        return state  # torchvision has no equivalent of a head with several layers
    return {**state, _SQUEEZENET_WEIGHT: weight[:, :, None, None]}
