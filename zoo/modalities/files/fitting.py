"""Adapt the input of a network to the data and the options, and summarise the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from zoo.contract.input_options import with_options
from zoo.contract.inputs import InputSpec
from zoo.contract.spec import BackboneSpec
from zoo.data.samples import Splits
from zoo.modalities.files.reading import calling

if TYPE_CHECKING:
    from zoo.modalities.files.functions import FileFunctions


def fitted(
    modality: FileFunctions,
    spec: BackboneSpec,
    asked: Mapping[str, Any],
    splits: Splits,
    *,
    pretrained: bool,
) -> BackboneSpec:
    """Return the spec with the input that the plugin chooses for the data, and the user's options.

    Raises:
        UsageError: The input does not support an option.
    """
    given = spec.input
    if modality.fit is not None:
        with calling(modality, "fit"):
            given = modality.fit(given, splits.train.inputs, pretrained)
            if not isinstance(given, InputSpec):
                raise TypeError(f"it must return an InputSpec, got {type(given).__name__}")
    return replace(spec, input=with_options(given, asked["input"] or (), spec.name))


def facts_of(modality: FileFunctions, spec: BackboneSpec, splits: Splits) -> dict[str, str]:
    """The plugin's lines of the summary."""
    if modality.facts is None:
        return {}
    with calling(modality, "facts"):
        return dict(modality.facts(spec.input, splits.train.inputs))
