"""Cache of the plugins' catalogues, so that listing models imports no plugin.

``<cache>/index`` has one file per plugin: a header, facts about the plugin, commands, modalities,
readers, names of backbones, and one JSON row per line, so that a command parses only the rows it
shows. The file is valid while the plugin's fingerprint and those of the packages with its weights
are unchanged; otherwise the plugin is asked again. Rows that ``zoo sync`` made, which may have
taken minutes, are kept even then. A broken plugin is asked every time, as its problem may have been
fixed elsewhere. Damaged files are rewritten. A read-only cache folder costs time only.
"""

from __future__ import annotations

import contextlib
import json
import os
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from zoo.contract import spec
from zoo.contract.commands import CommandSpec
from zoo.contract.modalities import ModalitySpec
from zoo.contract.readers import ReaderSpec
from zoo.contract.spec import BackboneSpec
from zoo.errors import ContractError, PluginError, PluginTimeoutError, ZooError
from zoo.registry import discovery
from zoo.registry.answers import Row, dump, featured_of, library_of, named, rows_of
from zoo.registry.discovery import CORE, Plugin, PluginSource
from zoo.registry.offers import HOOKS
from zoo.registry.side_effects import observed
from zoo.system import files
from zoo.system.paths import cache_folder
from zoo.system.small_files import read_small
from zoo.version import __version__

FORMAT = 8

FEATURED = 8
"""The most backbones that a plugin features without ``zoo_featured``: the first of its catalogue."""

PACKAGE = "package:"
"""Weights in an installed package: ``package:acme_weights/tiny.safetensors``."""


@dataclass(frozen=True)
class Catalogue:
    """The catalogue of one plugin, or why it has none.

    Attributes:
        status: ``ok`` or ``broken``.
        reason: Why it is broken.
        rows: Specs as JSON data, by name within the plugin.
        side_effects: Warnings for its author; see :mod:`zoo.registry.side_effects`.
        verdict: Result of the last check, or an error in use.
        commands: Commands that it adds to ``zoo``.
        modalities: Modalities that it registers.
        readers: Formats of data that it reads.
        featured: Names within the plugin that the short list shows.
        offers: Names of its heads, strategies and others, by hook.
        library: The distribution that the rows were made from, and its version; may be empty.
        rebuilds: Whether ``zoo sync`` can rebuild it.
        synced: If ``zoo sync`` made the rows: a hash of the plugin's files at that time, by the
            plugin's entry point and distribution.
        stale: Why rows of ``zoo sync`` may be out of date; empty if they are not.
    """

    status: str
    reason: str
    rows: Mapping[str, Row]
    side_effects: str = ""
    verdict: str = ""
    commands: tuple[CommandSpec, ...] = ()
    modalities: tuple[ModalitySpec, ...] = ()
    readers: tuple[ReaderSpec, ...] = ()
    featured: tuple[str, ...] = ()
    offers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    library: Mapping[str, str] = field(default_factory=dict)
    rebuilds: bool = False
    synced: Mapping[str, str] = field(default_factory=dict)
    stale: str = ""

    @property
    def remarks(self) -> str:
        """All remarks on the plugin, in one string."""
        return "; ".join(filter(None, (self.reason, self.side_effects, self.verdict)))

    def spec(self, name: str, plugin: str) -> BackboneSpec:
        """Return a row as a spec with its canonical name."""
        return BackboneSpec.from_json(self.rows[name]).in_namespace(plugin)


class Index:
    """Catalogues of plugins, from the cache if up to date.

    Args:
        folder: The cache folder; ``<cache>/index`` by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "index"

    def cached(self, source: PluginSource) -> Catalogue | None:
        """Return the cached catalogue if it is up to date, else ``None``."""
        return self._read(source)

    def catalogue(self, source: PluginSource) -> Catalogue:
        """Return the plugin's catalogue; the plugin is imported only if it has changed."""
        return self.cached(source) or self._load(source)

    def _load(self, source: PluginSource) -> Catalogue:
        try:
            catalogue = _ask(source)
        except ZooError as error:
            if isinstance(error, PluginTimeoutError):
                warnings.warn(
                    f"the plugin {source.name!r} is ignored: {error.message}. To leave it out "
                    f"without waiting: ZOO_NO_PLUGIN={source.name}",
                    stacklevel=2,
                )
            return Catalogue("broken", error.message, {})
        catalogue = self._with_synced_rows(source, catalogue)
        try:
            self._write(source, catalogue)
        except OSError as error:
            warnings.warn(
                f"failed to write the index in {self.folder} ({error.strerror or error}); "
                "commands will be slower",
                stacklevel=2,
            )
        return self.cached(source) or catalogue  # rows of the cached one are parsed lazily

    def replace(
        self,
        source: PluginSource,
        specs: Iterable[BackboneSpec],
        catalogue: Catalogue,
        library: Mapping[str, str] | None = None,
    ) -> Catalogue:
        """Save the result of ``zoo_sync`` as the rows of a plugin's catalogue.

        They are kept when the plugin changes, and marked stale if its code did.

        Args:
            source: The plugin.
            specs: Its backbones.
            catalogue: Its catalogue until now; all but the rows remains.
            library: The library and version that they were made from.

        Raises:
            PluginError: They are not specs, or cannot be saved.
        """
        rows = rows_of(specs, "zoo_sync")
        catalogue = replace(
            catalogue,
            rows=rows,
            featured=_still_featured(catalogue.featured, rows),
            library=dict(library or {}),
            synced={_identity(source): discovery.content(source)},
            stale="",
        )
        try:
            self._write(source, catalogue)
        except OSError as error:
            raise PluginError(
                f"failed to save the new catalogue of {source.name!r} in {self.folder}: "
                f"{error.strerror or error}",
                hint="Set ZOO_CACHE to a writable folder.",
            ) from error
        return catalogue

    def forget(self, source: PluginSource) -> Catalogue:
        """Drop what is kept of a plugin, rows of ``zoo sync`` included, and ask it again."""
        with contextlib.suppress(FileNotFoundError):
            self._path(source).unlink()
        return self._load(source)

    def _with_synced_rows(self, source: PluginSource, catalogue: Catalogue) -> Catalogue:
        """``catalogue`` with the rows of an earlier ``zoo sync``, if there was one."""
        kept = self._read(source, any_key=True)
        if kept is None or _identity(source) not in kept.synced:
            return catalogue
        try:
            specs = [BackboneSpec.from_json(row) for row in kept.rows.values()]
        except ContractError:  # written by another version of zoo
            return catalogue
        changed = discovery.content(source) != kept.synced[_identity(source)]
        rows = rows_of(specs, "zoo_sync")
        return replace(
            catalogue,
            rows=rows,
            featured=_still_featured(catalogue.featured, rows),
            library=kept.library,
            synced=kept.synced,
            stale=f"the plugin has changed since 'zoo sync {source.name}' made its catalogue; "
            "run it again, or with --undo to return to the plugin's own"
            if changed
            else "",
        )

    def set_verdict(self, source: PluginSource, verdict: str) -> None:
        """Save the result of a check, or an error in use, with the catalogue.

        The empty string removes it. It is kept until the plugin changes.
        """
        if (cached := self._read(source)) is not None and cached.verdict != verdict:
            with contextlib.suppress(OSError):  # only a remark
                self._write(source, replace(cached, verdict=verdict))

    def _key(self, source: PluginSource) -> str:
        return f"{self._core}:{discovery.fingerprint(source)}"

    @cached_property
    def _core(self) -> str:
        # spec.py writes the rows; in a checkout it changes without a new version.
        return f"{__version__}:{os.stat(spec.__file__).st_mtime_ns}"

    def _path(self, source: PluginSource) -> Path:
        safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in source.name)
        return self.folder / f"{safe}.jsonl"

    def _read(self, source: PluginSource, *, any_key: bool = False) -> Catalogue | None:
        """Return what is kept of a plugin; ``None`` if it is damaged or, without ``any_key``, old."""
        try:
            head, _, body = read_small(self._path(source)).partition(b"\n")
            header = json.loads(head)
            if (header["format"], header["crc32"]) != (FORMAT, zlib.crc32(body)):
                return None
            if not any_key and not self._is_current(source, header):
                return None
            facts, commands, modalities, readers, names, *lines = body.decode().split("\n")
            given: dict[str, Any] = json.loads(facts)
            return Catalogue(
                "ok",
                "",
                _LazyRows(json.loads(names), lines),
                commands=tuple(CommandSpec(**command) for command in json.loads(commands)),
                modalities=tuple(ModalitySpec(**each) for each in json.loads(modalities)),
                readers=tuple(ReaderSpec(**each) for each in json.loads(readers)),
                **{**given, "featured": tuple(given["featured"])},
            )
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            return None

    def _is_current(self, source: PluginSource, header: Mapping[str, Any]) -> bool:
        """Whether neither the plugin nor a package with its weights has changed."""
        return header["key"] == self._key(source) and all(
            discovery.package_fingerprint(name) == found
            for name, found in header["packages"].items()
        )

    def _write(self, source: PluginSource, catalogue: Catalogue) -> None:
        facts = {name: getattr(catalogue, name) for name in _FACTS}
        commands = [asdict(command) for command in catalogue.commands]
        modalities = [asdict(modality) for modality in catalogue.modalities]
        readers = [asdict(reader) for reader in catalogue.readers]
        parts = (
            facts,
            commands,
            modalities,
            readers,
            list(catalogue.rows),
            *catalogue.rows.values(),
        )
        body = "\n".join(map(dump, parts))
        header = {
            "format": FORMAT,
            "key": self._key(source),
            "packages": {
                name: discovery.package_fingerprint(name) for name in _packages(catalogue.rows)
            },
            "crc32": zlib.crc32(body.encode()),
        }
        files.write_text(self._path(source), f"{dump(header)}\n{body}")


_FACTS = (
    *("side_effects", "verdict", "featured", "offers"),
    *("library", "rebuilds", "synced", "stale"),
)


def _still_featured(featured: Sequence[str], rows: Mapping[str, Row]) -> tuple[str, ...]:
    """Of what a plugin features, what is among ``rows``; if nothing is, the first of them."""
    kept = tuple(name for name in featured if name in rows)
    return kept if kept or not featured else tuple(rows)[:FEATURED]


def _identity(source: PluginSource) -> str:
    """What tells a plugin from another of the same name."""
    return f"{source.distribution}:{source.value}"


def _ask(source: PluginSource) -> Catalogue:
    """Import a plugin and ask it for all that the index keeps.

    Raises:
        ZooError: It cannot be imported, a hook raises, or an answer is not valid.
    """
    with observed() as side_effects:
        plugin = Plugin(source)
        specs = plugin.call("zoo_backbones")
        left_out = dict[str, str]()
        rows = rows_of(() if specs is None else specs, "zoo_backbones", left_out)
        commands = named(plugin.call("zoo_commands"), "zoo_commands", CommandSpec)
        modalities = named(plugin.call("zoo_modalities"), "zoo_modalities", ModalitySpec)
        readers = named(plugin.call("zoo_readers"), "zoo_readers", ReaderSpec)
        if plugin.implements("zoo_featured"):
            featured = featured_of(plugin.call("zoo_featured"), rows, left_out)
        else:  # the short names of zoo's own plugins are in registry.toml
            featured = () if source.distribution == CORE else tuple(rows)[:FEATURED]
        library = library_of(plugin.call("zoo_library"))
    return Catalogue(
        "ok",
        "",
        rows,
        side_effects="; ".join(filter(None, (side_effects.remarks(), *_in_words(left_out)))),
        commands=commands,
        modalities=tuple(replace(each, plugin=source.name) for each in modalities),
        readers=tuple(replace(each, plugin=source.name) for each in readers),
        featured=featured,
        offers=dict(_offers(plugin)),
        library=library,
        rebuilds=plugin.implements("zoo_sync"),
    )


def _offers(plugin: Plugin) -> Iterator[tuple[str, list[str]]]:
    """The names of what a plugin offers, by hook; a hook that fails is reported when it is used."""
    for hook in filter(plugin.implements, HOOKS):
        with contextlib.suppress(ZooError):
            if isinstance(answer := plugin.call(hook), Mapping):
                yield hook, list(map(str, answer))


def _in_words(left_out: Mapping[str, str]) -> Iterator[str]:
    for name, reason in left_out.items():
        yield f"{name!r} is ignored: its spec is not valid: {reason}"


def _packages(rows: Mapping[str, Row]) -> list[str]:
    """The installed packages in which weights lie."""
    uris = (weights["uri"] for row in rows.values() for weights in row["weights"])
    names = {uri.removeprefix(PACKAGE).partition("/")[0] for uri in uris if uri.startswith(PACKAGE)}
    return sorted(names)


_decode = json.JSONDecoder().raw_decode
"""Without looking for blanks around a row, which takes a third of the time."""


class _LazyRows(Mapping[str, Row]):
    """Rows by name, parsed lazily."""

    def __init__(self, names: Sequence[str], lines: Sequence[str]) -> None:
        self._lines = dict(zip(names, lines, strict=True))
        self._parsed: dict[str, Row] = {}

    def __getitem__(self, name: str) -> Row:
        if name not in self._parsed:
            self._parsed[name], _ = _decode(self._lines[name])
        return self._parsed[name]

    def __contains__(self, name: object) -> bool:
        return name in self._lines

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)
