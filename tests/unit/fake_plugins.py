"""Real packages on ``sys.path`` that tests write: plugins of every kind of trouble."""

from __future__ import annotations

import importlib
import itertools
import textwrap
from pathlib import Path

from zoo.registry.discovery import PluginSource

GOOD = """
import zoo
from zoo import BackboneSpec, ImageInput, Weights


def spec(name, **changes):
    fields = dict(
        name=name, modality="image", feature_dim=8, params=100, input=ImageInput(),
        loader="nowhere:load", license="MIT",
        weights=(Weights(tag="v1", uri="/none", default=True), Weights(tag="v2", uri="/none")),
    )
    return BackboneSpec(**{**fields, **changes})


@zoo.hookimpl
def zoo_backbones():
    return [spec(name) for name in NAMES]
"""


_numbers = itertools.count()  # an imported module stays imported, so that no name serves twice


class Folder:
    """A folder on ``sys.path`` into which plugins are written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def plugin(
        self,
        name: str,
        code: str,
        *,
        distribution: str | None = None,
        requires: tuple[str, ...] = (),
    ) -> PluginSource:
        """A source whose module holds ``code``; every module has a name of its own."""
        module = f"fake_plugin_{next(_numbers)}"
        (self.path / f"{module}.py").write_text(textwrap.dedent(code), encoding="utf-8")
        importlib.invalidate_caches()
        return PluginSource(name, module, distribution or f"{name}-dist", "1.0", requires)

    def good(self, name: str, *backbones: str, extra: str = "", **options: object) -> PluginSource:
        """A plugin that publishes ``backbones``; ``extra`` is appended to its module."""
        code = f"NAMES = {list(backbones)}\n{GOOD}\n{textwrap.dedent(extra)}"
        return self.plugin(name, code, **options)  # type: ignore[arg-type]

    def file(self, source: PluginSource) -> Path:
        """The module of a source."""
        return self.path / f"{source.value}.py"
