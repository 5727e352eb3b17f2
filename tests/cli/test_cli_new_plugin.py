"""``zoo new-plugin``: what it refuses; tests/end_to_end/test_third_party.py installs what it writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Zoo


@pytest.mark.parametrize("name", ["Acme", "a/b", "../up", "a b", ""])
def test_a_name_that_cannot_be_is_refused(name: str, zoo: Zoo, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    done = zoo("new-plugin", name)
    assert done.code == 1
    assert f"{name!r} is not a valid plugin name" in done.err
    assert "lower-case letters" in done.err
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["timm", "hf", "torchvision", "basics"])
def test_a_namespace_of_the_zoos_own_is_refused(name: str, zoo: Zoo, tmp_path: Path) -> None:
    done = zoo("new-plugin", name)
    assert (done.code, f"{name!r} is reserved" in done.err) == (1, True)
    assert f"my-{name}" in done.err
    assert not (tmp_path / f"zoo-{name}").exists()


def test_a_folder_that_is_there_stays_as_it_is(zoo: Zoo, tmp_path: Path) -> None:
    (tmp_path / "zoo-acme").mkdir()
    done = zoo("new-plugin", "acme")
    assert done.code == 1
    assert "zoo-acme already exists" in done.err
    assert list((tmp_path / "zoo-acme").iterdir()) == []


def test_a_plugin_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from zoo.errors import UsageError
    from zoo.testing.new_plugin import write_plugin

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UsageError, match="No space left on device"):
        write_plugin("acme", "image", tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())


def test_of_two_plugins_of_one_name_the_first_stays_whole(tmp_path: Path) -> None:
    from zoo.errors import UsageError
    from zoo.testing.new_plugin import write_plugin

    folder = write_plugin("acme", "image", tmp_path)
    files = sorted(folder.rglob("*"))
    with pytest.raises(UsageError, match="zoo-acme already exists"):
        write_plugin("acme", "image", tmp_path)
    assert sorted(folder.rglob("*")) == files
