"""Views of a plugin's inputs for test-time augmentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from zoo.contract.spec import BackboneSpec
from zoo.errors import PluginError
from zoo.modalities.files.functions import FileFunctions
from zoo.modalities.files.reading import calling
from zoo.modalities.views import View


def views_of_files(
    modality: FileFunctions, spec: BackboneSpec, example: Callable[[], Mapping[str, Tensor]]
) -> list[View]:
    """The views that the plugin makes of a batch; empty if it makes none.

    Args:
        modality: The plugin's functions.
        spec: A run's spec.
        example: Makes a batch, to count its views.
    """
    if modality.views is None:
        return []
    count = len(_views(modality, spec, example()[modality.main_input]))

    def view(number: int) -> View:
        def seen(batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
            name = modality.main_input
            return {**batch, name: _views(modality, spec, batch[name])[number]}

        return seen

    return [view(number) for number in range(count)]


def _views(modality: FileFunctions, spec: BackboneSpec, given: Tensor) -> list[Tensor]:
    assert modality.views is not None
    with calling(modality, "views"):
        found = list(modality.views(given, spec.input))
    for each in found:
        if not isinstance(each, Tensor) or each.shape != given.shape:
            shape = tuple(each.shape) if isinstance(each, torch.Tensor) else type(each).__name__
            raise PluginError(
                f"'views' of the modality {modality.name!r} returned {shape}, expected "
                f"{tuple(given.shape)}",
                hint="This is a bug of its plugin: a view has the shape of the batch.",
            )
    return found
