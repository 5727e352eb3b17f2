"""The cached catalogue: what each plugin publishes, kept so that nothing has to be imported.

One JSON file a plugin lies in ``<cache>/index``. It is used as long as the plugin's fingerprint
is the one it was made for; otherwise the plugin is asked again. A file that cannot be read is
made anew. A cache folder that cannot be written costs time, not function.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import zoo
from zoo import discovery, files
from zoo.discovery import Plugin, Source
from zoo.errors import ContractError, PluginError, ZooError
from zoo.places import cache_folder
from zoo.spec import BackboneSpec

FORMAT = 1


@dataclass(frozen=True)
class Catalogue:
    """What one plugin publishes, or why it publishes nothing.

    Attributes:
        status: ``ok`` or ``broken``.
        reason: Why it is broken.
        rows: Names within the plugin's namespace to specs as JSON data.
    """

    status: str
    reason: str
    rows: Mapping[str, Mapping[str, Any]]

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

    def catalogue(self, source: Source) -> Catalogue:
        """The plugin's catalogue; the plugin is imported and asked only if it has changed."""
        key = f"{zoo.__version__}:{discovery.fingerprint(source)}"
        stored = self._read(source)
        if stored and stored["key"] == key and self._still_true(stored):
            return Catalogue(stored["status"], stored["reason"], stored["rows"])
        catalogue = _ask(source)
        self._write(source, key, catalogue)
        return catalogue

    def _still_true(self, stored: Mapping[str, Any]) -> bool:
        # A plugin that lacks a module is asked again once something has been installed.
        return stored["status"] == "ok" or stored["environment"] == self._environment

    def replace(self, source: Source, specs: Iterable[BackboneSpec]) -> Catalogue:
        """Keep ``specs`` as the plugin's catalogue until the plugin changes."""
        key = f"{zoo.__version__}:{discovery.fingerprint(source)}"
        catalogue = Catalogue("ok", "", _rows(specs))
        self._write(source, key, catalogue)
        return catalogue

    @cached_property
    def _environment(self) -> str:
        return discovery.environment_stamp()

    def _path(self, source: Source) -> Path:
        safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in source.name)
        return self.folder / f"{safe}.json"

    def _read(self, source: Source) -> dict[str, Any] | None:
        try:
            stored = json.loads(self._path(source).read_bytes())
            complete = stored["format"] == FORMAT and isinstance(stored["rows"], dict)
            fields = {"key", "status", "reason", "environment"} <= stored.keys()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return stored if complete and fields else None

    def _write(self, source: Source, key: str, catalogue: Catalogue) -> None:
        stored = {
            "format": FORMAT,
            "key": key,
            "environment": self._environment,
            "status": catalogue.status,
            "reason": catalogue.reason,
            "rows": catalogue.rows,
        }
        try:
            files.write_text(self._path(source), json.dumps(stored, separators=(",", ":")))
        except OSError as error:
            warnings.warn(
                f"the index cannot be kept in {self.folder} ({error.strerror}); "
                "every command asks the plugins anew",
                stacklevel=2,
            )


def _ask(source: Source) -> Catalogue:
    try:
        specs = Plugin(source).ask("zoo_backbones")
        return Catalogue("ok", "", _rows(specs if specs is not None else ()))
    except ZooError as error:
        return Catalogue("broken", error.message, {})


def _rows(specs: object) -> dict[str, dict[str, Any]]:
    if isinstance(specs, (str, bytes)) or not isinstance(specs, Iterable):
        raise PluginError(f"zoo_backbones returned {type(specs).__name__}, not backbone specs")
    rows: dict[str, dict[str, Any]] = {}
    try:
        for spec in specs:
            if not isinstance(spec, BackboneSpec):
                raise PluginError(f"zoo_backbones gave {type(spec).__name__}, not a BackboneSpec")
            if spec.name in rows:
                raise PluginError(f"zoo_backbones gave two specs called {spec.name!r}")
            rows[spec.name] = spec.to_json()
        return json.loads(json.dumps(rows))  # type: ignore[no-any-return]
    except (TypeError, ValueError) as error:
        raise ContractError(f"a spec does not become JSON: {error}") from error
