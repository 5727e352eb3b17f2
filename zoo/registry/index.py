"""Cache of the plugins' catalogues, so that listing models imports no plugin.

``<cache>/index`` has one file per plugin: a header, remarks, commands, modalities, names of backbones,
and one JSON row per line, so that a command parses only the rows it shows. The file is valid while the
plugin's fingerprint is unchanged; otherwise the plugin is asked again. A broken plugin is asked every
time, as its problem may have been fixed elsewhere. Damaged files are rewritten. A read-only cache
folder costs time only.
"""

from __future__ import annotations

import contextlib
import json
import os
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from zoo.contract import spec
from zoo.contract.commands import CommandSpec
from zoo.contract.modalities import ModalitySpec
from zoo.contract.spec import BackboneSpec
from zoo.errors import PluginError, ZooError
from zoo.registry import discovery
from zoo.registry.discovery import Plugin, PluginSource, guarded
from zoo.registry.side_effects import observed
from zoo.system import files
from zoo.system.json_shape import Kinds, shape_flaw
from zoo.system.paths import cache_folder
from zoo.system.small_files import read_small
from zoo.version import __version__

FORMAT = 5

Row = Mapping[str, Any]

_Named = TypeVar("_Named", CommandSpec, ModalitySpec)


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
    """

    status: str
    reason: str
    rows: Mapping[str, Row]
    side_effects: str = ""
    verdict: str = ""
    commands: tuple[CommandSpec, ...] = ()
    modalities: tuple[ModalitySpec, ...] = ()

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
        return self._read(source, self._key(source))

    def catalogue(self, source: PluginSource) -> Catalogue:
        """Return the plugin's catalogue; the plugin is imported only if it has changed."""
        return self.cached(source) or self._load(source)

    def _load(self, source: PluginSource) -> Catalogue:
        try:
            with observed() as side_effects:
                plugin = Plugin(source)
                specs = plugin.call("zoo_backbones")
                rows = _rows(() if specs is None else specs, "zoo_backbones")
                commands = _named(plugin.call("zoo_commands"), "zoo_commands", CommandSpec)
                modalities = tuple(
                    replace(each, plugin=source.name)
                    for each in _named(
                        plugin.call("zoo_modalities"), "zoo_modalities", ModalitySpec
                    )
                )
        except ZooError as error:
            return Catalogue("broken", error.message, {})
        catalogue = Catalogue(
            "ok",
            "",
            rows,
            side_effects=side_effects.remarks(),
            commands=commands,
            modalities=modalities,
        )
        try:
            self._write(source, self._key(source), catalogue)
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
        commands: tuple[CommandSpec, ...] = (),
        modalities: tuple[ModalitySpec, ...] = (),
    ) -> Catalogue:
        """Save the result of ``zoo_sync`` as the catalogue until the plugin changes.

        Args:
            source: The plugin.
            specs: Its backbones.
            commands: Its commands, unchanged.
            modalities: Its modalities, unchanged.

        Raises:
            PluginError: They are not specs, or cannot be saved.
        """
        rows = _rows(specs, "zoo_sync")
        catalogue = Catalogue("ok", "", rows, commands=commands, modalities=modalities)
        try:
            self._write(source, self._key(source), catalogue)
        except OSError as error:
            raise PluginError(
                f"failed to save the new catalogue of {source.name!r} in {self.folder}: "
                f"{error.strerror or error}",
                hint="Set ZOO_CACHE to a writable folder.",
            ) from error
        return catalogue

    def set_verdict(self, source: PluginSource, verdict: str) -> None:
        """Save the result of a check, or an error in use, with the catalogue.

        The empty string removes it. It is kept until the plugin changes.
        """
        key = self._key(source)
        if (cached := self._read(source, key)) is not None and cached.verdict != verdict:
            with contextlib.suppress(OSError):  # only a remark
                self._write(source, key, replace(cached, verdict=verdict))

    def _key(self, source: PluginSource) -> str:
        return f"{self._core}:{discovery.fingerprint(source)}"

    @cached_property
    def _core(self) -> str:
        # spec.py writes the rows; in a checkout it changes without a new version.
        return f"{__version__}:{os.stat(spec.__file__).st_mtime_ns}"

    def _path(self, source: PluginSource) -> Path:
        safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in source.name)
        return self.folder / f"{safe}.jsonl"

    def _read(self, source: PluginSource, key: str) -> Catalogue | None:
        try:
            header, _, body = read_small(self._path(source)).partition(b"\n")
            if json.loads(header) != {"format": FORMAT, "key": key, "crc32": zlib.crc32(body)}:
                return None
            remarks, commands, modalities, names, *lines = body.decode().split("\n")
            rows = _LazyRows(json.loads(names), lines)
            cached = tuple(CommandSpec(**command) for command in json.loads(commands))
            kinds = tuple(ModalitySpec(**modality) for modality in json.loads(modalities))
            side_effects, verdict = json.loads(remarks)
            return Catalogue("ok", "", rows, side_effects, verdict, cached, kinds)
        except (OSError, ValueError, TypeError):
            return None

    def _write(self, source: PluginSource, key: str, catalogue: Catalogue) -> None:
        rows, remarks = catalogue.rows, [catalogue.side_effects, catalogue.verdict]
        commands = [asdict(command) for command in catalogue.commands]
        modalities = [asdict(modality) for modality in catalogue.modalities]
        parts = (remarks, commands, modalities, list(rows), *rows.values())
        body = "\n".join(map(_dump, parts))
        header = {"format": FORMAT, "key": key, "crc32": zlib.crc32(body.encode())}
        files.write_text(self._path(source), f"{_dump(header)}\n{body}")


class _LazyRows(Mapping[str, Row]):
    """Rows by name, parsed lazily."""

    def __init__(self, names: Sequence[str], lines: Sequence[str]) -> None:
        self._lines = dict(zip(names, lines, strict=True))
        self._parsed: dict[str, Row] = {}

    def __getitem__(self, name: str) -> Row:
        if name not in self._parsed:
            self._parsed[name] = json.loads(self._lines[name])
        return self._parsed[name]

    def __contains__(self, name: object) -> bool:
        return name in self._lines

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)


def _rows(specs: object, hook: str) -> dict[str, Row]:
    """Validate a plugin's specs and return them as JSON data."""
    if isinstance(specs, (str, bytes)) or not isinstance(specs, Iterable):
        raise PluginError(f"{hook} returned {type(specs).__name__}, not backbone specs")
    rows: dict[str, Row] = {}
    with guarded(hook):  # may be a generator that runs only now
        for given in specs:
            if not isinstance(given, BackboneSpec):
                raise PluginError(f"{hook} yielded {type(given).__name__}, not BackboneSpec")
            if given.name in rows:
                raise PluginError(f"{hook} yielded two specs called {given.name!r}")
            rows[given.name] = _row(given, hook)
    return rows


def _named(answer: object, hook: str, kind: type[_Named]) -> tuple[_Named, ...]:
    """Validate a plugin's commands or modalities."""
    if answer is None:
        return ()
    if isinstance(answer, (str, bytes)) or not isinstance(answer, Iterable):
        raise PluginError(f"{hook} returned {type(answer).__name__}, not a list of {kind.__name__}")
    found: dict[str, _Named] = {}
    with guarded(hook):  # may be a generator that runs only now
        for given in answer:
            if not isinstance(given, kind):
                raise PluginError(f"{hook} yielded {type(given).__name__}, not {kind.__name__}")
            if given.name in found:
                raise PluginError(f"{hook} yielded two called {given.name!r}")
            found[given.name] = given
    return tuple(found.values())


def _row(given: BackboneSpec, hook: str) -> Row:
    try:
        row: Row = json.loads(_dump(given.to_json()))
    except (TypeError, ValueError) as error:
        raise PluginError(f"{hook}: {given.name!r} cannot be converted to JSON: {error}") from error
    flaws = [_flaw(row, _KINDS), *(_flaw(weights, _WEIGHTS_KINDS) for weights in row["weights"])]
    if not given.name.isprintable() or " " in given.name:
        flaws.append("its name has a space or a control character")
    for flaw in filter(None, flaws):
        raise PluginError(f"{hook}: {given.name!r} is not valid: {flaw}")
    return row


def _flaw(part: Row, kinds: Kinds) -> str:
    """Return which value has a wrong type; dataclasses do not check."""
    if flaw := shape_flaw(part, kinds):
        return flaw
    if not all(isinstance(tag, str) for tag in part.get("tags", ())):
        return f"'tags' must be strings, got {part['tags']!r}"
    if not all(type(metric) in (int, float) for metric in part.get("metrics", {}).values()):
        return f"'metrics' must be numbers, got {part['metrics']!r}"
    return ""


_KINDS: Kinds = {
    "name": (str,),
    "feature_dim": (int,),
    "params": (int,),
    "loader": (str,),
    "license": (str,),
    "paper": (str,),
    "tags": (list,),
    "config": (dict,),
}
_WEIGHTS_KINDS: Kinds = {
    "tag": (str,),
    "uri": (str,),
    "sha256": (str,),
    "license": (str,),
    "metrics": (dict,),
    "default": (bool,),
    "classes": (int,),
}


def _dump(data: object) -> str:
    return json.dumps(data, separators=(",", ":"), allow_nan=False)
