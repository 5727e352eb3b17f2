"""The config.json of a run, for text and image runs."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo import Backbone

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

_PROBLEM_TYPES: Mapping[str, Any] = {
    "softmax": "single_label_classification",
    "sigmoid": "multi_label_classification",
    "standardised": "regression",
}
"""The library's ``problem_type`` by activation; its pipeline applies softmax, sigmoid or nothing."""


def run_config(
    backbone: Backbone, classes: Sequence[str], activation: str, *, has_classifier: bool
) -> PretrainedConfig:
    """Return the network's config with the run's classes.

    Args:
        backbone: The run's network.
        classes: Names of the outputs.
        activation: The run's activation, which turns outputs into predictions.
        has_classifier: Whether the network is one of the library's classifiers. If not, the
            config names no architecture, because the pipeline would load the bare encoder.
    """
    net: PreTrainedModel = backbone.net  # type: ignore[assignment]
    config: PretrainedConfig = copy.deepcopy(net.config)
    config.architectures = [type(net).__name__] if has_classifier else None
    config.id2label = dict(enumerate(classes))
    config.label2id = {label: index for index, label in enumerate(classes)}
    config.problem_type = _PROBLEM_TYPES.get(activation)
    return config
