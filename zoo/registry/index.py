"""The cached catalogue: what each plugin publishes, kept so that nothing has to be imported.

One file a plugin lies in ``<cache>/index``: a header, remarks on the plugin, its commands, the names
of its backbones, and one row of JSON a line, so that a command parses no more rows than it shows. It
is used as long as the plugin's fingerprint is the one it was made for; otherwise the plugin is asked again, and so is a broken plugin every
time, because what it lacks may have been fixed anywhere. A file that is damaged is made again. A
cache folder that cannot be written costs time, not function.
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
from typing import Any

from zoo.contract import spec
from zoo.contract.commands import CommandSpec
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

FORMAT = 4

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Catalogue:
    """What one plugin publishes, or why it publishes nothing.

    Attributes:
        status: ``ok`` or ``broken``.
        reason: Why it is broken.
        rows: Names within the plugin's namespace to specs as JSON data.
        manners: What its author should change although it works; see :mod:`zoo.registry.side_effects`.
        verdict: What a check, or a backbone's use, has shown of it.
        commands: What it adds to ``zoo``.
    """

    status: str
    reason: str
    rows: Mapping[str, Row]
    manners: str = ""
    verdict: str = ""
    commands: tuple[CommandSpec, ...] = ()

    @property
    def remarks(self) -> str:
        """All that there is to say of the plugin."""
        return "; ".join(filter(None, (self.reason, self.manners, self.verdict)))

    def spec(self, name: str, plugin: str) -> BackboneSpec:
        """The row ``name`` as a spec with its canonical name."""
        return BackboneSpec.from_json(self.rows[name]).in_namespace(plugin)


class Index:
    """The catalogues of plugins, from the cache where they are fresh.

    Args:
        folder: Where the files lie; ``<cache>/index`` by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "index"

    def kept(self, source: PluginSource) -> Catalogue | None:
        """The catalogue that was kept for the plugin as it is now, or ``None``."""
        return self._read(source, self._key(source))

    def catalogue(self, source: PluginSource) -> Catalogue:
        """The plugin's catalogue; the plugin is imported and asked only if it has changed."""
        return self.kept(source) or self._asked(source)

    def _asked(self, source: PluginSource) -> Catalogue:
        try:
            with observed() as manners:
                plugin = Plugin(source)
                specs = plugin.ask("zoo_backbones")
                rows = _rows(() if specs is None else specs, "zoo_backbones")
                commands = _commands(plugin.ask("zoo_commands"))
        except ZooError as error:
            return Catalogue("broken", error.message, {})
        catalogue = Catalogue("ok", "", rows, manners=manners.remarks(), commands=commands)
        try:
            self._write(source, self._key(source), catalogue)
        except OSError as error:
            warnings.warn(
                f"the index cannot be kept in {self.folder} ({error.strerror or error}); "
                "every command asks the plugins again",
                stacklevel=2,
            )
        return self.kept(source) or catalogue  # what is kept takes less memory

    def replace(
        self,
        source: PluginSource,
        specs: Iterable[BackboneSpec],
        commands: tuple[CommandSpec, ...] = (),
    ) -> Catalogue:
        """Keep ``specs``, the answer to ``zoo_sync``, as the catalogue until the plugin changes.

        Args:
            source: The plugin.
            specs: Its backbones.
            commands: Its commands, which stay as they are.

        Raises:
            PluginError: They are not specs, or cannot be kept.
        """
        catalogue = Catalogue("ok", "", _rows(specs, "zoo_sync"), commands=commands)
        try:
            self._write(source, self._key(source), catalogue)
        except OSError as error:
            raise PluginError(
                f"the new catalogue of {source.name!r} cannot be kept in {self.folder}: "
                f"{error.strerror or error}",
                hint="Set ZOO_CACHE to a folder that can be written.",
            ) from error
        return catalogue

    def judge(self, source: PluginSource, verdict: str) -> None:
        """Keep with the catalogue what a check, or a backbone's use, has shown of the plugin.

        The empty string takes it back. It lasts until the plugin changes.
        """
        key = self._key(source)
        if (kept := self._read(source, key)) is not None and kept.verdict != verdict:
            with contextlib.suppress(OSError):  # it is a remark, and costs nothing to lose
                self._write(source, key, replace(kept, verdict=verdict))

    def _key(self, source: PluginSource) -> str:
        return f"{self._core}:{discovery.fingerprint(source)}"

    @cached_property
    def _core(self) -> str:
        # Rows are written by spec.py: in a checkout it changes without a new version.
        return f"{__version__}:{os.stat(spec.__file__).st_mtime_ns}"

    def _path(self, source: PluginSource) -> Path:
        safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in source.name)
        return self.folder / f"{safe}.jsonl"

    def _read(self, source: PluginSource, key: str) -> Catalogue | None:
        try:
            header, _, body = read_small(self._path(source)).partition(b"\n")
            if json.loads(header) != {"format": FORMAT, "key": key, "crc32": zlib.crc32(body)}:
                return None
            remarks, commands, names, *lines = body.splitlines()
            rows = _LazyRows(json.loads(names), lines)
            kept = tuple(CommandSpec(**command) for command in json.loads(commands))
            manners, verdict = json.loads(remarks)
            return Catalogue("ok", "", rows, manners, verdict, kept)
        except (OSError, ValueError, TypeError):
            return None

    def _write(self, source: PluginSource, key: str, catalogue: Catalogue) -> None:
        rows, remarks = catalogue.rows, [catalogue.manners, catalogue.verdict]
        commands = [asdict(command) for command in catalogue.commands]
        parts = (remarks, commands, list(rows), *rows.values())
        body = "\n".join(map(_dump, parts))
        header = {"format": FORMAT, "key": key, "crc32": zlib.crc32(body.encode())}
        files.write_text(self._path(source), f"{_dump(header)}\n{body}")


class _LazyRows(Mapping[str, Row]):
    """Rows by name, each parsed when it is first asked for."""

    def __init__(self, names: Sequence[str], lines: Sequence[bytes]) -> None:
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
    """A plugin's answer to ``hook``, checked, as JSON data."""
    if isinstance(specs, (str, bytes)) or not isinstance(specs, Iterable):
        raise PluginError(f"{hook} returned {type(specs).__name__}, not backbone specs")
    rows: dict[str, Row] = {}
    with guarded(hook):  # it may be a generator, which runs only now
        for given in specs:
            if not isinstance(given, BackboneSpec):
                raise PluginError(f"{hook} gave {type(given).__name__}, not a BackboneSpec")
            if given.name in rows:
                raise PluginError(f"{hook} gave two specs called {given.name!r}")
            rows[given.name] = _row(given, hook)
    return rows


def _commands(answer: object) -> tuple[CommandSpec, ...]:
    """A plugin's answer to ``zoo_commands``, checked."""
    if answer is None:
        return ()
    if isinstance(answer, (str, bytes)) or not isinstance(answer, Iterable):
        raise PluginError(f"zoo_commands returned {type(answer).__name__}, not command specs")
    commands: dict[str, CommandSpec] = {}
    with guarded("zoo_commands"):  # it may be a generator, which runs only now
        for given in answer:
            if not isinstance(given, CommandSpec):
                raise PluginError(f"zoo_commands gave {type(given).__name__}, not a CommandSpec")
            if given.name in commands:
                raise PluginError(f"zoo_commands gave two commands called {given.name!r}")
            commands[given.name] = given
    return tuple(commands.values())


def _row(given: BackboneSpec, hook: str) -> Row:
    try:
        row: Row = json.loads(_dump(given.to_json()))
    except (TypeError, ValueError) as error:
        raise PluginError(f"{hook}: {given.name!r} does not become JSON: {error}") from error
    flaws = [_flaw(row, _KINDS), *(_flaw(weights, _WEIGHTS_KINDS) for weights in row["weights"])]
    if not given.name.isprintable() or " " in given.name:
        flaws.append("its name has a space or a control character")
    for flaw in filter(None, flaws):
        raise PluginError(f"{hook}: {given.name!r} is not valid: {flaw}")
    return row


def _flaw(part: Row, kinds: Kinds) -> str:
    """Which value is of a wrong kind; a dataclass takes any."""
    if flaw := shape_flaw(part, kinds):
        return flaw
    if not all(isinstance(tag, str) for tag in part.get("tags", ())):
        return f"its tags are {part['tags']!r}"
    if not all(type(metric) in (int, float) for metric in part.get("metrics", {}).values()):
        return f"its metrics are {part['metrics']!r}"
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
