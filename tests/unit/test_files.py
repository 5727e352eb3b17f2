"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.system import files


def test_text_is_written_and_replaced_without_leftovers(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "file.json"
    files.write_text(path, "één\n")
    files.write_text(path, "zwei\r\n")
    assert path.read_bytes() == b"zwei\r\n"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "file.txt"
    files.write_text(path, "old")

    def fail() -> None:
        with files.replacing(path) as temporary:
            temporary.write_text("half of the n")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_meets_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    files.write_text(path, "old")
    with files.replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.suffix == ".txt", "writers choose the format by it"
        assert temporary.parent == path.parent, "a rename works within one file system only"
    assert path.read_text() == "new"


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_the_file_has_the_permissions_that_the_user_wants(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_text(tmp_path / "file", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        files.write_text(tmp_path / "file" / "below", "x")


def test_everybody_may_read_whom_the_user_lets(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with files.replacing(tmp_path / "file.txt") as temporary:
            private = temporary.with_name("private")
            private.write_text("a library's own file")
            private.chmod(0o600)
            private.replace(temporary)
    finally:
        os.umask(before)
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == 0o644


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


@pytest.mark.parametrize(
    "special", [_pipe, lambda _: Path("/dev/zero"), lambda _: Path("/dev/null")]
)
def test_a_pipe_or_a_device_is_refused_at_once_and_never_read(
    tmp_path: Path, special: Callable[[Path], Path]
) -> None:
    link = tmp_path / "link"
    link.symlink_to(special(tmp_path))
    for opens in (files.open_regular, files.require_regular, files.sha256_of):
        with pytest.raises(OSError, match="not a regular file"):
            opens(link)


def test_a_file_is_read_up_to_its_limit_and_refused_above_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert files.read_regular(tmp_path / "file", limit=5) == b"12345"
    assert files.read_regular(tmp_path / "file", limit=2**60) == b"12345"  # no memory for the limit
    (tmp_path / "long").write_bytes(bytes(range(256)) * 3000)
    assert files.read_regular(tmp_path / "long", limit=2**20) == bytes(range(256)) * 3000
    with pytest.raises(OSError, match="5 bytes, and at most 4") as caught:
        files.read_regular(tmp_path / "file", limit=4)
    assert caught.value.errno == errno.EFBIG
    with pytest.raises(IsADirectoryError):
        files.open_regular(tmp_path)


def test_a_file_that_says_it_is_empty_and_is_not_is_bounded_too() -> None:
    if not Path("/proc/self/maps").is_file():
        pytest.skip("only Linux has files whose size is not known before they are read")
    with pytest.raises(OSError, match="at most 10 are read"):
        files.read_regular("/proc/self/maps", limit=10)
