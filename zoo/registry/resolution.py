"""Resolve a name to a backbone or a published run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from zoo.contract.spec import BackboneSpec, Weights
from zoo.errors import AmbiguousNameError, NameLookupError, PluginError, RunError, ZooError
from zoo.registry.plugins import PluginSet, broken
from zoo.registry.policy import Policy
from zoo.registry.run_record import FinishedRun, read_run
from zoo.registry.suggestions import run_folder_as_name, unknown_backbone, unknown_plugin

if TYPE_CHECKING:
    from zoo.contract.network.backbone import Backbone


@dataclass(frozen=True)
class Resolved:
    """The result of resolving a name.

    Attributes:
        spec: The backbone, with its canonical name.
        tag: The weights tag in the name, if any.
        run: The published run of that name, if it is one.
        loader: Builds a user's own network, which no plugin has.
        own: What the values of that network are, as weights; ``None`` if they are random.
    """

    spec: BackboneSpec
    tag: str | None = None
    run: FinishedRun | None = None
    loader: Callable[[BackboneSpec], Backbone] | None = None
    own: Weights | None = None

    @property
    def weights(self) -> str:
        """The tag in the name, else ``auto``."""
        return self.tag or "auto"


class Resolver:
    """Looks up names in the catalogues of plugins, under a policy.

    Args:
        plugins: The installed plugins.
        policy: Short names, resolution order, pins and published runs.
        matching: Returns the canonical names that match a pattern.
    """

    def __init__(
        self,
        plugins: PluginSet,
        policy: Policy,
        *,
        matching: Callable[[str], Collection[str]],
    ) -> None:
        self._plugins, self._policy, self._matching = plugins, policy, matching

    def backbone(self, name: str) -> Resolved:
        """Resolve the name of a backbone; see :meth:`zoo.Registry.resolve`."""
        target = self._expand(name)
        if ":" in target.partition("/")[0]:
            found: Resolved | None = self._by_scheme(target)
        else:
            found = self._canonical(target) or self._bare(target)
        if found is None:
            raise self._unknown(name, target)
        return replace(found, spec=self._pinned(found.spec))

    def run(self, name: str) -> FinishedRun:
        """Read the run published as ``name`` in ``registry.toml``.

        Raises:
            RunError: It cannot be read.
        """
        folder = self._policy.runs[name]
        try:
            return read_run(folder, name=name)
        except RunError as error:
            raise RunError(
                f"{name!r} is published as the run {folder}, which cannot be read: {error.message}",
                hint=f"Restore the run, or remove the name: zoo add --remove {name}",
            ) from error

    def owner(self, name: str) -> str:
        """Describe what has the bare ``name``, apart from published runs; empty if it is free."""
        if name in self._plugins.sources:
            return f"the plugin {name!r}"
        if (target := self._expand(name)) != name:
            return f"the short name of {target}"
        owners = [plugin for plugin in self._plugins.catalogues if self._row_of(plugin, name)]
        return f"the backbone {owners[0]}/{name}" if owners else ""

    def meaning(self, name: str) -> str:
        """Return the canonical name of the backbone that a bare ``name`` means; empty if none."""
        if name in self._plugins.sources or name in self._policy.runs:
            return ""
        expanded = self._expand(name)
        with suppress(AmbiguousNameError):
            if plugin := self._plugin_of(expanded):
                arch, _ = self._row_of(plugin, expanded) or ("", "")
                return f"{plugin}/{arch}"
        return ""

    def _expand(self, name: str) -> str:
        """Replace a short name, with or without tag, by the canonical one."""
        aliases = self._policy.aliases
        if name in aliases:
            return aliases[name]
        base, dot, tag = name.rpartition(".")
        return f"{aliases[base]}{dot}{tag}" if base in aliases else name

    def _canonical(self, name: str) -> Resolved | None:
        plugin, slash, arch = name.partition("/")
        if not slash or plugin not in self._plugins.sources:
            return None
        if plugin not in self._plugins.catalogues:
            self._plugins.load(plugin)  # raises with the reason why it cannot be used
        return self._in_catalogue(plugin, arch) or self._outside_catalogues(plugin, name)

    def _outside_catalogues(self, plugin: str, name: str) -> Resolved | None:
        """Ask the plugin of a namespace, then the others, which may know what it does not.

        A plugin of another modality knows other names of the same hub.
        """
        try:
            if found := self._outside(plugin, name):
                return found
            failure = None
        except NameLookupError as error:
            failure = error
        for other in self._plugins.catalogues:
            with suppress(ZooError):  # the plugin of the namespace says what is wrong
                if other != plugin and (found := self._outside(other, name)):
                    return found
        if failure is not None:
            raise failure
        return None

    def _outside(self, plugin: str, name: str) -> Resolved | None:
        """Ask a plugin to resolve a name that is not in its catalogue."""
        spec = self._plugins.load(plugin).call("zoo_resolve", name=name)
        if spec is None:
            return None
        if not isinstance(spec, BackboneSpec):
            raise broken(plugin, f"zoo_resolve returned {type(spec).__name__}, not BackboneSpec")
        return Resolved(spec)

    def _row_of(self, plugin: str, name: str) -> tuple[str, str] | None:
        """The architecture and, if ``name`` has one, the tag of a row of a catalogue."""
        rows = self._plugins.catalogues[plugin].rows
        if name in rows:
            return name, ""
        base, _, tag = name.rpartition(".")
        offered = rows[base]["weights"] if base in rows else ()
        return (base, tag) if any(weights["tag"] == tag for weights in offered) else None

    def _in_catalogue(self, plugin: str, name: str) -> Resolved | None:
        row = self._row_of(plugin, name)
        if row is None:
            return None
        arch, tag = row
        return Resolved(self._plugins.catalogues[plugin].spec(arch, plugin), tag or None)

    def _bare(self, name: str) -> Resolved | None:
        plugin = self._plugin_of(name)
        return self._in_catalogue(plugin, name) if plugin else None

    def _plugin_of(self, name: str) -> str:
        """The plugin that a bare name means; empty if none has it."""
        found = [plugin for plugin in self._plugins.catalogues if self._row_of(plugin, name)]
        if len(found) <= 1:
            return next(iter(found), "")
        for plugin in self._policy.order:
            if plugin in found:
                return plugin
        candidates = ", ".join(f"{plugin}/{name}" for plugin in found)
        raise AmbiguousNameError(
            f"{name!r} is ambiguous: {candidates}",
            hint="Use one of these names, or set [resolve] order in registry.toml.",
        )

    def _by_scheme(self, name: str) -> Resolved:
        failures: list[ZooError] = []
        for plugin in self._plugins.catalogues:
            try:
                found = self._outside(plugin, name)
            except (PluginError, NameLookupError) as error:  # another plugin may know the name
                failures.append(error)
                continue
            if found is not None:
                return found
        if failures:
            raise failures[0]
        raise NameLookupError(
            f"no plugin can resolve {name!r}",
            hint="For a folder written by save_pretrained, use 'path:FOLDER'.",
        )

    def _pinned(self, spec: BackboneSpec) -> BackboneSpec:
        """Replace the hashes of weights by those that the policy pins."""
        pins = self._policy.pins
        weights = tuple(
            replace(w, sha256=pin)
            if (pin := pins.get(f"{spec.name}.{w.tag}", pins.get(spec.name) if w.default else None))
            else w
            for w in spec.weights
        )
        return replace(spec, weights=weights) if pins else spec

    # -- errors ------------------------------------------------------------------------------

    def _unknown(self, name: str, target: str) -> NameLookupError:
        if error := run_folder_as_name(name, target):
            return error
        plugin, slash, _ = target.partition("/")
        if slash and plugin not in self._plugins.sources:
            return unknown_plugin(
                plugin, self._plugins.sources, resolvers=self._resolvers(), name=target
            )
        return unknown_backbone(
            name,
            target,
            self._plugins.catalogues,
            names=self._short_and_bare_names,
            matching=self._matching,
            outdated=self._plugins.outdated,
        )

    def _resolvers(self) -> Iterator[str]:
        """Plugins that resolve names outside their catalogues."""
        for plugin in self._plugins.catalogues:
            with suppress(ZooError):  # only for a hint
                if self._plugins.load(plugin).implements("zoo_resolve"):
                    yield plugin

    def _short_and_bare_names(self) -> list[str]:
        catalogues = self._plugins.catalogues
        bare = [arch for catalogue in catalogues.values() for arch in catalogue.rows]
        short = [
            alias
            for alias, target in self._policy.aliases.items()
            if target.partition("/")[0] in catalogues
        ]
        return list(dict.fromkeys([*self._policy.runs, *short, *bare]))
