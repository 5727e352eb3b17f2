"""``zoo check --fix``: what a spec leaves open, measured and written into the plugin's source."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Zoo
from zoo import BackboneSpec
from zoo.testing.suite import CheckResult

LOAD = """

def load(spec):
    from torch import nn

    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2))
    return zoo.Backbone.wrap(net, spec=spec, head="3")
"""
HOOK = "import zoo\n\n\n@zoo.hookimpl\ndef zoo_backbones():\n"
INLINE = (
    HOOK
    + '    yield zoo.BackboneSpec(name="tiny", input=zoo.ImageInput(size=8, min_size=3), loader=load)\n'
    + LOAD
)
LINES = (
    HOOK
    + """    yield zoo.BackboneSpec(
        name="tiny",
        feature_dim=5,  # wrong
        input=zoo.ImageInput(size=8, min_size=3),
        loader=load,
    )
"""
    + LOAD
)
JSON = (
    """import json, pathlib
"""
    + HOOK
    + """    rows = json.loads(pathlib.Path(__file__).with_name("rows.json").read_text())
    return [zoo.BackboneSpec.from_json(row) for row in rows]
"""
    + LOAD
)
LOOP = (
    HOOK
    + """    for name in ["tiny"]:
        yield zoo.BackboneSpec(name=name, input=zoo.ImageInput(size=8, min_size=3), loader=load)
"""
    + LOAD
)
ROWS = """[
 {"name": "other", "input": {"size": 8}, "modality": "image", "loader": "fix_zoo:load", "params": 182},
 {"input": {"size": 8, "min_size": 3}, "name": "tiny", "modality": "image",
  "params": 7, "loader": "fix_zoo:load"}
]
"""
Plugin = Callable[[str], Path]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    site = tmp_path / "source"
    (site / "fix_zoo-0.1.dist-info").mkdir(parents=True)
    (site / "fix_zoo-0.1.dist-info" / "entry_points.txt").write_text(
        "[zoo.plugins]\nfix = fix_zoo\n"
    )
    (site / "fix_zoo-0.1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: fix-zoo\nVersion: 0.1\n"
    )
    (site / "fix_zoo").mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))

    def passes(spec: BackboneSpec, *_: object, **__: object) -> Iterator[CheckResult]:
        ok = (spec.feature_dim, spec.params) == (6, 182)
        yield CheckResult(spec.name, "it is measured", "passed" if ok else "failed")

    monkeypatch.setattr("zoo.testing.suite.examine", passes)

    def write(code: str) -> Path:
        (site / "fix_zoo" / "__init__.py").write_text(code)
        if code is JSON:
            (site / "fix_zoo" / "rows.json").write_text(ROWS)
        sys.modules.pop("fix_zoo", None)
        importlib.invalidate_caches()
        return site / "fix_zoo"

    return write


@pytest.mark.parametrize(
    ("code", "file", "wanted"),
    [
        (INLINE, "__init__.py", INLINE.replace('"tiny",', '"tiny", feature_dim=6, params=182,')),
        (
            LINES,
            "__init__.py",
            LINES.replace("=5,", "=6,").replace('"tiny",', '"tiny",\n        params=182,'),
        ),
        (
            JSON,
            "rows.json",
            ROWS.replace('"tiny",', '"tiny", "feature_dim": 6,').replace(": 7", ": 182"),
        ),
        (LOOP, "__init__.py", LOOP),
    ],
    ids=["inline", "lines", "json", "loop"],
)
def test_what_a_spec_leaves_open_is_written_where_it_stands(
    code: str, file: str, wanted: str, plugin: Plugin, zoo: Zoo
) -> None:
    folder = plugin(code)
    done = zoo("check", "fix/tiny", "--fix", "--quiet")
    assert done.code == 0, done.out
    assert (folder / file).read_text() == wanted
    assert "feature_dim=6, params=182" in done.err
    assert (f"written to {folder / file}" in done.err) == (wanted != code)
    assert ("write feature_dim" in done.err) == (code is LOOP)


def test_a_network_that_cannot_be_built_is_not_fixed(plugin: Plugin, zoo: Zoo) -> None:
    folder = plugin(INLINE.replace("Conv2d(3", "Conv2d(4"))
    before = (folder / "__init__.py").read_text()
    done = zoo("check", "fix/tiny", "--fix", "--quiet")
    assert done.code == 1
    assert "fix/tiny was not measured" in done.err
    assert (folder / "__init__.py").read_text() == before


def test_a_source_that_cannot_be_written_is_an_error(
    plugin: Plugin, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    plugin(INLINE)
    monkeypatch.setattr("zoo.testing.fixing.write_text", full)
    done = zoo("check", "fix/tiny", "--fix")
    assert (done.code, "No space left" in done.err) == (1, True)
    assert "without --fix" in done.err
