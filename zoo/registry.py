"""From a name to a backbone: which plugins there are, what they publish, who wins a bare name."""

from __future__ import annotations

import fnmatch
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import zoo
from zoo import discovery
from zoo.discovery import Plugin, Source
from zoo.errors import AmbiguousNameError, NameLookupError, PluginError, RunError, closest
from zoo.index import Catalogue, Index
from zoo.policy import Policy, load_policy
from zoo.spec import BackboneSpec, Weights


@dataclass(frozen=True)
class PluginStatus:
    """How a plugin fares.

    Attributes:
        status: ``ok``, ``broken``, ``incompatible``, ``conflict`` or ``disabled``.
        reason: Why it is not ``ok``; the empty string if it is.
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
    """What a name leads to: a spec with its canonical name, and the weights it asked for."""

    spec: BackboneSpec
    tag: str | None = None

    @property
    def weights(self) -> str:
        """The tag in the name, else ``auto``."""
        return self.tag or "auto"


class Registry:
    """All backbones of all plugins, under one policy.

    Args:
        sources: The plugins, e.g. those of :func:`zoo.discovery.installed`.
        policy: Short names, order, switched-off plugins.
        index: Where catalogues are kept.
    """

    def __init__(self, sources: Iterable[Source], policy: Policy, index: Index) -> None:
        self.policy = policy
        self.index = index
        self._sources = tuple(sources)
        self._loaded: dict[str, Plugin] = {}
        self._catalogues: dict[str, Catalogue] = {}
        self._statuses: dict[str, tuple[str, str]] = {}
        for source in self._sources:
            self._admit(source)

    @classmethod
    def discover(cls) -> Registry:
        """The registry of what is installed, under the policy that applies here."""
        return cls(discovery.installed(), load_policy(), Index())

    # -- plugins -----------------------------------------------------------------------------

    def plugins(self) -> list[PluginStatus]:
        """Every plugin that is installed, whatever its status."""
        return [
            PluginStatus(
                source.name,
                source.distribution,
                source.version,
                *self._statuses[source.name],
                len(self._catalogues[source.name].rows) if source.name in self._catalogues else 0,
            )
            for source in self._sources
        ]

    def _admit(self, source: Source) -> None:
        namesakes = [s.distribution for s in self._sources if s.name == source.name]
        if self.policy.is_disabled(source.name):
            self._statuses[source.name] = (
                "disabled",
                "switched off by registry.toml or ZOO_PLUGINS",
            )
        elif len(namesakes) > 1:
            both = " and ".join(namesakes)
            self._statuses[source.name] = ("conflict", f"{both} both publish this name; remove one")
        elif reason := discovery.incompatibility(source, zoo.__version__):
            self._statuses[source.name] = ("incompatible", reason)
        else:
            catalogue = self.index.catalogue(source)
            self._statuses[source.name] = (catalogue.status, catalogue.reason)
            if catalogue.status == "ok":
                self._catalogues[source.name] = catalogue

    def plugin(self, name: str) -> Plugin:
        """The plugin ``name``, imported.

        Raises:
            NameLookupError: There is no such plugin.
            PluginError: There is, but it cannot be used; the message says why.
        """
        status, reason = self._statuses.get(name, ("", ""))
        if not status:
            raise self._no_plugin(name)
        if status != "ok":
            raise PluginError(
                f"the plugin {name!r} is {status}: {reason}",
                hint="'zoo plugins' shows every plugin and its status.",
            )
        if name not in self._loaded:
            source = next(s for s in self._sources if s.name == name)
            self._loaded[name] = Plugin(source)
        return self._loaded[name]

    def sync(self, name: str) -> int:
        """Make the catalogue of ``name`` anew from the library that is installed.

        Returns:
            The number of backbones.

        Raises:
            PluginError: The plugin writes its catalogue by hand.
        """
        plugin = self.plugin(name)
        if not plugin.implements("zoo_sync"):
            raise PluginError(f"the plugin {name!r} has no catalogue that could be made anew")
        self._catalogues[name] = self.index.replace(plugin.source, plugin.ask("zoo_sync"))
        return len(self._catalogues[name].rows)

    def offers(self, hook: str) -> dict[str, Callable[..., Any]]:
        """What all plugins answer to ``zoo_heads`` or ``zoo_strategies``, by name.

        Raises:
            PluginError: Two plugins offer one name.
        """
        offers: dict[str, Callable[..., Any]] = {}
        owners: dict[str, str] = {}
        for plugin in self._catalogues:
            answer: Mapping[str, Callable[..., Any]] = self.plugin(plugin).ask(hook) or {}
            for name, factory in answer.items():
                if name in owners:
                    raise PluginError(
                        f"the plugins {owners[name]} and {plugin} both offer {name!r}"
                    )
                offers[name], owners[name] = factory, plugin
        return offers

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

    def rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Canonical names with the specs' JSON data, which is cheaper than the specs."""
        for plugin, catalogue in sorted(self._catalogues.items()):
            for arch, row in catalogue.rows.items():
                yield f"{plugin}/{arch}", row

    def spec(self, name: str) -> BackboneSpec:
        """The spec that ``name`` leads to. Raises as :meth:`resolve`."""
        return self.resolve(name).spec

    def resolve(self, name: str) -> Resolved:
        """What ``name`` leads to: short name, canonical name, bare name, with or without tag.

        Raises:
            NameLookupError: Nothing; the message has the closest names.
            AmbiguousNameError: Several plugins publish it, and no order decides.
            PluginError: It belongs to a plugin that cannot be used.
        """
        resolved = self._resolve(name)
        return replace(resolved, spec=self._pinned(resolved.spec))

    def _resolve(self, name: str) -> Resolved:
        if name in self.policy.runs:
            return self._published(name)
        target = self.policy.aliases.get(name, name)
        base, _, tag = target.rpartition(".")
        if base in self.policy.aliases and self.policy.aliases[base] not in (base, target):
            target = f"{self.policy.aliases[base]}.{tag}"
        if ":" in target.partition("/")[0]:
            return self._by_scheme(target)
        found = self._canonical(target) or self._bare(target)
        if found is None:
            raise self._no_backbone(name, target)
        return found

    def _canonical(self, name: str) -> Resolved | None:
        plugin, slash, arch = name.partition("/")
        if not slash or plugin not in self._statuses:
            return None
        asked = self.plugin(plugin) if plugin not in self._catalogues else None
        if found := self._in_catalogue(plugin, arch):
            return found
        spec = (asked or self.plugin(plugin)).ask("zoo_resolve", name=name)
        return Resolved(spec) if spec is not None else None

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
        candidates = ", ".join(hit.spec.name for hit in found.values())
        raise AmbiguousNameError(
            f"several plugins publish {name!r}: {candidates}",
            hint="Write one of these names in full, or set the order in registry.toml.",
        )

    def _by_scheme(self, name: str) -> Resolved:
        for plugin in self._catalogues:
            spec = self.plugin(plugin).ask("zoo_resolve", name=name)
            if spec is not None:
                return Resolved(spec)
        raise NameLookupError(
            f"no plugin can make a backbone of {name!r}",
            hint="'path:FOLDER' takes a folder that save_pretrained wrote.",
        )

    def _published(self, name: str) -> Resolved:
        """The backbone of a run that ``registry.toml`` publishes, with the run's weights."""
        folder = self.policy.runs[name]
        try:
            record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            spec = BackboneSpec.from_json(record["spec"])
            weights = Weights(
                tag=name,
                uri=str(folder / "model.safetensors"),
                sha256=record["sha256"],
                default=True,
                classes=len(record["classes"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{name!r} stands for the run {folder}, which cannot be read: {error}",
                hint=f"Mend or remove [models.{name}] in registry.toml.",
            ) from error
        return Resolved(replace(spec, weights=(weights,)))

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
        plugin, slash, arch = target.partition("/")
        if slash and plugin not in self._statuses:
            return self._no_plugin(plugin, target)
        within = self._catalogues[plugin].rows if slash else None
        if within is not None:
            near = [f"{plugin}/{hit}" for hit in closest(arch, within)]
        else:
            near = closest(name, self._short_and_bare_names())
        guess = f" Closest: {', '.join(near)}." if near else ""
        stem = (arch or name).rstrip("0123456789")[:8]
        return NameLookupError(
            f"no backbone is called {name!r}.{guess}",
            hint=f"'zoo list {stem}' shows what there is by that name; 'zoo list --all' shows all.",
        )

    def _no_plugin(self, plugin: str, name: str = "") -> NameLookupError:
        near = closest(plugin, self._statuses, 1)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        hint = f"Plugins: {', '.join(sorted(self._statuses))}. 'zoo plugins' shows them."
        if resolvers := [p for p in self._catalogues if self.plugin(p).implements("zoo_resolve")]:
            longer = " or ".join(f"{p}/{name}" for p in resolvers)
            hint += f" A model outside the catalogues is written {longer}."
        return NameLookupError(f"no plugin is called {plugin!r}.{guess}", hint=hint)

    def _short_and_bare_names(self) -> list[str]:
        bare = Counter(arch for catalogue in self._catalogues.values() for arch in catalogue.rows)
        return list(dict.fromkeys([*self.policy.aliases, *bare]))


def _matcher(pattern: str) -> Callable[[str], bool]:
    wanted = pattern.lower()
    if any(c in wanted for c in "*?["):
        return lambda name: fnmatch.fnmatchcase(name.lower(), wanted)
    return lambda name: wanted in name.lower()
