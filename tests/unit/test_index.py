"""The cached catalogue: fresh, stale, damaged, unwritable."""

from __future__ import annotations

import importlib
import os
import stat
from pathlib import Path

import pytest

from tests.unit.fake_plugins import GOOD, Folder
from zoo.errors import PluginError
from zoo.registry import index as index_module
from zoo.registry.discovery import Plugin, PluginSource
from zoo.registry.index import Catalogue, Index


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.syspath_prepend(place)
    return Folder(place)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path / "index")


def _forbid_import(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: PluginSource) -> Plugin:
        raise AssertionError(f"{source.name} was imported")

    monkeypatch.setattr(index_module, "Plugin", refuse)


def test_a_fresh_catalogue_is_read_without_importing_the_plugin(
    folder: Folder, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder.good("acme", "net", "net2")
    asked = index.catalogue(source)
    _forbid_import(monkeypatch)
    kept = Index(index.folder).catalogue(source)
    assert kept.status == "ok"
    assert dict(kept.rows) == dict(asked.rows)
    assert list(kept.rows) == ["net", "net2"]
    assert kept.spec("net2", "acme") == asked.spec("net2", "acme")
    assert "net3" not in kept.rows


def test_side_effects_are_reported_and_cached(
    folder: Folder, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.registry.side_effects.MAX_SECONDS", 0.01)
    source = folder.good(
        "acme",
        "net",
        extra="""
        import time
        print("hello")
        time.sleep(0.05)
    """,
    )
    asked = index.catalogue(source)
    assert (asked.status, len(asked.rows)) == ("ok", 1)
    assert asked.side_effects.startswith("takes 0.")
    assert asked.side_effects.endswith("prints to standard output")
    _forbid_import(monkeypatch)
    assert Index(index.folder).catalogue(source).side_effects == asked.side_effects


def test_an_edited_plugin_is_asked_again(folder: Folder, index: Index) -> None:
    source = folder.good("acme", "net")
    index.catalogue(source)
    assert index.cached(source) is not None
    os.utime(folder.file(source), ns=(1, 1))
    assert index.cached(source) is None
    assert list(index.catalogue(source).rows) == ["net"]
    assert index.cached(source) is not None


def test_an_upgraded_plugin_is_asked_again(folder: Folder, index: Index) -> None:
    source = folder.good("acme", "net")
    index.catalogue(source)
    assert index.cached(PluginSource("acme", source.value, source.distribution, "2.0")) is None


@pytest.mark.parametrize("where", [0, 10, 0.3, 0.6, -1])
def test_a_damaged_byte_anywhere_heals(folder: Folder, index: Index, where: float) -> None:
    source = folder.good("acme", "net", "net2")
    before = dict(index.catalogue(source).rows)
    file = next(index.folder.iterdir())
    content = bytearray(file.read_bytes())
    whole = bytes(content)
    position = int(where * len(content)) if isinstance(where, float) else where
    content[position] ^= 0x15
    file.write_bytes(content)
    assert dict(Index(index.folder).catalogue(source).rows) == before
    assert file.read_bytes() == whole


@pytest.mark.parametrize("keep", [0, 1, 40, 300])
def test_a_file_that_was_cut_off_heals(folder: Folder, index: Index, keep: int) -> None:
    source = folder.good("acme", "net")
    index.catalogue(source)
    file = next(index.folder.iterdir())
    whole = file.read_bytes()
    file.write_bytes(whole[:keep])
    assert list(Index(index.folder).catalogue(source).rows) == ["net"]
    assert file.read_bytes() == whole


def test_a_broken_plugin_is_well_as_soon_as_what_it_lacked_is_there(
    folder: Folder, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder.good("acme", "net", extra="import a_module_that_comes_late")
    catalogue = index.catalogue(source)
    assert catalogue.status == "broken"
    assert "a_module_that_comes_late" in catalogue.reason
    late = folder.path.parent / "late"
    late.mkdir()
    (late / "a_module_that_comes_late.py").touch()
    monkeypatch.syspath_prepend(late)
    assert index.catalogue(source).status == "ok"


def test_without_a_writable_folder_there_is_a_warning(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    index = Index(tmp_path / "file" / "index")
    with pytest.warns(UserWarning, match="file/index"):
        assert index.catalogue(folder.good("acme", "net")).status == "ok"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_costs_a_warning_and_no_function(folder: Folder, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.warns(UserWarning, match="Permission denied"):
        assert Index(closed / "index").catalogue(folder.good("acme", "net")).status == "ok"


def test_names_that_are_not_file_names_are_kept_too(folder: Folder, index: Index) -> None:
    source = folder.good("../evil/..", "net")
    index.catalogue(source)
    assert index.cached(source) is not None
    assert [file.parent for file in index.folder.iterdir()] == [index.folder]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("[spec('a'), spec('b'), spec('a')]", "two specs called 'a'"),
        ("['resnet']", "str, not BackboneSpec"),
        ("'resnet'", "returned str"),
        ("3", "returned int"),
        ("(1 / 0 for _ in '1')", "zoo_backbones raised ZeroDivisionError"),
        ("[spec('a', config={'x': {1, 2}})]", "'a' cannot be converted to JSON"),
        ("[spec('a', config={'x': float('nan')})]", "'a' cannot be converted to JSON"),
        ("[spec('a', params='many')]", "params is 'many'"),
        ("[spec('a', params=True)]", "params is 'True'"),
        ("[spec('a', tags=('x', 3))]", "['x', 3]"),
        (
            "[spec('a', weights=(Weights(tag='t', uri='u', metrics={'m/top1': 'high'}),))]",
            "{'m/top1': 'high'}",
        ),
        (
            "[spec('a', weights=(Weights(tag='t', uri='u', license=None),))]",
            "license is 'None'",
        ),
        ("[spec('a b')]", "'a b'"),
        ("[spec('a\\x1b[31m')]", "control character"),
        ("[spec('a', feature_dim=-1)]", "feature_dim"),
    ],
)
def test_an_invalid_catalogue_makes_the_plugin_broken(
    folder: Folder, index: Index, answer: str, reason: str
) -> None:
    source = folder.good("acme", extra=f"zoo_backbones = zoo.hookimpl(lambda: {answer})")
    catalogue = index.catalogue(source)
    assert catalogue.status == "broken"
    assert reason in catalogue.reason
    assert not catalogue.rows
    assert index.cached(source) is None


def test_a_generator_is_a_catalogue(folder: Folder, index: Index) -> None:
    generator = "zoo_backbones = zoo.hookimpl(lambda: (spec(n) for n in 'ab'))"
    assert list(index.catalogue(folder.good("acme", extra=generator)).rows) == ["a", "b"]


def test_a_plugin_without_backbones_is_well(folder: Folder, index: Index) -> None:
    heads = "import zoo\n@zoo.hookimpl\ndef zoo_heads(): return {}"
    catalogue = index.catalogue(folder.plugin("acme", heads))
    assert (catalogue.status, dict(catalogue.rows)) == ("ok", {})


def synced(folder: Folder, index: Index) -> PluginSource:
    """A plugin whose catalogue was rebuilt as that of another."""
    source = folder.good("acme", "old")
    specs = Plugin(folder.good("other", "new")).call("zoo_backbones")
    index.replace(source, specs, index.catalogue(source), {"acme-net": "2"})
    assert list(index.catalogue(source).rows) == ["new"]
    return source


def test_a_synced_catalogue_outlives_a_change_of_a_files_time(folder: Folder, index: Index) -> None:
    source = synced(folder, index)
    os.utime(folder.file(source), ns=(1, 1))
    catalogue = index.catalogue(source)
    assert (list(catalogue.rows), catalogue.stale, catalogue.library) == (
        ["new"],
        "",
        {"acme-net": "2"},
    )


def test_a_synced_catalogue_is_kept_as_stale_when_the_plugin_changes(
    folder: Folder, index: Index
) -> None:
    source = synced(folder, index)
    with folder.file(source).open("a") as file:
        file.write("zoo_commands = zoo.hookimpl(lambda: [])\n")
    catalogue = index.catalogue(source)
    assert list(catalogue.rows) == list(index.catalogue(source).rows) == ["new"]
    assert "zoo sync acme" in catalogue.stale
    index.replace(source, [], catalogue)
    assert index.catalogue(source).stale == ""
    assert list(index.forget(source).rows) == ["old"]
    assert list(index.catalogue(source).rows) == ["old"]


def test_a_synced_catalogue_does_not_pass_to_another_plugin_of_the_name(
    folder: Folder, index: Index
) -> None:
    synced(folder, index)
    assert list(index.catalogue(folder.good("acme", "another")).rows) == ["another"]


def test_the_index_follows_the_packages_that_hold_weights(folder: Folder, index: Index) -> None:
    package = folder.path / "acme_weights_for_the_index"
    source = folder.good(
        "acme",
        extra=f"""
        import pathlib

        @zoo.hookimpl
        def zoo_backbones():
            tag = pathlib.Path({str(package)!r}, "tag.txt")
            uri = "package:acme_weights_for_the_index/w.pth"
            weights = Weights(tag=tag.read_text() if tag.exists() else "none", uri=uri)
            return [spec("net", weights=(weights,))]
        """,
    )

    def tag() -> str:
        importlib.invalidate_caches()
        return str(index.catalogue(source).rows["net"]["weights"][0]["tag"])

    assert tag() == "none"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "tag.txt").write_text("v1")
    assert tag() == "v1"
    (package / "tag.txt").write_text("v2, newer")
    assert tag() == "v2, newer"
    assert index.cached(source) is not None


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        ("zoo_featured = zoo.hookimpl(lambda: ['b'])", "'b', which is not in its catalogue"),
        ("zoo_featured = zoo.hookimpl(lambda: 'a')", "zoo_featured returned str"),
        ("zoo_library = zoo.hookimpl(lambda: {'acme': 2})", "zoo_library must return"),
    ],
)
def test_features_and_libraries_are_checked(
    folder: Folder, index: Index, hook: str, reason: str
) -> None:
    assert reason in index.catalogue(folder.good("acme", "a", extra=hook)).reason


def test_a_catalogue_that_cannot_be_saved_is_an_error(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    index = Index(tmp_path / "file" / "index")
    source = folder.good("acme", "net")
    with pytest.raises(PluginError, match=r"'acme'.*Not a directory") as caught:
        index.replace(source, [], Catalogue("ok", "", {}))
    assert "ZOO_CACHE" in caught.value.hint


def test_a_spec_whose_mean_does_not_fit_is_left_out_and_named(folder: Folder, index: Index) -> None:
    source = folder.plugin(
        "acme",
        GOOD
        + """
NAMES = ["net"]

@zoo.hookimpl
def zoo_backbones():
    wide = ImageInput(mean=(0.5, 0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0))
    bytes_ = Weights(tag="v1", uri="/none", input=ImageInput(mean=(127.0,) * 3))
    return [spec("net"), spec("wide", input=wide), spec("bytes", weights=(bytes_,))]

@zoo.hookimpl
def zoo_featured():
    return ["wide", "net"]
""",
    )
    catalogue = index.catalogue(source)
    assert catalogue.status == "ok"
    assert list(catalogue.rows) == ["net"]
    assert catalogue.featured == ("net",)
    assert "'wide' is ignored: its spec is not valid: mean must have one value" in catalogue.remarks
    assert "'bytes' is ignored: its spec is not valid: mean must be in [0, 1]" in catalogue.remarks
    wide = importlib.import_module(source.value).zoo_backbones()[1:2]
    with pytest.raises(PluginError, match="'wide' is not valid: mean must have one value"):
        index.replace(source, wide, catalogue)
