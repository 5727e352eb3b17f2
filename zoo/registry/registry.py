"""From a name to a backbone: which plugins there are, what they publish, who wins a bare name."""

from __future__ import annotations

import fnmatch
import os
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoo.contract.commands import CommandSpec
from zoo.contract.exemptions import Exemption
from zoo.contract.spec import BackboneSpec
from zoo.errors import (
    AmbiguousNameError,
    NameLookupError,
    PluginError,
    RunError,
    ZooError,
    closest,
    did_you_mean,
)
from zoo.registry import discovery
from zoo.registry.discovery import CORE, Plugin, PluginSource, guarded
from zoo.registry.index import Catalogue, Index
from zoo.registry.policy import Policy, load_policy
from zoo.registry.run_record import LOCK_FILE, FinishedRun, read_run
from zoo.system.paths import cache_folder
from zoo.version import __version__


@dataclass(frozen=True)
class PluginStatus:
    """How a plugin fares.

    Attributes:
        status: ``ok``, ``broken``, ``incompatible``, ``conflict`` or ``disabled``.
        reason: Why it is not ``ok``; where it is, what its author should change, if anything.
        backbones: How many backbones it publishes.
    """

    name: str
    distribution: str
    version: str
    status: str
    reason: str
    backbones: int


@dataclass(frozen=True)
class Resolved:
    """What a name leads to.

    Attributes:
        spec: With its canonical name.
        tag: The weights that the name asked for.
        run: The run that is published under the name, if it is one's.
    """

    spec: BackboneSpec
    tag: str | None = None
    run: FinishedRun | None = None

    @property
    def weights(self) -> str:
        """The tag in the name, else ``auto``."""
        return self.tag or "auto"


class Registry:
    """All backbones of all plugins, under one policy.

    Args:
        sources: The plugins, e.g. those of :func:`zoo.registry.discovery.installed`.
        policy: Short names, order, switched-off plugins.
        index: Where catalogues are kept.
    """

    def __init__(self, sources: Iterable[PluginSource], policy: Policy, index: Index) -> None:
        self.policy = policy
        self.index = index
        self._loaded: dict[str, Plugin] = {}
        self._catalogues: dict[str, Catalogue] = {}
        self._statuses: dict[PluginSource, tuple[str, str]] = {}
        named: dict[str, list[PluginSource]] = defaultdict(list)
        for source in sources:
            named[source.name].append(source)
        for namesakes in named.values():
            for source in namesakes:
                self._statuses[source] = self._admit(source, namesakes)
        # Of several that have one name, the one that can be used.
        self._sources = {
            name: min(namesakes, key=lambda source: self._statuses[source][0] != "ok")
            for name, namesakes in named.items()
        }

    @classmethod
    def discover(cls) -> Registry:
        """The registry of what is installed, under the policy that applies here."""
        policy = load_policy()
        return cls(discovery.installed(cache_folder() / "plugins.json"), policy, Index())

    # -- plugins -----------------------------------------------------------------------------

    def plugins(self) -> list[PluginStatus]:
        """Every plugin that is installed, whatever its status."""
        return [
            PluginStatus(
                source.name,
                source.distribution,
                source.version,
                status,
                reason,
                len(self._catalogues[source.name].rows) if status == "ok" else 0,
            )
            for source, (status, reason) in self._statuses.items()
        ]

    def _admit(self, source: PluginSource, namesakes: Sequence[PluginSource]) -> tuple[str, str]:
        """The status of ``source`` and the reason; its catalogue is kept if it is ``ok``."""
        if self.policy.is_disabled(source.name):
            return "disabled", self.policy.why_disabled(source.name)
        if conflict := _conflict(source, namesakes):
            return "conflict", conflict
        catalogue = self.index.kept(source)  # what was kept was compatible when it was asked
        if catalogue is None:
            if reason := discovery.incompatibility(source, __version__):
                return "incompatible", reason
            catalogue = self.index.catalogue(source)
        if catalogue.status == "ok":
            self._catalogues[source.name] = catalogue
        return catalogue.status, catalogue.remarks

    def plugin(self, name: str) -> Plugin:
        """The plugin ``name``, imported.

        Raises:
            NameLookupError: There is no such plugin.
            PluginError: There is, but it cannot be used; the message says why.
        """
        if name not in self._sources:
            raise self._no_plugin(name)
        source = self._sources[name]
        status, reason = self._statuses[source]
        if status != "ok":
            raise PluginError(
                f"the plugin {name!r} is {status}: {reason}",
                hint="'zoo plugins' shows every plugin and its status.",
            )
        if name not in self._loaded:
            try:
                self._loaded[name] = Plugin(source)
            except ZooError as error:
                raise self._broken(name, error.message) from error
        return self._loaded[name]

    def _broken(self, name: str, reason: str) -> PluginError:
        return PluginError(
            f"the plugin {name!r} is broken: {reason}",
            hint="'zoo plugins' shows every plugin and its status.",
        )

    def sync(self, name: str) -> int:
        """Make the catalogue of ``name`` again from the library that is installed.

        Returns:
            The number of backbones.

        Raises:
            NameLookupError: There is no such plugin.
            PluginError: The plugin writes its catalogue by hand, cannot be used, or fails; or
                the catalogue cannot be kept.
        """
        plugin = self.plugin(name)
        if not plugin.implements("zoo_sync"):
            raise PluginError(
                f"the plugin {name!r} has no catalogue that could be made again",
                hint="Its catalogue is written by hand; upgrade its distribution instead.",
            )
        self._catalogues[name] = self.index.replace(
            plugin.source, plugin.ask("zoo_sync"), self._catalogues[name].commands
        )
        return len(self._catalogues[name].rows)

    def exemptions(self, name: str) -> tuple[Exemption, ...]:
        """The checks that backbones of the plugin ``name`` are known not to pass.

        Raises:
            PluginError: The plugin cannot be used, or answers with something else.
        """
        plugin = self.plugin(name)
        if not plugin.implements("zoo_exemptions"):
            return ()
        answer = plugin.ask("zoo_exemptions")
        with guarded("zoo_exemptions"):
            given = tuple(answer)
        for exemption in given:
            if not isinstance(exemption, Exemption):
                raise self._broken(name, f"zoo_exemptions gave {type(exemption).__name__}")
        return given

    def commands(self) -> list[tuple[str, CommandSpec]]:
        """Every plugin's commands, each with the plugin's name; those of zoo's own come first."""
        plugins = sorted(
            self._catalogues,
            key=lambda name: (self._sources[name].distribution != CORE, name),
        )
        return [(name, spec) for name in plugins for spec in self._catalogues[name].commands]

    def judge(self, name: str, verdict: str) -> None:
        """Show ``verdict`` beside the plugin ``name`` until it changes; see :meth:`Index.judge`."""
        if name in self._catalogues:
            self.index.judge(self._sources[name], verdict)

    def offers(self, hook: str) -> dict[str, Callable[..., Any]]:
        """What all plugins answer to ``zoo_heads`` or ``zoo_strategies``, by name.

        A plugin that fails is left out, with a warning.

        Raises:
            PluginError: Two plugins offer one name.
        """
        offers: dict[str, Callable[..., Any]] = {}
        owners: dict[str, str] = {}
        for plugin in self._catalogues:
            for name, factory in self._offers_of(plugin, hook).items():
                if name in owners:
                    raise PluginError(
                        f"the plugins {owners[name]!r} and {plugin!r} both offer {name!r}",
                        hint=f"Switch one off: [plugins.{plugin}] enabled = false in registry.toml.",
                    )
                offers[name], owners[name] = factory, plugin
        return offers

    def versions(self, backbone: BackboneSpec, **offered: str) -> dict[str, str]:
        """The distributions outside the core that a fine-tune takes something from, each with its version.

        Args:
            backbone: The backbone.
            offered: Hooks to the name of what was taken from them.
        """
        used = {backbone.plugin} | {
            plugin
            for hook, name in offered.items()
            for plugin in self._catalogues
            if self._sources[plugin].distribution != discovery.CORE
            and name in self._offers_of(plugin, hook)
        }
        sources = [self._sources[plugin] for plugin in sorted(used) if plugin in self._sources]
        return {
            source.distribution or source.name: source.version
            for source in sources
            if source.distribution != discovery.CORE
        }

    def _offers_of(self, plugin: str, hook: str) -> Mapping[str, Callable[..., Any]]:
        try:
            answer = self.plugin(plugin).ask(hook)
            if answer is None or isinstance(answer, Mapping):
                return answer or {}
            reason = f"{hook} returned {type(answer).__name__}, not a mapping"
        except ZooError as error:
            reason = error.message
        warnings.warn(f"nothing of the plugin {plugin!r} is offered: {reason}", stacklevel=3)
        return {}

    # -- names -------------------------------------------------------------------------------

    def names(self, pattern: str = "*") -> list[str]:
        """Canonical names that match, sorted by plugin and name.

        Args:
            pattern: With ``*``, ``?`` or ``[…]`` a glob, else a part of the name; letter case
                does not matter. Short names, names within a plugin and canonical names count.
        """
        matches = _matcher(pattern)
        short = {canonical for alias, canonical in self.policy.aliases.items() if matches(alias)}
        return [
            f"{plugin}/{arch}"
            for plugin, catalogue in sorted(self._catalogues.items())
            for arch in sorted(catalogue.rows)
            if matches(arch) or matches(f"{plugin}/{arch}") or f"{plugin}/{arch}" in short
        ]

    def rows(self, pattern: str = "*") -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Canonical names that match, with the specs' JSON data, which is cheaper than specs."""
        for name in self.names(pattern):
            plugin, _, arch = name.partition("/")
            yield name, self._catalogues[plugin].rows[arch]

    def row(self, name: str) -> Mapping[str, Any] | None:
        """The JSON data of a canonical name without tag; ``None`` if no catalogue has it."""
        plugin, _, arch = name.partition("/")
        catalogue = self._catalogues.get(plugin)
        return catalogue.rows.get(arch) if catalogue else None

    def runs(self, pattern: str = "*") -> Iterator[tuple[str, FinishedRun | RunError]]:
        """Published runs whose names match, or those of their backbones; see :meth:`names`.

        One that cannot be read is there with the error.
        """
        matches = _matcher(pattern)
        for name in self.policy.runs:
            try:
                run = self._published(name)
            except RunError as error:
                if matches(name):
                    yield name, error
            else:
                if any(map(matches, (name, run.spec.name, run.spec.arch))):
                    yield name, run

    def vouch(self, spec: BackboneSpec, folder: Path) -> None:
        """Demand that a spec which stands in a run folder is built by an installed plugin.

        What builds a backbone is named by its spec, is imported and called. In a spec that a plugin
        hands out that is the plugin's own code; in a file it could be any.

        Raises:
            RunError: The loader is neither in the package of a plugin nor in its catalogue.
        """
        package = _package(spec.loader)
        if any(_package(source.value) == package for source in self._sources.values()):
            return
        if any(row["loader"] == spec.loader for _, row in self.rows()):
            return
        raise RunError(
            f"the run {folder} wants {spec.name} to be built by {spec.loader!r}, which is of no "
            "installed plugin, and the zoo does not run code that a run folder names",
            hint="Install the plugin that the backbone comes from; 'zoo plugins' shows those here.",
        )

    def owner(self, name: str) -> str:
        """What has the bare ``name`` already, published runs aside; empty if nothing has."""
        if name in self._sources:
            return f"the plugin {name!r}"
        if (target := self._unaliased(name)) != name:
            return f"the short name of {target}"
        holders = [plugin for plugin in self._catalogues if self._in_catalogue(plugin, name)]
        return f"the backbone {holders[0]}/{name}" if holders else ""

    def spec(self, name: str) -> BackboneSpec:
        """The spec that ``name`` leads to. Raises as :meth:`resolve`."""
        return self.resolve(name).spec

    def resolve(self, name: str) -> Resolved:
        """What ``name`` leads to: short name, canonical name, bare name, with or without tag.

        Raises:
            NameLookupError: Nothing; the message has the closest names.
            AmbiguousNameError: Several plugins publish it, and no order decides.
            PluginError: It belongs to a plugin that cannot be used.
            RunError: It stands for a run that cannot be read.
        """
        if name in self.policy.runs:
            run = self._published(name)
            self.vouch(run.spec, run.folder)
            return Resolved(run.spec, run=run)
        target = self._unaliased(name)
        if ":" in target.partition("/")[0]:
            found: Resolved | None = self._by_scheme(target)
        else:
            found = self._canonical(target) or self._bare(target)
        if found is None:
            raise self._no_backbone(name, target)
        return replace(found, spec=self._pinned(found.spec))

    def _unaliased(self, name: str) -> str:
        """``name`` with a short name in it, which may carry a tag, written in full."""
        if name in self.policy.aliases:
            return self.policy.aliases[name]
        base, dot, tag = name.rpartition(".")
        return f"{self.policy.aliases[base]}{dot}{tag}" if base in self.policy.aliases else name

    def _canonical(self, name: str) -> Resolved | None:
        plugin, slash, arch = name.partition("/")
        if not slash or plugin not in self._sources:
            return None
        if plugin not in self._catalogues:
            self.plugin(plugin)  # raises, and says why it cannot be used
        return self._in_catalogue(plugin, arch) or self._outside(plugin, name)

    def _outside(self, plugin: str, name: str) -> Resolved | None:
        """What the plugin makes of a name that its catalogue lacks."""
        spec = self.plugin(plugin).ask("zoo_resolve", name=name)
        if spec is None:
            return None
        if not isinstance(spec, BackboneSpec):
            raise self._broken(plugin, f"zoo_resolve returned {type(spec).__name__}, not a spec")
        return Resolved(spec)

    def _in_catalogue(self, plugin: str, arch: str) -> Resolved | None:
        rows = self._catalogues[plugin].rows
        if arch in rows:
            return Resolved(self._catalogues[plugin].spec(arch, plugin))
        base, _, tag = arch.rpartition(".")
        if base in rows and any(w["tag"] == tag for w in rows[base].get("weights", ())):
            return Resolved(self._catalogues[plugin].spec(base, plugin), tag)
        return None

    def _bare(self, name: str) -> Resolved | None:
        found = {p: hit for p in self._catalogues if (hit := self._in_catalogue(p, name))}
        if len(found) <= 1:
            return next(iter(found.values()), None)
        for plugin in self.policy.order:
            if plugin in found:
                return found[plugin]
        candidates = ", ".join(f"{plugin}/{name}" for plugin in found)
        raise AmbiguousNameError(
            f"several plugins publish {name!r}: {candidates}",
            hint="Write one of these names in full, or set [resolve] order in registry.toml.",
        )

    def _by_scheme(self, name: str) -> Resolved:
        failures = []
        for plugin in self._catalogues:
            try:
                found = self._outside(plugin, name)
            except PluginError as error:  # its own fault, and another plugin may know the name
                failures.append(error)
                continue
            if found is not None:
                return found
        if failures:
            raise failures[0]
        raise NameLookupError(
            f"no plugin can make a backbone of {name!r}",
            hint="'path:FOLDER' takes a folder that save_pretrained wrote.",
        )

    def _published(self, name: str) -> FinishedRun:
        """The run that ``registry.toml`` publishes under ``name``, with its own weights."""
        folder = self.policy.runs[name]
        try:
            return read_run(folder, name=name)
        except RunError as error:
            raise RunError(
                f"{name!r} stands for the run {folder}, which cannot be read: {error.message}",
                hint=f"Put it back as it was, or take the name away: zoo add --remove {name}",
            ) from error

    def _pinned(self, spec: BackboneSpec) -> BackboneSpec:
        """The spec with the hashes that the policy pins."""
        pins = self.policy.pins
        weights = tuple(
            replace(w, sha256=pin)
            if (pin := pins.get(f"{spec.name}.{w.tag}", pins.get(spec.name) if w.default else None))
            else w
            for w in spec.weights
        )
        return replace(spec, weights=weights) if pins else spec

    # -- errors ------------------------------------------------------------------------------

    def _no_backbone(self, name: str, target: str) -> NameLookupError:
        if os.path.isfile(os.path.join(target, LOCK_FILE)):
            return NameLookupError(
                f"{name!r} is a run folder, and not the name of a backbone",
                hint=f"Make it one, and start from it: zoo add {name} --name NAME",
            )
        plugin, slash, arch = target.partition("/")
        if slash and plugin not in self._sources:
            return self._no_plugin(plugin, target)
        base, _, tag = arch.rpartition(".")
        row = self._catalogues[plugin].rows.get(base) if slash else None
        if row is not None:
            tags = ", ".join(weights["tag"] for weights in row["weights"])
            return NameLookupError(
                f"{plugin}/{base} has no weights called {tag!r}",
                hint=f"Its weights: {tags}." if tags else f"It has none; write {plugin}/{base}.",
            )
        if slash:
            near = [f"{plugin}/{hit}" for hit in closest(arch, self._catalogues[plugin].rows)]
        else:
            near = closest(name, self._short_and_bare_names())
        guess = f" Closest: {', '.join(near)}." if near else ""
        stem = (arch or name).rstrip("0123456789")[:8]
        some = f"'zoo list {stem}' shows what there is by that name; "
        return NameLookupError(
            f"no backbone is called {name!r}.{guess}",
            hint=f"{some if stem and self.names(stem) else ''}'zoo list --all' shows all.",
        )

    def _no_plugin(self, plugin: str, name: str = "") -> NameLookupError:
        guess = did_you_mean(plugin, self._sources)
        hint = f"Plugins: {', '.join(sorted(self._sources)) or 'none'}. 'zoo plugins' shows them."
        if name and (resolvers := list(self._resolvers())):
            longer = " or ".join(f"{p}/{name}" for p in resolvers)
            hint += f" A model outside the catalogues is written {longer}."
        return NameLookupError(f"no plugin is called {plugin!r}.{guess}", hint=hint)

    def _resolvers(self) -> Iterator[str]:
        """The plugins that know names outside their catalogues."""
        for plugin in self._catalogues:
            with suppress(ZooError):  # a hint is not the place to complain about a plugin
                if self.plugin(plugin).implements("zoo_resolve"):
                    yield plugin

    def _short_and_bare_names(self) -> list[str]:
        bare = [arch for catalogue in self._catalogues.values() for arch in catalogue.rows]
        short = [
            alias
            for alias, target in self.policy.aliases.items()
            if target.partition("/")[0] in self._catalogues
        ]
        return list(dict.fromkeys([*self.policy.runs, *short, *bare]))


def _package(value: str) -> str:
    """The top-level package of ``package.module:attribute``."""
    return value.partition(":")[0].partition(".")[0].strip()


def _conflict(source: PluginSource, namesakes: Sequence[PluginSource]) -> str:
    """Why ``source`` may not have its name; zoo's own plugins keep theirs in any case."""
    others = [s.distribution or s.value for s in namesakes if s is not source]
    if not others or source.distribution == CORE:
        return ""
    if CORE in others:
        return f"zoo's own plugin has the name {source.name!r}; give this one another"
    everyone = " and ".join(s.distribution or s.value for s in namesakes)
    return f"{everyone} publish a plugin of this name; uninstall one"


def _matcher(pattern: str) -> Callable[[str], bool]:
    wanted = pattern.lower()
    if wanted in ("", "*"):
        return lambda _: True
    if any(c in wanted for c in "*?["):
        return lambda name: fnmatch.fnmatchcase(name.lower(), wanted)
    return lambda name: wanted in name.lower()
