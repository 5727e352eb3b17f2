"""Build a backbone from a spec and load its weights."""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from zoo.contract.network.backbone import Backbone
from zoo.contract.network.measuring import measure
from zoo.contract.network.padding import padding_matters
from zoo.contract.spec import BackboneSpec, Weights
from zoo.errors import PluginError, RunError, WeightsError, ZooError, first_line
from zoo.registry.adapter_record import ADAPTER_FILE, adapter_of
from zoo.registry.registry import Registry
from zoo.registry.run_record import damaged, read_record
from zoo.system.files import require_regular
from zoo.system.offline import no_network
from zoo.system.small_files import read_small
from zoo.system.tensors.compiler_import import compiler_unimported
from zoo.system.tensors.meta import light_meta, without_values
from zoo.weights.adapter_base import find_base
from zoo.weights.find_adapter import find_kind
from zoo.weights.loading import adapter_layers
from zoo.weights.loading.adapter_file import AdapterParts, put_on, read_adapter
from zoo.weights.loading.load import fetch, read_tensors
from zoo.weights.loading.peft_folder import is_peft_folder, put_peft_on

_LIBRARIES = 3
"""Channels that networks are built for; a network of another modality may have others."""

_MAX_MODULES = 100_000
"""Maximum modules of a network; the largest in the catalogues has fewer than 10,000."""


class _TooManyLayers(WeightsError):
    """A network with more than :data:`_MAX_MODULES` modules."""


@compiler_unimported()
def build(
    spec: BackboneSpec,
    weights: Weights | None,
    *,
    path: Path | None = None,
    unpadded: bool | None = None,
    loader: Callable[[BackboneSpec], Backbone] | None = None,
) -> Backbone:
    """Build a backbone with its loader, and load weights into it.

    The loader builds the network; this function fetches, verifies and loads the weights. The head
    is that of the weights, or an identity if there is none, never a random layer.
    ``weights_notes`` and ``head_flaw`` of the backbone describe what is missing from the weights.

    Args:
        spec: A row of the catalogue, possibly modified (input size, vocabulary).
        weights: The weights; ``None`` for random initialisation.
        path: Result of :func:`zoo.fetch`, if it has been called already.
        unpadded: Whether to batch texts by length, as recorded by a run; measured by default,
            which takes as long as a forward pass of a few short texts.
        loader: Builds a user's own network; the spec's loader by default.

    Raises:
        PluginError: The loader cannot be imported, fails, or returns something else.
        WeightsError: The weights are unavailable or of another architecture, or differ from the
            values in the network.
    """
    folder = None
    if weights is not None:
        path = path or fetch(weights)
        if path.name == ADAPTER_FILE:
            return _with_adapter(spec, weights, path, unpadded)
        if is_peft_folder(path):
            return _with_peft(spec, path, unpadded)
        folder = path if path.is_dir() else path.parent
        if weights in spec.weights:
            spec = _as_shipped(spec, weights, folder)
    channels: int | None = getattr(spec.input, "channels", None)
    with light_meta():  # a plugin may measure a network before it builds it
        backbone = loader(spec) if loader else _from_loader(spec, folder)
    measure(backbone)
    if weights is not None and path is not None:
        state = read_tensors(path)
        if channels is not None and (theirs := backbone.channels_in(state)):
            backbone.fit_channels(theirs)  # those of a run may have others than its library
        loaded = backbone.load_native_state_dict(state, lacks=weights.lacks, source=str(path))
        _check_head(backbone, weights, loaded=loaded)
    if channels is not None and (channels != _LIBRARIES or backbone.channels_note):
        backbone.fit_channels(channels)
    backbone.unpadded = padding_matters(backbone) if unpadded is None else unpadded
    return backbone


def _with_adapter(
    spec: BackboneSpec, weights: Weights, path: Path, unpadded: bool | None
) -> Backbone:
    """The network of an adapter run: its base with the adapter merged into it, and a linear head."""
    backbone = build_adapted(spec, path.parent, unpadded=unpadded, own_head=False)
    adapter_layers.merge(backbone.net)
    _check_head(backbone, weights, loaded=not isinstance(backbone.head, nn.Identity))
    return backbone


def _with_peft(spec: BackboneSpec, folder: Path, unpadded: bool | None) -> Backbone:
    """The default weights of a backbone, with an adapter of PEFT merged into them."""
    base = spec.default_weights
    if base is None or is_peft_folder(Path(base.uri)):
        raise WeightsError(
            f"{folder} contains a PEFT adapter, and {spec.name} has no published weights for it",
            hint="Name a backbone with pretrained weights, which 'zoo show NAME' lists; or merge the "
            "adapter with PEFT (model.merge_and_unload()), and save the model.",
        )
    backbone = build(spec, base, unpadded=unpadded)
    backbone.head = nn.Identity()
    put_peft_on(backbone, folder)
    adapter_layers.merge(backbone.net)
    return backbone


def build_adapted(
    spec: BackboneSpec,
    folder: Path,
    *,
    unpadded: bool | None = None,
    registry: Registry | None = None,
    base: Path | None = None,
    prepare: Callable[[Backbone], None] = lambda _: None,
    own_head: bool = True,
) -> Backbone:
    """Build the base of an adapter run, and insert the adapter.

    Args:
        spec: The spec of the run, possibly modified.
        folder: The run folder.
        unpadded: As for :func:`build`.
        registry: Installed plugins.
        base: The base, if it has moved.
        prepare: Adds the head of the run to the base.
        own_head: Whether ``prepare`` adds a head; else a linear head is read from the file.

    Raises:
        RunError: ``run.json`` is damaged, the base is not found or another one, or is itself an
            adapter on this run.
        WeightsError: The adapter is damaged or does not fit.
    """
    backbone, found = build_base(spec, folder, unpadded=unpadded, registry=registry, base=base)
    prepare(backbone)
    put_on(backbone, found, own_head=own_head)
    return backbone


def build_base(
    spec: BackboneSpec,
    folder: Path,
    *,
    unpadded: bool | None = None,
    registry: Registry | None = None,
    base: Path | None = None,
) -> tuple[Backbone, AdapterParts]:
    """Build the base of an adapter run; returns it, and the adapter, which is not inserted.

    Arguments and errors are those of :func:`build_adapted`.
    """
    if folder in _BASES.get():
        raise RunError(
            f"the base of the adapter {folder} is that adapter itself",
            hint="Restore run.json from a copy of the run.",
        )
    registry = registry or Registry.discover()
    record, found = read_parts(folder, registry)
    weights, path = find_base(folder, found.saved, record, registry=registry, given=base)
    token = _BASES.set((*_BASES.get(), folder))
    try:
        check_size(spec, path)
        backbone = build(spec, weights, path=path, unpadded=unpadded)
    finally:
        _BASES.reset(token)
    return backbone, found


def read_parts(folder: Path, registry: Registry) -> tuple[Mapping[str, Any], AdapterParts]:
    """Read ``run.json`` and the adapter of a run.

    Raises:
        RunError: ``run.json`` is damaged, or has no adapter.
        NameLookupError: Its kind is not that of an installed plugin.
        WeightsError: The adapter is missing or damaged.
    """
    record = read_record(folder)
    try:
        saved = adapter_of(record)
    except ZooError as error:
        raise damaged(folder, error) from error
    if saved is None:
        raise RunError(
            f"the run {folder} holds no adapter",
            hint="Use an adapter run; 'zoo adapters' lists them.",
        )
    kind = find_kind(saved.kind, registry)
    file = folder / ADAPTER_FILE
    return record, AdapterParts(saved, kind, read_adapter(file, str(record.get("sha256"))), file)


_BASES: ContextVar[tuple[Path, ...]] = ContextVar("bases", default=())
"""The adapter runs whose base is being built, to stop at a circle."""


def _check_head(backbone: Backbone, weights: Weights, *, loaded: bool) -> None:
    """Replace a random head by an identity; note a head that is not as its plugin states."""
    if not loaded:
        backbone.head = nn.Identity()
        backbone.head_flaw = backbone.head_flaw or (
            f"they have no head, expected one with {weights.classes} outputs"
            if weights.classes
            else ""
        )
    elif weights.classes and (found := backbone.outputs()) != weights.classes:
        backbone.head_flaw = f"their head has {found} outputs, expected {weights.classes}"


def _as_shipped(spec: BackboneSpec, weights: Weights, folder: Path) -> BackboneSpec:
    """Return ``spec`` with the config that is published with the weights; runs record it."""
    file = folder / weights.config
    if not weights.config or not file.is_file():
        return spec
    try:
        shipped = json.loads(read_small(file))
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"failed to read {file}: {first_line(error)}",
            hint="Restore the file that belongs to the weights.",
        ) from error
    if not isinstance(shipped, dict):
        raise WeightsError(
            f"{file} is not a JSON object", hint="Restore the file that belongs to the weights."
        )
    return replace(spec, config={**spec.config, **shipped})


def _from_loader(spec: BackboneSpec, folder: Path | None) -> Backbone:
    """Build the backbone with its loader, and read the tokenizer next to its weights."""
    module, _, function = spec.loader.partition(":")
    try:
        loader = getattr(importlib.import_module(module), function)
    except ZooError:
        raise
    except (Exception, SystemExit) as error:  # a plugin may call sys.exit
        raise PluginError(
            f"failed to import the loader {spec.loader!r} of {spec.name}: "
            f"{first_line(error, kind=True)}",
            hint="'zoo plugins' lists all plugins and their status.",
        ) from error
    try:
        with _without_network(spec), _limited_modules(spec):
            backbone = loader(spec)
            if isinstance(backbone, Backbone):
                backbone.read_tokenizer(folder)
    except ZooError:
        raise
    except (Exception, SystemExit) as error:  # of the plugin, or of a spec that it did not write
        raise PluginError(
            f"the loader {spec.loader!r} of {spec.name} raised {first_line(error, kind=True)}",
            hint=f"This is a bug of its plugin: see 'zoo check {spec.name}'.",
        ) from error
    if not isinstance(backbone, Backbone):
        raise PluginError(
            f"the loader of {spec.name} returned {type(backbone).__name__}, not a zoo.Backbone",
            hint=f"This is a bug of its plugin: see 'zoo check {spec.name}'.",
        )
    return backbone


@contextmanager
def _limited_modules(spec: BackboneSpec) -> Iterator[None]:
    """Stop building a network with far too many layers.

    Layer counts are in many, also nested, fields of a config, and building layers takes time.

    Raises:
        WeightsError: The network has too many layers.
    """
    left, thread = _MAX_MODULES, threading.get_ident()

    def count(*_: object) -> None:
        nonlocal left
        if threading.get_ident() == thread:
            left -= 1
            if left < 0:
                raise RuntimeError("too many layers")  # replaced below by an error for the user

    handle = register_module_module_registration_hook(count)
    try:
        yield
    except Exception as error:
        if left >= 0:
            raise
        raise _TooManyLayers(
            f"the config of {spec.name} has more than {_MAX_MODULES:,} layers, which is not supported",
            hint="Use the config.json or run.json that belongs to the weights.",
        ) from error
    finally:
        handle.remove()


@contextmanager
def _without_network(spec: BackboneSpec) -> Iterator[None]:
    """Block network access of a loader.

    The spec may come from a run folder or a config.json, and name anything, which libraries would
    request with the user's token.

    Raises:
        WeightsError: The loader failed after trying to connect to a host.
    """
    with no_network() as hosts:
        try:
            yield
        except Exception as error:
            if not hosts:
                raise
            raise WeightsError(
                f"{spec.name} refers to files that are not on this machine: building it tried to connect "
                f"to {hosts[0]}, which loaders are not allowed to",
                hint="Use a complete folder, or the name of the original model.",
            ) from error


@compiler_unimported()
def check_size(spec: BackboneSpec, path: Path) -> None:
    """Raise if a network has more parameters than its weights file has bytes.

    For specs from run folders, before memory is allocated: the network is built on the meta device
    if its library supports that.

    Raises:
        WeightsError: The network is larger than the file.
    """
    if path.name == ADAPTER_FILE:
        return  # its base is checked
    try:
        require_regular(path)
        with without_values():
            meta = build(spec, None, unpadded=False)
            count = sum(p.numel() for p in meta.parameters()) + spec.feature_dim
        size = path.stat().st_size
    except _TooManyLayers:
        raise
    except (ZooError, OSError):  # reported when the network is built or the weights are read
        return
    if count > size:
        raise WeightsError(
            f"the config of {spec.name} has {count:,} parameters, but {path} has only {size:,} bytes",
            hint="Use all files of the same run.",
        )
