"""What a network takes, by the data, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from zoo.contract.spec import BackboneSpec
from zoo.data.samples import Splits
from zoo.modalities.files.reading import calling

if TYPE_CHECKING:
    from zoo.modalities.files.functions import FileFunctions


def fitted(
    modality: FileFunctions, spec: BackboneSpec, splits: Splits, *, pretrained: bool
) -> BackboneSpec:
    """The spec with the input that the plugin chooses for the training inputs."""
    if modality.fit is None:
        return spec
    with calling(modality, "fit"):
        return replace(spec, input=modality.fit(spec.input, splits.train.inputs, pretrained))


def facts_of(modality: FileFunctions, spec: BackboneSpec, splits: Splits) -> dict[str, str]:
    """The plugin's lines of the summary."""
    if modality.facts is None:
        return {}
    with calling(modality, "facts"):
        return dict(modality.facts(spec.input, splits.train.inputs))
