"""Adapt the input of a network to the data and the options, and summarise the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

from zoo.contract.input_options import with_options
from zoo.contract.inputs import InputSpec
from zoo.contract.spec import BackboneSpec
from zoo.data.samples import Samples, Splits
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
            given = modality.fit(given, _Measured(splits.train), pretrained)
            if not isinstance(given, InputSpec):
                raise TypeError(f"it must return an InputSpec, got {type(given).__name__}")
    return replace(spec, input=with_options(given, asked["input"] or (), spec.name))


def facts_of(modality: FileFunctions, spec: BackboneSpec, splits: Splits) -> dict[str, str]:
    """The plugin's lines of the summary."""
    if modality.facts is None:
        return {}
    with calling(modality, "facts"):
        return dict(modality.facts(spec.input, _Measured(splits.train)))


class _Measured(Sequence[Any]):
    """Raw inputs, and what the check has measured.

    Attributes:
        measures: ``(N,)``; ``None`` if they have not been measured.
    """

    def __init__(self, samples: Samples) -> None:
        traits = samples.traits
        self.measures = None if traits is None else traits["measure"]
        self._inputs = samples.inputs

    def __len__(self) -> int:
        return len(self._inputs)

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self._inputs[i] for i in range(*index.indices(len(self)))]
        return self._inputs[index]
