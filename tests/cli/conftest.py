"""Running the command line inside the test, and plugins for it that are installed for real."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document that it must be."""
        return json.loads(self.out)


Zoo = Callable[..., Result]

PREFIX = "installed_for_a_test_"


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that the tests of this session share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(cache))
    for name in ("XDG_CONFIG_HOME", "TORCH_HOME", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("ZOO_PLUGINS", "ZOO_RESOLVE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Zoo:
    """``zoo("list", "--json")``: the command's exit status and both its streams."""
    from zoo.cli import main

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["zoo", *map(str, arguments)])
        for name in [name for name in sys.modules if name.startswith(PREFIX)]:
            del sys.modules[name]  # as in a new process, a plugin is imported as it is now
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        code = left.value.code
        return Result(code if isinstance(code, int) else 0 if code is None else 1, out, err)

    return run


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Installs a distribution with one plugin of the same name, for this test."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site))

    def write(name: str, code: str, *, distribution: str = "") -> Path:
        distribution = distribution or name
        module = site / f"{PREFIX}{distribution}_{site.parent.name}.py"
        module.write_text(textwrap.dedent(code), encoding="utf-8")
        metadata = site / f"{distribution}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        (metadata / "entry_points.txt").write_text(f"[zoo.plugins]\n{name} = {module.stem}\n")
        return module

    return write


ACME = """
import zoo
from zoo import BackboneSpec, ImageInput, TextInput, Weights


def image(name, **changes):
    fields = dict(
        name=name, modality="image", feature_dim=8, params=100, input=ImageInput(size=32),
        loader="nowhere:load", license="MIT",
    )
    return BackboneSpec(**{**fields, **changes})


def weights(tag, accuracy, license="Apache-2.0", uri="/none", default=True):
    return Weights(
        tag=tag, uri=uri, license=license, default=default, metrics={"imagenet1k/top1": accuracy}
    )


@zoo.hookimpl
def zoo_backbones():
    return [
        image("small", params=999, weights=(weights("v1", 50.0), weights("v2", 99.0, default=False))),
        image(
            "middle", params=25_000_000, feature_dim=512, weights=(weights("v1", 80.25),),
            paper="https://arxiv.org/abs/2201.03545",
        ),
        image(
            "large", params=1_500_000_000, weights=(weights("v1", 90.5, "CC-BY-NC-4.0"),),
            paper="https://arxiv.org/pdf/1512.03385v2",
        ),
        image("bare", params=30_000_000, feature_dim=64),
        BackboneSpec(
            name="words", modality="text", feature_dim=16, params=7, input=TextInput(max_length=99),
            loader="nowhere:load",
        ),
    ]


@zoo.hookimpl
def zoo_featured():
    return []
"""


@pytest.fixture
def acme(install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A plugin with five backbones, alone in the world; its file."""
    monkeypatch.setenv("ZOO_PLUGINS", "acme")
    (tmp_path / "registry.toml").write_text(
        '[aliases]\nmid = "acme/middle"\nwords = "acme/words"\nlost = "acme/lost"\n'
    )
    return install("acme", ACME)
