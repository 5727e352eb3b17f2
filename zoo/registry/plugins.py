"""The installed plugins: their status, catalogues, commands, and what they offer by name."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.contract.commands import CommandSpec
from zoo.contract.exemptions import Exemption
from zoo.contract.modalities import register, withdraw
from zoo.contract.readers import register_reader, withdraw_readers
from zoo.errors import PluginError, ZooError
from zoo.registry import discovery
from zoo.registry.discovery import CORE, Plugin, PluginSource, guarded
from zoo.registry.index import Catalogue, Index
from zoo.registry.offers import Offer, OfferKind, offers_in
from zoo.registry.policy import Policy
from zoo.registry.requirements import Requirements, absent, install
from zoo.registry.suggestions import unknown_plugin
from zoo.version import __version__


@dataclass(frozen=True)
class PluginStatus:
    """Status of an installed plugin.

    Attributes:
        status: ``ok``, ``broken``, ``incompatible``, ``conflict`` or ``disabled``.
        reason: Why it is not ``ok``; if it is, warnings for its author.
        backbones: Number of backbones in its catalogue.
    """

    name: str
    distribution: str
    version: str
    status: str
    reason: str
    backbones: int


class PluginSet:
    """Installed plugins under a policy, each imported on first use.

    Args:
        sources: The plugins' entry points.
        policy: Disabled plugins.
        index: Cache of the catalogues.

    Attributes:
        sources: Entry points by plugin name.
        catalogues: Catalogues of the plugins with status ``ok``, by plugin name.
    """

    def __init__(self, sources: Iterable[PluginSource], policy: Policy, index: Index) -> None:
        self._policy, self._index = policy, index
        self._loaded: dict[str, Plugin] = {}
        self._statuses: dict[PluginSource, tuple[str, str]] = {}
        self._offers: dict[tuple[OfferKind, str], list[Offer[Any]]] = {}
        self.catalogues: dict[str, Catalogue] = {}
        by_name: dict[str, list[PluginSource]] = defaultdict(list)
        for source in sources:
            by_name[source.name].append(source)
        for namesakes in by_name.values():
            for source in namesakes:
                self._statuses[source] = self._status(source, namesakes)
        # Of several plugins with one name, the usable one.
        self.sources = {
            name: min(namesakes, key=lambda source: self._statuses[source][0] != "ok")
            for name, namesakes in by_name.items()
        }
        self._register()

    def _register(self) -> None:
        """Add the plugins' modalities and readers to the tables, zoo's own plugins first."""
        for name in self.sources.keys() - self.catalogues.keys():
            withdraw(name)
            withdraw_readers(name)
        own_first = sorted(
            self.catalogues, key=lambda name: self.sources[name].distribution != CORE
        )
        for plugin in own_first:
            for modality in self.catalogues[plugin].modalities:
                owner = register(modality)
                if owner.plugin != plugin:
                    having = f"the plugin {owner.plugin!r}" if owner.plugin else "zoo itself"
                    reason = f"{having} has a modality {modality.name!r} too; rename or disable one"
                    self._statuses[self.sources[plugin]] = "conflict", reason
                    del self.catalogues[plugin]
                    break
            else:
                self._register_readers(plugin)

    def _register_readers(self, plugin: str) -> None:
        withdraw_readers(plugin)  # it may have been upgraded
        for reader in self.catalogues[plugin].readers:
            other = register_reader(reader)
            if other is not reader:
                having = f"the plugin {other.plugin!r}" if other.plugin else "zoo itself"
                formats = ", ".join(reader.keys)
                reason = f"{having} reads {formats} too; rename or disable one"
                self._statuses[self.sources[plugin]] = "conflict", reason
                del self.catalogues[plugin]
                withdraw_readers(plugin)
                return

    def statuses(self) -> list[PluginStatus]:
        """Return the status of every installed plugin."""
        return [
            PluginStatus(
                source.name,
                source.distribution,
                source.version,
                status,
                reason,
                len(self.catalogues[source.name].rows) if status == "ok" else 0,
            )
            for source, (status, reason) in self._statuses.items()
        ]

    def _status(self, source: PluginSource, namesakes: Sequence[PluginSource]) -> tuple[str, str]:
        """Return status and reason; the catalogue is kept if the status is ``ok``."""
        if self._policy.is_disabled(source.name):
            return "disabled", self._policy.why_disabled(source.name)
        if conflict := _conflict(source, namesakes):
            return "conflict", conflict
        catalogue = self._index.cached(source)  # was compatible when it was cached
        if catalogue is None:
            if reason := discovery.incompatibility(source, __version__):
                return "incompatible", reason
            catalogue = self._index.catalogue(source)
        if catalogue.status == "ok":
            self.catalogues[source.name] = catalogue
        return catalogue.status, catalogue.remarks

    def load(self, name: str) -> Plugin:
        """Import a plugin; see :meth:`zoo.Registry.plugin`."""
        source = self.usable(name)
        if name not in self._loaded:
            try:
                self._loaded[name] = Plugin(source)
            except ZooError as error:
                raise broken(name, error.message) from error
        return self._loaded[name]

    def usable(self, name: str) -> PluginSource:
        """Return the entry point of a plugin that can be used; nothing is imported.

        Raises:
            NameLookupError: There is no plugin of that name.
            PluginError: It cannot be used.
        """
        if name not in self.sources:
            raise unknown_plugin(name, self.sources)
        status, reason = self._statuses[self.sources[name]]
        if status != "ok":
            raise PluginError(
                f"the plugin {name!r} is {status}: {reason}",
                hint="'zoo plugins' lists all plugins and their status.",
            )
        return self.sources[name]

    def sync(self, name: str) -> int:
        """Rebuild a plugin's catalogue; see :meth:`zoo.Registry.sync`."""
        plugin = self.load(name)
        if not plugin.implements("zoo_sync"):
            raise PluginError(
                f"the catalogue of plugin {name!r} is written by hand and cannot be rebuilt",
                hint="Upgrade the plugin's distribution instead.",
            )
        from zoo.system.tensors.torchvision_operators import declare_missing_operators

        declare_missing_operators()  # the plugin may import torchvision, or timm, which does
        catalogue = self.catalogues[name]
        specs = plugin.call("zoo_sync")
        library = {
            each: version for each in catalogue.library if (version := installed_version(each))
        }
        self.catalogues[name] = self._index.replace(plugin.source, specs, catalogue, library)
        return len(self.catalogues[name].rows)

    def undo_sync(self, name: str) -> int:
        """Return to a plugin's own catalogue; see :meth:`zoo.Registry.undo_sync`."""
        self.catalogues[name] = self._index.forget(self.usable(name))
        return len(self.catalogues[name].rows)

    def outdated(self, name: str) -> str:
        """Return why a plugin's catalogue may lack names; see :meth:`zoo.Registry.outdated`."""
        catalogue = self.catalogues.get(name)
        if catalogue is None or not catalogue.rebuilds:
            return ""
        for library, made_from in catalogue.library.items():
            version = installed_version(library)
            if version and version != made_from:
                return (
                    f"the catalogue was made from {library} {made_from}, {version} is installed; "
                    f"'zoo sync {name}' rebuilds it"
                )
        return catalogue.stale

    def exemptions(self, name: str) -> tuple[Exemption, ...]:
        """Return a plugin's exemptions; see :meth:`zoo.Registry.exemptions`."""
        plugin = self.load(name)
        if not plugin.implements("zoo_exemptions"):
            return ()
        answer = plugin.call("zoo_exemptions")
        with guarded("zoo_exemptions"):
            exemptions = tuple(answer)
        for exemption in exemptions:
            if not isinstance(exemption, Exemption):
                raise broken(
                    name, f"zoo_exemptions yielded {type(exemption).__name__}, not Exemption"
                )
        return exemptions

    def commands(self) -> list[tuple[str, CommandSpec]]:
        """Return the commands of all plugins with the plugins' names, zoo's own first."""
        plugins = sorted(
            self.catalogues, key=lambda name: (self.sources[name].distribution != CORE, name)
        )
        return [(name, spec) for name in plugins for spec in self.catalogues[name].commands]

    def set_verdict(self, name: str, verdict: str) -> None:
        """Record a remark on a plugin; see :meth:`zoo.Registry.set_verdict`."""
        if name in self.catalogues:
            self._index.set_verdict(self.sources[name], verdict)

    def offers(self, kind: OfferKind) -> list[Offer[Any]]:
        """Return what all plugins offer; see :meth:`zoo.Registry.offers`."""
        return [offer for name in self.catalogues for offer in self._offers_or_warning(kind, name)]

    def offers_of(self, kind: OfferKind, name: str) -> list[Offer[Any]]:
        """Return what one plugin offers.

        Raises:
            NameLookupError: There is no plugin of that name.
            PluginError: It cannot be used, its hook fails, or does not return a mapping of names.
        """
        if (kind, name) not in self._offers:
            try:
                answer = self.load(name).call(kind.hook)
                with guarded(kind.hook):
                    self._offers[kind, name] = list(offers_in(kind, name, answer).values())
            except PluginError as error:
                raise error if error.hint else broken(name, error.message) from error
        return self._offers[kind, name]

    def require(self, needed: Requirements, what: str, *, training: bool) -> None:
        """Check that the plugins are there that a run needs; see :meth:`zoo.Registry.require`."""
        for name, entry in needed.items():
            things = [*entry["opening"], *(entry["training"] if training else ())]
            if not things:
                continue
            if name not in self.sources:
                raise absent(name, entry, things, what, "is not installed", hint=install(entry))
            status, reason = self._statuses[self.sources[name]]
            if status != "ok":
                hint = "Enable or repair it; 'zoo plugins' lists all plugins and their status."
                raise absent(name, entry, things, what, f"is {status}: {reason}", hint=hint)

    def _offers_or_warning(self, kind: OfferKind, name: str) -> list[Offer[Any]]:
        try:
            return self.offers_of(kind, name)
        except ZooError as error:
            reason = error.message.removeprefix(f"the plugin {name!r} is broken: ")
            warnings.warn(f"the plugin {name!r} is ignored for {kind.hook}: {reason}", stacklevel=5)
            self._offers[kind, name] = []  # warned once
            return []


def installed_version(distribution: str) -> str:
    """Return the version of an installed distribution without its local part; empty if absent."""
    import importlib.metadata

    try:
        return importlib.metadata.version(distribution).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return ""


def broken(name: str, reason: str) -> PluginError:
    """Return the error for a plugin that fails."""
    return PluginError(
        f"the plugin {name!r} is broken: {reason}",
        hint="'zoo plugins' lists all plugins and their status.",
    )


def _conflict(source: PluginSource, namesakes: Sequence[PluginSource]) -> str:
    """Return why ``source`` may not use its name; zoo's own plugins always may."""
    others = [s.distribution or s.value for s in namesakes if s is not source]
    if not others or source.distribution == CORE:
        return ""
    if CORE in others:
        return f"{source.name!r} is the name of a bundled plugin; rename this one"
    distributions = " and ".join(s.distribution or s.value for s in namesakes)
    return f"{distributions} both install a plugin of this name; uninstall one"
