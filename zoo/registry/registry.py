"""All backbones of all plugins, by name."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from zoo.contract.commands import CommandSpec
from zoo.contract.exemptions import Exemption
from zoo.contract.spec import OWN_LOADER, BackboneSpec
from zoo.errors import RunError
from zoo.registry import discovery
from zoo.registry.discovery import Plugin, PluginSource
from zoo.registry.index import Index
from zoo.registry.offers import Offer, OfferKind, Thing, unique
from zoo.registry.plugins import PluginSet, PluginStatus
from zoo.registry.policy import Policy, load_policy
from zoo.registry.requirements import Requirements, requirements
from zoo.registry.resolution import Resolved, Resolver
from zoo.registry.run_record import FinishedRun
from zoo.system.paths import cache_folder


class Registry:
    """All backbones of all plugins, under one policy.

    Args:
        sources: The plugins, e.g. those of :func:`zoo.registry.discovery.installed`.
        policy: Short names, resolution order, disabled plugins.
        index: Cache of the catalogues.
    """

    def __init__(self, sources: Iterable[PluginSource], policy: Policy, index: Index) -> None:
        self.policy = policy
        self.index = index
        self._plugins = PluginSet(sources, policy, index)
        self._resolver = Resolver(self._plugins, policy, matching=self.names)

    @classmethod
    def discover(cls) -> Registry:
        """Return the registry of the installed plugins under the policy in force here."""
        policy = load_policy()
        return cls(discovery.installed(cache_folder() / "plugins.json"), policy, Index())

    # -- plugins -----------------------------------------------------------------------------

    def plugins(self) -> list[PluginStatus]:
        """Return the status of every installed plugin."""
        return self._plugins.statuses()

    def plugin(self, name: str) -> Plugin:
        """Import and return a plugin.

        Raises:
            NameLookupError: There is no plugin of that name.
            PluginError: It cannot be used; the message says why.
        """
        return self._plugins.load(name)

    def sync(self, name: str) -> int:
        """Rebuild a plugin's catalogue from the installed library.

        Returns:
            The number of backbones.

        Raises:
            NameLookupError: There is no plugin of that name.
            PluginError: Its catalogue is written by hand, the plugin cannot be used or fails, or
                the catalogue cannot be saved.
        """
        return self._plugins.sync(name)

    def undo_sync(self, name: str) -> int:
        """Return to the catalogue that a plugin ships.

        Returns:
            The number of backbones.

        Raises:
            NameLookupError: There is no plugin of that name.
            PluginError: The plugin cannot be used.
        """
        return self._plugins.undo_sync(name)

    def outdated(self, name: str) -> str:
        """Say why a plugin's catalogue may lack names; empty if there is no reason.

        It was made from another version of the library than is installed, or by a ``zoo sync``
        before the plugin changed.
        """
        return self._plugins.outdated(name)

    def exemptions(self, name: str) -> tuple[Exemption, ...]:
        """Return the contract checks that a plugin's backbones are known not to pass.

        Raises:
            PluginError: The plugin cannot be used, or returns something else.
        """
        return self._plugins.exemptions(name)

    def commands(self) -> list[tuple[str, CommandSpec]]:
        """Return the commands of all plugins with the plugins' names, zoo's own first."""
        return self._plugins.commands()

    def set_verdict(self, name: str, verdict: str) -> None:
        """Show a remark beside a plugin until the plugin changes; see :meth:`Index.set_verdict`."""
        self._plugins.set_verdict(name, verdict)

    def offers(self, kind: OfferKind, own: Mapping[str, Any]) -> list[Offer[Any]]:
        """Return all heads, strategies or other things of a kind, zoo's own first.

        A plugin that fails is left out, with a warning.

        Args:
            kind: What to look for.
            own: Zoo's own, by name.
        """
        return [*_own(kind, own), *self._plugins.offers(kind)]

    def offer(self, kind: OfferKind, name: str, own: Mapping[str, Thing | str]) -> Offer[Thing]:
        """Return the head, strategy or other thing of a name, as a user types it.

        ``plugin/name`` asks only that plugin, a name of zoo's own asks none.

        Args:
            kind: What to look for.
            name: Bare or canonical.
            own: Zoo's own, by name.

        Raises:
            NameLookupError: The name is unknown; the message lists the closest ones.
            AmbiguousNameError: Several plugins offer it.
            PluginError: Its plugin cannot be used.
        """
        return unique(kind, name, self.candidates(kind, name, own))

    def candidates(
        self, kind: OfferKind, name: str, own: Mapping[str, Thing | str]
    ) -> list[Offer[Thing]]:
        """Return the things among which :meth:`offer` looks for a name."""
        if name in own:
            return [Offer(kind=kind, bare=name, plugin="", given=own[name])]
        plugin, slash, _ = name.partition("/")
        if slash and plugin in self._plugins.sources:
            return self._plugins.offers_of(kind, plugin)
        return self.offers(kind, own)

    def offers_of(self, kind: OfferKind, plugin: str) -> list[Offer[Any]]:
        """Return what one plugin offers.

        Raises:
            NameLookupError: There is no plugin of that name.
            PluginError: It cannot be used, or its answer is not valid.
        """
        return self._plugins.offers_of(kind, plugin)

    def offered(self, *hooks: str) -> list[str]:
        """Return the canonical names of what plugins offer; from the index, nothing is imported.

        Args:
            hooks: ``zoo_heads`` and others.
        """
        return [
            f"{plugin}/{name}"
            for plugin, catalogue in sorted(self._plugins.catalogues.items())
            for hook in hooks
            for name in catalogue.offers.get(hook, ())
        ]

    def requirements(self, spec: BackboneSpec, used: Iterable[Offer[Any]]) -> Requirements:
        """Return the plugins that a fine-tune uses, as recorded in ``run.json``.

        Args:
            spec: The backbone.
            used: The head, strategy and other things in use.
        """
        return requirements(self._plugins.sources, spec, used)

    def require(self, needed: Requirements, what: str, *, training: bool = False) -> None:
        """Check that the plugins are there that a run needs.

        Args:
            needed: The ``plugins`` of its ``run.json``, as of :meth:`requirements`.
            what: The run, for the message.
            training: Whether the run is to be trained, not only opened.

        Raises:
            RunError: A plugin is not installed or cannot be used; the hint says what to install.
        """
        self._plugins.require(needed, what, training=training)

    # -- names -------------------------------------------------------------------------------

    @cached_property
    def short_names(self) -> Mapping[str, str]:
        """What ``zoo list`` shows without ``--all``, to canonical names.

        The short names of ``registry.toml``, then what plugins feature: by the bare name where that
        means it, else by the canonical one.
        """
        names = dict(self.policy.aliases)
        known = set(names.values())
        for plugin, catalogue in sorted(self._plugins.catalogues.items()):
            for arch in catalogue.featured:
                if (canonical := f"{plugin}/{arch}") not in known:
                    bare = self._resolver.meaning(arch) == canonical
                    names.setdefault(arch if bare else canonical, canonical)
        return names

    def names(self, pattern: str = "*") -> list[str]:
        """Return matching canonical names, sorted by plugin and name.

        Args:
            pattern: A glob if it contains ``*``, ``?`` or ``[…]``, else a substring; letter case
                is ignored. It may match a short name, a bare name or a canonical name.
        """
        matches = _matcher(pattern)
        short = {canonical for alias, canonical in self.short_names.items() if matches(alias)}
        return [
            f"{plugin}/{arch}"
            for plugin, catalogue in sorted(self._plugins.catalogues.items())
            for arch in sorted(catalogue.rows)
            if matches(arch) or matches(f"{plugin}/{arch}") or f"{plugin}/{arch}" in short
        ]

    def rows(self, pattern: str = "*") -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield matching canonical names with their specs as JSON data, cheaper than specs."""
        for name in self.names(pattern):
            plugin, _, arch = name.partition("/")
            yield name, self._plugins.catalogues[plugin].rows[arch]

    def row(self, name: str) -> Mapping[str, Any] | None:
        """Return the JSON data of a canonical name without tag; ``None`` if it is unknown."""
        plugin, _, arch = name.partition("/")
        catalogue = self._plugins.catalogues.get(plugin)
        return catalogue.rows.get(arch) if catalogue else None

    def runs(self, pattern: str = "*") -> Iterator[tuple[str, FinishedRun | RunError]]:
        """Yield published runs whose name or backbone matches; see :meth:`names`.

        A run that cannot be read is yielded as its error.
        """
        matches = _matcher(pattern)
        for name in self.policy.runs:
            try:
                run = self._resolver.run(name)
            except RunError as error:
                if matches(name):
                    yield name, error
            else:
                if any(map(matches, (name, run.spec.name, run.spec.arch))):
                    yield name, run

    def check_loader(
        self, spec: BackboneSpec, folder: Path, needed: Requirements | None = None
    ) -> None:
        """Check that the loader in a run folder's spec belongs to an installed plugin.

        A spec names the function that builds its backbone, which is imported and called. In a
        plugin's spec that is the plugin's own code; in a file it could be anything.

        Args:
            spec: The spec of a run.
            folder: The run folder.
            needed: The plugins in its ``run.json``; an error then says what to install.

        Raises:
            RunError: The plugin is not installed; or the loader is neither in a plugin's package nor in its catalogue.
            PluginError: The plugin cannot be used, e.g. because it is disabled.
        """
        if needed and spec.plugin in needed:
            self.require({spec.plugin: needed[spec.plugin]}, f"the run {folder}")
        package = _package(spec.loader)
        owners = [
            name
            for name, source in self._plugins.sources.items()
            if _package(source.value) == package
        ]
        if any(name in self._plugins.catalogues for name in owners):
            return
        for name in owners:
            self._plugins.usable(name)  # raises with the reason why it cannot be used
        if any(row["loader"] == spec.loader for _, row in self.rows()):
            return
        if spec.loader == OWN_LOADER:
            raise RunError(
                f"the network of {folder}, {spec.name}, does not come from a plugin",
                hint="Open the run with zoo.open_run(folder, network=…). To make it a named "
                "backbone: docs/plugins.md.",
            )
        raise RunError(
            f"the run {folder} needs the loader {spec.loader!r} for {spec.name}, which does not "
            "belong to an installed plugin; code named by a run folder is not executed",
            hint="Install the plugin of that backbone; 'zoo plugins' lists the installed ones.",
        )

    def owner(self, name: str) -> str:
        """Describe what has the bare ``name``, apart from published runs; empty if it is free."""
        return self._resolver.owner(name)

    def spec(self, name: str) -> BackboneSpec:
        """Return the spec of a name. Raises as :meth:`resolve`."""
        return self.resolve(name).spec

    def resolve(self, name: str) -> Resolved:
        """Resolve a short, bare or canonical name, with or without tag, or a published run.

        Raises:
            NameLookupError: The name is unknown; the message lists the closest ones.
            AmbiguousNameError: Several plugins publish it, and no order is set.
            PluginError: It belongs to a plugin that cannot be used.
            RunError: It is the name of a run that cannot be read.
        """
        if name in self.policy.runs:
            run = self._resolver.run(name)
            self.check_loader(run.spec, run.folder, run.record.get("plugins"))
            return Resolved(run.spec, run=run)
        return self._resolver.backbone(name)


def find_offer(
    kind: OfferKind,
    name: str,
    own: Mapping[str, Thing | str],
    registry: Registry | None = None,
) -> Offer[Thing]:
    """Return what :meth:`Registry.offer` does; for a name of zoo's own no plugin is looked for.

    Args:
        kind: What to look for.
        name: Bare or canonical.
        own: Zoo's own, by name.
        registry: Plugins to search; the installed ones by default.

    Raises:
        NameLookupError: The name is unknown, or several plugins offer it.
        PluginError: Its plugin cannot be used.
    """
    if name in own:
        return Offer(kind=kind, bare=name, plugin="", given=own[name])
    return (registry or Registry.discover()).offer(kind, name, own)


def _own(kind: OfferKind, own: Mapping[str, Any]) -> list[Offer[Any]]:
    return [Offer(kind=kind, bare=name, plugin="", given=given) for name, given in own.items()]


def _package(value: str) -> str:
    """Return the top-level package of ``package.module:attribute``."""
    return value.partition(":")[0].partition(".")[0].strip()


def _matcher(pattern: str) -> Callable[[str], bool]:
    lowered = pattern.lower()
    if lowered in ("", "*"):
        return lambda _: True
    if any(c in lowered for c in "*?["):
        return lambda name: fnmatch.fnmatchcase(name.lower(), lowered)
    return lambda name: lowered in name.lower()
