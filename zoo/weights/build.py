"""From a spec and weights to a backbone: the loader builds it, the core loads the weights."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from zoo.contract.backbone import Backbone
from zoo.contract.padding import padding_matters
from zoo.contract.spec import BackboneSpec, Weights
from zoo.errors import PluginError, WeightsError, ZooError, first_line
from zoo.system.files import require_regular
from zoo.system.offline import no_network
from zoo.weights.load import fetch, read_tensors

_LAYERS = 100_000
"""The most modules of a network; the largest of the catalogues has fewer than 10,000."""


class _TooManyLayers(WeightsError):
    """A network with more than :data:`_LAYERS` modules."""


def build(
    spec: BackboneSpec,
    weights: Weights | None,
    *,
    path: Path | None = None,
    unpadded: bool | None = None,
) -> Backbone:
    """The backbone that the loader of ``spec`` builds, with the values of ``weights``.

    The core reads the file and loads it, whatever the loader did with it. Where a library has
    read its own format, each tensor is compared with the file. The head is that of the weights;
    without one that can be used it is an identity, never a random layer. ``weights_notes`` and
    ``head_flaw`` of the backbone say what the weights lack.

    Args:
        spec: A row of the catalogue, possibly changed (another input size, a vocabulary).
        weights: What to start from; ``None`` for random parameters.
        path: Where :func:`zoo.fetch` has put the weights, where it has been asked already.
        unpadded: Whether the texts of each length are computed apart, where a run has recorded
            it; else it is measured, which takes as long as computing a few short texts.

    Raises:
        PluginError: The loader cannot be imported, fails, or returns something else.
        WeightsError: The weights cannot be had, are of another architecture, or their values are
            not those of the network.
    """
    backbone = _from_loader(spec, weights)
    if weights is not None:
        path = path or fetch(weights)
        state, source = read_tensors(path), f"the weights in {path}"
        if backbone.loads_itself:
            taken = backbone.compare_loaded(state, source=source)
        else:
            taken = backbone.load_native_state_dict(state, source=source)
        _settle_head(backbone, weights, taken=taken)
    backbone.unpadded = padding_matters(backbone) if unpadded is None else unpadded
    return backbone


def _settle_head(backbone: Backbone, weights: Weights, *, taken: bool) -> None:
    """Leave no random head, and say where the published one is not what its plugin states."""
    if not taken:
        backbone.head = nn.Identity()
        backbone.head_flaw = backbone.head_flaw or (
            f"they hold no head, and one with {weights.classes} outputs is promised"
            if weights.classes
            else ""
        )
    elif weights.classes and (found := backbone.outputs()) != weights.classes:
        backbone.head_flaw = (
            f"the head in them has {found} outputs instead of the {weights.classes} promised"
        )


def _from_loader(spec: BackboneSpec, weights: Weights | None) -> Backbone:
    module, _, function = spec.loader.partition(":")
    try:
        loader = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"the loader of {spec.name}, {spec.loader!r}, cannot be imported: {error}",
            hint="'zoo plugins' shows every plugin and its status.",
        ) from error
    try:
        with _no_more_than_weights(spec, weights), _of_few_layers(spec):
            backbone = loader(spec, weights)
    except ZooError:
        raise
    except Exception as error:  # a plugin's fault, or that of a spec which it did not write
        raise PluginError(
            f"the loader of {spec.name}, {spec.loader!r}, raised {first_line(error, kind=True)}"
        ) from error
    if not isinstance(backbone, Backbone):
        raise PluginError(
            f"the loader of {spec.name} returned {type(backbone).__name__}, not a zoo.Backbone"
        )
    return backbone


@contextmanager
def _of_few_layers(spec: BackboneSpec) -> Iterator[None]:
    """Stop a network that has far more layers than any, while it is built.

    Numbers of layers stand in many fields, nested ones too, and each layer takes time before it
    takes memory.

    Raises:
        WeightsError: It has.
    """
    left, thread = _LAYERS, threading.get_ident()

    def count(*_: object) -> None:
        nonlocal left
        if threading.get_ident() == thread:
            left -= 1
            if left < 0:
                raise RuntimeError("too many layers")  # for the library; the user reads the next

    handle = register_module_module_registration_hook(count)
    try:
        yield
    except Exception as error:
        if left >= 0:
            raise
        raise _TooManyLayers(
            f"{spec.name} as it is described has more than {_LAYERS:,} layers, which no network "
            "of the zoo has",
            hint="Take the config.json, or the run.json, that belongs to the weights.",
        ) from error
    finally:
        handle.remove()


@contextmanager
def _no_more_than_weights(spec: BackboneSpec, weights: Weights | None) -> Iterator[None]:
    """Refuse the network to a loader whose weights are on this machine.

    The spec may stand in a run folder, or come from the config.json of some folder, and name
    whatever its author wanted; the libraries would ask for that with the user's token.

    Raises:
        WeightsError: The loader failed after it had asked for another host.
    """
    if weights is not None and weights.uri.startswith(("http://", "https://", "hf:")):
        yield
        return
    with no_network() as hosts:
        try:
            yield
        except Exception as error:
            if not hosts:
                raise
            raise WeightsError(
                f"{spec.name} names something that is not on this machine: building it asks for "
                f"{hosts[0]}, and what a folder describes is built without a network",
                hint="Take a folder that is complete in itself, or give the other network's name.",
            ) from error


def refuse_larger(spec: BackboneSpec, path: Path) -> None:
    """Refuse a network with more parameters than its weights have bytes, before it takes memory.

    For a spec that stands in a run folder. The network is built on the meta device to see, where
    its library allows that.

    Raises:
        WeightsError: It has.
    """
    try:
        require_regular(path)
        with torch.device("meta"):
            meta = build(spec, None, unpadded=False)
            count = sum(p.numel() for p in meta.parameters()) + spec.feature_dim
        size = path.stat().st_size
    except _TooManyLayers:
        raise
    except (ZooError, OSError):  # whoever builds it, or reads the weights, says what is wrong
        return
    if count > size:
        raise WeightsError(
            f"{spec.name} as it is described has {count:,} parameters, and {path} has {size:,} "
            "bytes",
            hint="Take the run's own files, all of them.",
        )
