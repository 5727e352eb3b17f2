"""The hooks that a plugin may implement, and their return values.

A plugin is a distribution with an entry point in the group ``zoo.plugins``; the entry point's
name is the plugin's namespace, and it names a module (or an object) whose functions carry
``@zoo.hookimpl``. Plugins are called in isolation: one that raises does not affect the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

from zoo.contract.adapters import AdapterKind
from zoo.contract.commands import CommandSpec
from zoo.contract.exemptions import Exemption
from zoo.contract.extensions import AugmentationSpec, ExporterSpec, LossSpec, Metric, OptimizerSpec
from zoo.contract.modalities import ModalitySpec
from zoo.contract.readers import ReaderSpec
from zoo.contract.spec import BackboneSpec

if TYPE_CHECKING:
    from torch import nn

hookspec = pluggy.HookspecMarker("zoo")
hookimpl = pluggy.HookimplMarker("zoo")

HeadFactory = Callable[[int, int], "nn.Module"]
"""From ``(feature_dim, outputs)`` to a module that maps ``(B, feature_dim)`` to ``(B, outputs)``."""

StrategyFactory = Callable[..., Any]
"""From a :class:`zoo.Recipe` and the names of the backbone's stages, input first, to the phases of
training (:class:`zoo.Phase`); with a third parameter, also from the argument of ``--strategy NAME:ARGUMENT``."""


@hookspec
def zoo_backbones() -> Iterable[BackboneSpec]:  # type: ignore[empty-body]
    """The plugin's catalogue.

    Called when the plugin is new or has changed; the result is stored in the index. It must not
    import torch. Names are within the plugin's namespace.
    """


@hookspec
def zoo_resolve(name: str) -> BackboneSpec | None:
    """The backbone of a canonical ``name`` outside the catalogue, or ``None``.

    The name of the returned spec is canonical too: ``hf/<org>/<name>`` or
    ``path:<absolute folder>``. Called for names in the plugin's namespace (``hf/<org>/<name>``),
    for names in another namespace whose plugin does not know them, and for names with a scheme
    (``path:<folder>``, ``hf:<org>/<name>``), which all plugins are asked for. It may read files
    and use the network. For a name of the plugin's that is not valid, raise a
    :class:`zoo.ZooError`.
    """


@hookspec
def zoo_heads() -> Mapping[str, HeadFactory | str]:  # type: ignore[empty-body]
    """Heads by name, for ``--head``; each is a function or the ``module:attribute`` of one."""


@hookspec
def zoo_strategies() -> Mapping[str, StrategyFactory | str]:  # type: ignore[empty-body]
    """Strategies by name, for ``--strategy``; each is a function or the ``module:attribute`` of one."""


@hookspec
def zoo_adapters() -> Mapping[str, AdapterKind]:  # type: ignore[empty-body]
    """Kinds of adapters by name, for ``--strategy``."""


@hookspec
def zoo_tasks() -> Mapping[str, type | str]:  # type: ignore[empty-body]
    """Tasks by name, for ``--task``: classes that keep :class:`zoo.Task`."""


@hookspec
def zoo_metrics() -> Mapping[str, Metric | str]:  # type: ignore[empty-body]
    """Metrics by name, for ``--metric``."""


@hookspec
def zoo_losses() -> Mapping[str, LossSpec | str]:  # type: ignore[empty-body]
    """Training losses by name, for ``--loss``."""


@hookspec
def zoo_optimizers() -> Mapping[str, OptimizerSpec | str]:  # type: ignore[empty-body]
    """Optimisers by name, for ``--optimizer``."""


@hookspec
def zoo_augmentations() -> Mapping[str, AugmentationSpec | str]:  # type: ignore[empty-body]
    """Augmentations of training inputs by name, for ``--augment``."""


@hookspec
def zoo_readers() -> Iterable[ReaderSpec]:  # type: ignore[empty-body]
    """Data formats for ``--data``: files with a suffix, or sources with a scheme.

    Called together with ``zoo_backbones``; the result is stored in the index.
    """


@hookspec
def zoo_exporters() -> Mapping[str, ExporterSpec | str]:  # type: ignore[empty-body]
    """Export formats by name, for ``zoo export --format``."""


@hookspec
def zoo_commands() -> Iterable[CommandSpec]:  # type: ignore[empty-body]
    """Commands that the plugin adds to ``zoo``.

    Called together with ``zoo_backbones``; the result is stored in the index. A name that zoo or
    another plugin uses already is an error.
    """


@hookspec
def zoo_modalities() -> Iterable[ModalitySpec]:  # type: ignore[empty-body]
    """Modalities besides images and texts.

    Called together with ``zoo_backbones``; the result is stored in the index. A name belongs to
    the plugin that registers it first; a second plugin with the same name is in conflict.
    """


@hookspec
def zoo_exemptions() -> Iterable[Exemption]:  # type: ignore[empty-body]
    """Checks that some of the plugin's backbones are known to fail, each with its reason."""


@hookspec
def zoo_sync() -> Iterable[BackboneSpec]:  # type: ignore[empty-body]
    """The catalogue rebuilt from the installed library, for ``zoo sync``.

    It may import torch and take minutes. Plugins with a handwritten catalogue do not implement it.
    """


@hookspec
def zoo_featured() -> Iterable[str]:  # type: ignore[empty-body]
    """Backbones that ``zoo list`` shows without ``--all``, by name, the best first.

    Called together with ``zoo_backbones``. By default the first eight of the catalogue are shown.
    """


@hookspec
def zoo_library() -> Mapping[str, str]:  # type: ignore[empty-body]
    """The distribution and version of the library that the catalogue was generated from.

    Called together with ``zoo_backbones``. If another version is installed, ``zoo plugins``
    suggests ``zoo sync``.
    """
