"""Plugins: found, kept in mind, imported alone."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.unit.fake_plugins import Folder
from zoo.errors import NameLookupError, PluginError, PluginTimeoutError
from zoo.registry import entry_points, time_limits
from zoo.registry.discovery import Plugin, PluginSource, fingerprint, incompatibility, installed
from zoo.registry.index import Index
from zoo.registry.policy import Policy
from zoo.registry.registry import Registry


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.syspath_prepend(place)
    return Folder(place)


def _install(place: Path, name: str, version: str = "1.0", *, entry: str = "acme_plugin") -> Path:
    """A distribution with one plugin, as an installer leaves it."""
    metadata = place / f"{name}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: zoo-finetune>=0.1\n"
    )
    (metadata / "entry_points.txt").write_text(f"[zoo.plugins]\n{name} = {entry}\n")
    return metadata


def _names(cache: Path | None) -> dict[str, str]:
    return {source.name: source.version for source in installed(cache)}


def test_the_zoos_own_plugins_are_found_like_any_other() -> None:
    assert {"torchvision", "timm", "hf", "basics", "serve"} <= _names(None).keys()


def test_an_installed_distribution_is_described(folder: Folder) -> None:
    _install(folder.path, "acme")
    source = next(source for source in installed() if source.name == "acme")
    assert source == PluginSource("acme", "acme_plugin", "acme", "1.0", ("zoo-finetune>=0.1",))


def test_installing_upgrading_editing_and_removing_are_noticed(
    folder: Folder, tmp_path: Path
) -> None:
    cache = tmp_path / "plugins.json"
    assert "acme" not in _names(cache)
    metadata = _install(folder.path, "acme")
    assert _names(cache)["acme"] == "1.0"

    metadata.rename(folder.path / "acme-2.0.dist-info")
    metadata = folder.path / "acme-2.0.dist-info"
    text = (metadata / "METADATA").read_text()
    (metadata / "METADATA").write_text(text.replace("Version: 1.0", "Version: 2.0"))
    assert _names(cache)["acme"] == "2.0"

    (metadata / "entry_points.txt").write_text("[zoo.plugins]\nacme2 = acme_plugin\n")
    assert "acme2" in _names(cache)
    assert "acme" not in _names(cache)

    for file in metadata.iterdir():
        file.unlink()
    metadata.rmdir()
    assert "acme2" not in _names(cache)


def test_a_kept_answer_spares_reading_the_environment(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "plugins.json"
    _install(folder.path, "acme")
    before = installed(cache)
    monkeypatch.setattr(entry_points, "_read_environment", lambda: pytest.fail("it was read again"))
    (folder.path / "unrelated.txt").touch()
    assert installed(cache) == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"stamp": 1}', b"\xff"])
def test_a_damaged_answer_is_made_again(folder: Folder, tmp_path: Path, content: bytes) -> None:
    cache = tmp_path / "plugins.json"
    _install(folder.path, "acme")
    before = installed(cache)
    whole = cache.read_bytes()
    cache.write_bytes(content)
    assert installed(cache) == before
    assert cache.read_bytes() == whole


def test_an_answer_that_cannot_be_kept_is_given_all_the_same(
    folder: Folder, tmp_path: Path
) -> None:
    _install(folder.path, "acme")
    (tmp_path / "file").touch()
    assert "acme" in _names(tmp_path / "file" / "plugins.json")


def test_finders_of_distributions_that_cannot_be_watched_forbid_keeping(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Finder:
        @staticmethod
        def find_spec(*_: object) -> None:
            return None

        @staticmethod
        def find_distributions(*_: object) -> list[object]:
            return []

    assert entry_points.environment_stamp()
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    assert entry_points.environment_stamp() == ""


def test_damaged_metadata_of_one_distribution_hides_no_other(folder: Folder) -> None:
    _install(folder.path, "acme")
    broken = _install(folder.path, "broken")
    (broken / "entry_points.txt").write_text("[zoo.plugins]\nno equals sign\n")
    assert "acme" in _names(None)


def test_of_two_copies_of_a_distribution_the_first_on_the_path_counts(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(folder.path, "acme", "2.0")
    other = tmp_path / "other"
    other.mkdir()
    _install(other, "acme", "1.0")
    monkeypatch.setattr(sys, "path", [*sys.path, str(other)])
    assert [s.version for s in installed() if s.name == "acme"] == ["2.0"]


@pytest.mark.parametrize(
    ("requires", "reason"),
    [
        (("zoo-finetune>=0.1",), ""),
        (("zoo-finetune",), ""),
        (("zoo-finetune>=2", "torch"), "zoo-finetune >=2"),
        (("Zoo_Finetune <0.1",), "zoo-finetune <0.1"),
        (("zoo>=9",), ""),  # another project
        (("zoo-finetune-extras>=9", "zoology>=9", "zoo-finetune.x>=9"), ""),
        (("zoo-finetune>=9; python_version < '3'",), ""),
        (("zoo-finetune>=9; extra == 'next'",), ""),
        (("zoo-finetune>=>=9",), ""),
    ],
)
def test_a_plugin_for_another_version_of_zoo_is_incompatible(
    requires: tuple[str, ...], reason: str
) -> None:
    found = incompatibility(PluginSource("a", "a", "a-dist", "1", requires), "0.1.0")
    assert reason in found
    assert bool(found) == bool(reason)


def test_a_fingerprint_changes_with_an_edit_and_with_a_new_version(folder: Folder) -> None:
    source = folder.good("acme", "net")
    first = fingerprint(source)
    assert fingerprint(source) == first
    os.utime(folder.file(source), ns=(1, 1))
    edited = fingerprint(source)
    assert edited != first
    assert fingerprint(PluginSource("acme", source.value, "acme-dist", "1.1")) != edited


@pytest.mark.parametrize("name", ["catalogue.json", "data/rows.yaml", "deep/er/code.py"])
def test_a_fingerprint_sees_every_file_of_a_package_but_bytecode(folder: Folder, name: str) -> None:
    package = folder.path / f"package_{len(name)}"
    (package / name).parent.mkdir(parents=True)
    (package / "__init__.py").touch()
    source = PluginSource("acme", f"{package.name}.plugin:it [extra]", "acme", "1")
    first = fingerprint(source)
    (package / "x.pyc").touch()
    assert fingerprint(source) == first
    (package / name).touch()
    assert fingerprint(source) != first


def test_a_plugin_answers_only_the_hooks_that_it_implements(folder: Folder) -> None:
    plugin = Plugin(folder.good("acme", "net"))
    assert [spec.name for spec in plugin.call("zoo_backbones")] == ["net"]
    assert plugin.implements("zoo_backbones")
    assert plugin.call("zoo_heads") is None
    assert not plugin.implements("zoo_heads")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import not_a_module_of_anybody", "its import raised ModuleNotFoundError: No module"),
        ("1 / 0", "its import raised ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(3)", "its import raised SystemExit: 3"),
        ("raise RuntimeError", "its import raised RuntimeError"),
        ("this is no python", "its import raised SyntaxError"),
        (
            "import zoo\n@zoo.hookimpl\ndef zoo_backbone(): return []",
            "zoo_backbone; did you mean zoo_backbones?",
        ),
        (
            "import zoo\n@zoo.hookimpl\ndef zoo_backbones(registry): return []",
            "its registration raised PluginValidationError",
        ),
        ("def zoo_backbones(): return []", "@zoo.hookimpl"),
    ],
)
def test_a_broken_plugin_reports_why(folder: Folder, code: str, reason: str) -> None:
    with pytest.raises(PluginError) as caught:
        Plugin(folder.plugin("acme", code))
    assert reason in caught.value.message


def test_an_entry_point_without_its_attribute_says_so(folder: Folder) -> None:
    source = folder.good("acme", "net")
    with pytest.raises(PluginError, match="AttributeError"):
        Plugin(PluginSource("acme", f"{source.value}:absent", "acme", "1"))


def test_what_a_plugin_prints_is_kept_off_standard_output(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    source = folder.good("acme", "net", extra="print('hello from the import')")
    Plugin(source).call("zoo_backbones")
    assert capsys.readouterr() == ("", "hello from the import\n")


def test_a_plugins_message_to_the_user_is_passed_on(folder: Folder) -> None:
    code = """
    import zoo
    from zoo.errors import NameLookupError

    @zoo.hookimpl
    def zoo_resolve(name):
        raise NameLookupError(f"{name} is mine but wrong", hint="Write it differently.")
    """
    with pytest.raises(NameLookupError, match="acme/x"):
        Plugin(folder.plugin("acme", code)).call("zoo_resolve", name="acme/x")


def test_ctrl_c_inside_a_plugin_ends_the_command(folder: Folder) -> None:
    with pytest.raises(KeyboardInterrupt):
        Plugin(folder.plugin("acme", "raise KeyboardInterrupt"))


@pytest.mark.parametrize("code", ["while True: pass", "import time; time.sleep(100)"])
def test_a_hook_that_hangs_is_timed_out_and_the_plugin_named(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(time_limits, "SECONDS", 0.2)
    hangs = "import zoo\n@zoo.hookimpl\ndef zoo_backbones():\n    yield from ()\n    "
    endless = folder.plugin("endless", hangs + code)
    before = signal.getsignal(signal.SIGALRM)
    with pytest.warns(
        UserWarning, match="'endless' is ignored: zoo_backbones: no answer after 0.2"
    ):
        registry = Registry([endless, folder.good("good", "net")], Policy(), Index(tmp_path))
    assert registry.names() == ["good/net"]
    assert [(p.name, p.status) for p in registry.plugins()] == [
        ("endless", "broken"), ("good", "ok"),
    ]  # fmt: skip
    assert signal.getsignal(signal.SIGALRM) == before
    with pytest.raises(PluginTimeoutError, match=r"its import: no answer after 0\.2 s"):
        Plugin(folder.plugin("importing", code))


def test_what_may_take_minutes_has_no_limit() -> None:
    assert time_limits.seconds_for("zoo_sync") is None
    assert time_limits.seconds_for("the import of acme:command") is None
    assert time_limits.seconds_for("zoo_heads") == 30
    with time_limits.limited(100.0), time_limits.limited(0.01):
        time.sleep(0.02)  # the outer limit counts
