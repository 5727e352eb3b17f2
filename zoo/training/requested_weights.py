"""Which weights a request names, and the input that they were trained with."""

from __future__ import annotations

from dataclasses import replace

from zoo.contract.spec import BackboneSpec, Weights
from zoo.registry.resolution import Resolved


def weights_name(resolved: Resolved, weights: str) -> str:
    """The requested weights; an explicit request takes precedence over the tag in the name."""
    return resolved.weights if weights == "auto" else weights


def for_weights(spec: BackboneSpec, weights: Weights | None) -> BackboneSpec:
    """The spec with the input format that these weights were trained with."""
    return replace(spec, input=weights.input) if weights and weights.input else spec
