"""Compiled code is kept where nobody else can put any."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from zoo.engine.compiled import compile_cache
from zoo.errors import UsageError
from zoo.system.paths import COMPILED
from zoo.system.private_folders import require_private


def test_a_new_folder_is_the_users_alone(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    before = os.umask(0)
    try:
        require_private(tmp_path / "cache" / "compiled")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "cache" / "compiled").stat().st_mode) == 0o700


def test_an_own_folder_that_others_may_only_read_is_closed(tmp_path: Path) -> None:
    (tmp_path / "compiled").mkdir(mode=0o755)
    require_private(tmp_path / "compiled")
    assert stat.S_IMODE((tmp_path / "compiled").stat().st_mode) == 0o700


@pytest.mark.parametrize("fault", ["link", "group", "all", "owner", "parent"])
def test_a_folder_that_others_could_have_put_code_into_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    folder = tmp_path / "open" / "compiled"
    folder.mkdir(parents=True, mode=0o700)
    reason = "may be written by others"
    if fault == "link":
        folder.rmdir()
        (tmp_path / "theirs").mkdir()
        folder.symlink_to(tmp_path / "theirs")
        reason = "is a link"
    elif fault == "owner":
        monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
        reason = f"the id {folder.stat().st_uid}"
    elif fault == "parent":
        folder.parent.chmod(0o777)
        reason = str(folder.parent)
    else:
        folder.chmod({"group": 0o770, "all": 0o707}[fault])
    with pytest.raises(UsageError, match=reason):
        require_private(folder)


def test_everything_that_is_compiled_lies_in_the_private_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._inductor import codecache

    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    headers = codecache._HEADER_DIR
    with compile_cache():
        assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / COMPILED)
        assert Path(codecache._HEADER_DIR).parent == tmp_path / COMPILED
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ
    assert headers == codecache._HEADER_DIR

    (tmp_path / "file").touch()  # a cache that cannot be written: a new folder, none to foresee
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file"))
    with compile_cache() as folder:
        assert str(folder) == os.environ["TORCHINDUCTOR_CACHE_DIR"]
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert not list(folder.iterdir())
    assert not folder.exists()
