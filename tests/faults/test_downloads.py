"""Downloads from hosts that cut, stall, send wrong bytes, refuse; and what is then on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from urllib.error import URLError

import pytest

from tests.faults.hosts import Host, up
from zoo import Weights
from zoo.errors import WeightsError, WeightsUnavailable
from zoo.system.files import sha256_of
from zoo.weights import downloads
from zoo.weights.first_hashes import first_hash, record_of
from zoo.weights.loading.load import fetch

CONTENT = bytes(range(256)) * 1000
OTHER = bytes(reversed(CONTENT))


@pytest.fixture(autouse=True)
def _short_waits_and_own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "zoo"))
    monkeypatch.setattr(downloads, "PAUSE", 0.001)
    monkeypatch.setattr(downloads, "STALL_SECONDS", 0.3)


@pytest.fixture
def host() -> Iterator[Host]:
    with up(Host({"net.pth": CONTENT})) as host:
        yield host


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where ``TORCH_HOME`` has the weights."""
    return tmp_path / "torch" / "hub" / "checkpoints"


def weights_at(host: Host, content: bytes | None = CONTENT, digits: int = 8) -> Weights:
    sha256 = hashlib.sha256(content).hexdigest()[:digits] if content is not None else ""
    return Weights(tag="V1", uri=f"{host.address}/net.pth", sha256=sha256)


def held(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


@pytest.mark.parametrize("digits", [0, 8, 64])
@pytest.mark.parametrize(
    ("script", "ranges", "asked"),
    [
        ([], True, ["whole"]),
        (["cut"], True, ["whole", "bytes=128000-"]),
        (["cut"], False, ["whole", "bytes=128000-"]),
        (["cut", "cut", "cut"], True, ["whole", "bytes=128000-", "bytes=192000-", "bytes=224000-"]),
        (["stall"], True, ["whole", "bytes=131072-"]),
        (["cut", "shifted"], True, ["whole", "bytes=128000-", "whole"]),
        (["500", "503", "502"], True, ["whole"] * 4),
        (["429 after 0"], True, ["whole"] * 2),
        (["cut", "416"], True, ["whole", "bytes=128000-", "whole"]),
    ],
)
def test_what_a_host_does_wrong_for_a_while_is_overcome(
    host: Host,
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    script: list[str],
    ranges: bool,
    asked: list[str],
    digits: int,
) -> None:
    host.script, host.ranges = list(script), ranges
    weights = weights_at(host, digits=digits)
    path = fetch(weights)
    assert path == folder / "net.pth"
    assert path.read_bytes() == CONTENT
    assert host.asked == asked
    assert held(folder) == {"net.pth"}
    assert first_hash(weights.uri) == hashlib.sha256(CONTENT).hexdigest()
    said = capfd.readouterr().err
    assert said.count("retrying in") == len(script)
    assert fetch(weights) == path
    assert host.asked == asked  # from the cache


@pytest.mark.parametrize(
    ("act", "words", "advice"),
    [
        ("404", r"has no file at http.*net.pth \(404\)", "zoo show NAME"),
        ("410", r"\(410\)", "--weights PATH"),
        ("403", r"denied access .*\(403\)", "copy it to "),
        ("451", r"rejected .*\(451 ", "copy it to "),
        ("429 after 7200", "too many requests", "Try again in 120 minutes"),
        ("429 after a date", "too many requests", "Try again in 120 minutes"),
        ("204", "status 204", ""),
        ("html", "is a web page", "login"),
    ],
)
def test_an_answer_that_will_not_change_is_said_at_once(
    host: Host, folder: Path, act: str, words: str, advice: str
) -> None:
    # Half a minute less, so that it rounds up to 120 minutes however slow the test is.
    date = formatdate(time.time() + 7200 - 30, usegmt=True)
    host.script = [act.replace("a date", date)]
    with pytest.raises(WeightsError, match=words) as error:
        fetch(weights_at(host))
    assert advice in error.value.hint
    assert len(host.asked) == 1
    assert not held(folder)


@pytest.mark.parametrize(
    ("act", "words", "advice"),
    [
        ("500", r"\(500 ", "Try again later"),
        ("429", r"too many requests \(429\)", "Try again later"),
        ("cut", "240,000 of 256,000 bytes", "resume"),
    ],
)
def test_a_host_that_does_not_recover_is_given_up_after_four_tries(
    host: Host, folder: Path, act: str, words: str, advice: str
) -> None:
    host.script = [act] * 9
    with pytest.raises(WeightsError, match=words) as error:
        fetch(weights_at(host))
    assert advice in error.value.hint
    assert len(host.asked) == downloads.TRIES
    assert not (folder / "net.pth").exists()


def test_a_host_that_sends_nothing_is_given_up(host: Host, folder: Path) -> None:
    host.script = ["silent"] * 9
    began = time.perf_counter()
    with pytest.raises(WeightsError, match=r"0\.3"):
        fetch(weights_at(host))
    assert time.perf_counter() - began < 4


def test_the_next_start_continues_what_was_cut(host: Host, folder: Path) -> None:
    host.script = ["cut", *["500"] * 3]
    with pytest.raises(WeightsError):
        fetch(weights_at(host))
    assert held(folder) == {"net.pth.part", "net.pth.part.json"}
    host.asked.clear()
    assert fetch(weights_at(host)).read_bytes() == CONTENT
    assert host.asked == ["bytes=128000-"]


def test_a_download_that_was_killed_before_its_new_name_is_not_fetched_twice(
    host: Host, folder: Path
) -> None:
    host.script = ["cut", *["500"] * 3]
    with pytest.raises(WeightsError):
        fetch(weights_at(host))
    (folder / "net.pth.part").write_bytes(CONTENT)
    host.asked.clear()
    assert fetch(weights_at(host)).read_bytes() == CONTENT
    assert host.asked == []


@pytest.mark.parametrize("tags", [True, False])
def test_the_rest_of_another_file_is_not_put_behind_a_part(
    host: Host, folder: Path, tags: bool
) -> None:
    host.script, host.tags = ["cut", *["500"] * 3], tags
    with pytest.raises(WeightsError):
        fetch(weights_at(host, None))
    host.files = {"net.pth": OTHER}
    assert fetch(weights_at(host, None)).read_bytes() == OTHER  # with no digits to find it out


@pytest.mark.parametrize("part", [b"else" * 1000, CONTENT + b"more"])
def test_a_part_that_was_damaged_is_begun_again(host: Host, folder: Path, part: bytes) -> None:
    host.script = ["cut", *["500"] * 3]
    with pytest.raises(WeightsError):
        fetch(weights_at(host))
    (folder / "net.pth.part").write_bytes(part)
    assert fetch(weights_at(host)).read_bytes() == CONTENT
    (folder / "net.pth").unlink()
    (folder / "net.pth.part").write_bytes(part)
    (folder / "net.pth.part.json").write_text("{half a")
    assert fetch(weights_at(host)).read_bytes() == CONTENT


@pytest.mark.parametrize("digits", [8, 64])
def test_a_wrong_file_is_deleted_and_named(host: Host, folder: Path, digits: int) -> None:
    host.script = ["wrong"] * 9
    with pytest.raises(WeightsError, match=r"net\.pth"):
        fetch(weights_at(host, digits=digits))
    assert len(host.asked) == 1
    assert held(folder) <= {"net.pth.part.json"}
    assert first_hash(weights_at(host).uri) == ""


def test_a_file_that_ends_early_without_a_length_is_not_loaded(host: Host, folder: Path) -> None:
    host.lengths, host.script = False, ["cut"]
    with pytest.raises(WeightsError, match="sha256"):
        fetch(weights_at(host))
    assert fetch(weights_at(host)).read_bytes() == CONTENT


def test_every_later_file_must_be_the_first(host: Host, folder: Path) -> None:
    weights = weights_at(host, None)
    path = fetch(weights)
    host.files = {"net.pth": OTHER}
    path.unlink()
    with pytest.raises(WeightsError, match="was deleted") as error:
        fetch(weights)
    record = record_of(weights.uri)
    assert str(record) in error.value.hint
    assert not path.exists()
    assert json.loads(record.read_text())["url"] == weights.uri
    path.write_bytes(OTHER)
    with pytest.raises(WeightsError, match="has changed since") as error:
        fetch(weights)
    assert path.read_bytes() == OTHER  # there is no published hash that it could break
    assert str(record) in error.value.hint
    record.unlink()
    assert fetch(weights) == path


def test_a_pin_goes_before_the_first_hash_and_costs_nobody_a_whole_file(
    host: Host, folder: Path
) -> None:
    path = fetch(weights_at(host))
    host.files = {"net.pth": OTHER}
    pinned = weights_at(host, OTHER, 64)
    with pytest.raises(WeightsError, match="not the pinned or published file") as error:
        fetch(pinned)
    assert "Correct the pin in registry.toml" in error.value.hint
    assert path.read_bytes() == CONTENT
    path.unlink()
    assert fetch(pinned).read_bytes() == OTHER
    assert first_hash(pinned.uri) == pinned.sha256
    path.write_bytes(OTHER[:1000])
    assert fetch(pinned).read_bytes() == OTHER
    path.unlink()
    host.files = {"net.pth": CONTENT}
    with pytest.raises(WeightsError, match="was deleted") as error:
        fetch(pinned)
    assert "correct the pin" in error.value.hint


def test_a_damaged_file_in_the_cache_is_deleted_named_and_fetched_again(
    host: Host, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = fetch(weights_at(host))
    path.write_bytes(CONTENT[:1000])
    assert fetch(weights_at(host)).read_bytes() == CONTENT
    assert f"deleted {path}" in capfd.readouterr().err
    path.write_bytes(CONTENT[:1000])
    gone = Weights(tag="V1", uri="http://127.0.0.1:9/net.pth", sha256=weights_at(host).sha256)
    with pytest.raises(WeightsUnavailable, match="were damaged"):
        fetch(gone)
    assert not path.exists()


def test_two_at_once_download_once(
    host: Host, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    host.pace = 0.2  # 0.8 s for the file
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(fetch(weights_at(host)))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [folder / "net.pth"] * 2
    assert host.asked == ["whole"]
    assert "Another process is downloading" in capfd.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_full_disk_is_named(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "_CHUNK", 1 << 16)
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "net.pth.part").symlink_to("/dev/full")
    with pytest.raises(WeightsError, match=r"No space left") as error:
        fetch(weights_at(host))
    assert "TORCH_HOME" in error.value.hint


def test_a_folder_that_cannot_be_is_named(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", "/dev/null/torch")
    with pytest.raises(WeightsError, match=r"/dev/null/torch/hub") as error:
        fetch(weights_at(host))
    assert "set TORCH_HOME" in error.value.hint


def test_an_old_file_is_read_once_a_process_and_again_when_it_changes(
    host: Host, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetch(weights_at(host))
    read: list[Path] = []
    monkeypatch.setattr("zoo.system.files._RACY", 0)
    monkeypatch.setattr(
        "zoo.system.files.sha256_of", lambda path: read.append(path) or sha256_of(path)
    )
    for _ in range(3):
        fetch(weights_at(host))
    assert read == [path]
    path.write_bytes(OTHER)
    os.utime(path, ns=(1, 1))  # the file system's clock may not have ticked since
    assert fetch(weights_at(host)).read_bytes() == CONTENT
    assert len(read) == 2


def test_cached_weights_are_read_where_nothing_can_be_written(
    host: Host, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetch(weights_at(host))
    monkeypatch.setenv("ZOO_CACHE", "/dev/null/zoo")
    with pytest.warns(UserWarning, match=r"/dev/null/zoo/first-hash"):
        assert fetch(weights_at(host)) == path


def test_what_a_host_says_reaches_no_terminal_as_it_is(
    host: Host, capfd: pytest.CaptureFixture[str]
) -> None:
    host.script = ["500 saying \x1b[31mred\x9b2J\xad"]
    fetch(weights_at(host))
    assert "(500 [31mred2J); retrying" in capfd.readouterr().err


def test_a_terminal_shows_a_bar(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    ours, theirs = os.openpty()
    with open(ours, "rb", buffering=0) as shown, open(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        fetch(weights_at(host))
        terminal.flush()
        text = shown.read(1 << 16).decode()
    assert "net.pth" in text
    assert "256.0/256.0 kB" in text


@pytest.mark.long
def test_a_kill_leaves_nothing_or_the_whole_file_and_the_next_start_works(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.downloads", "--kills", "15"],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("15 kills, ")
    assert done.stdout.endswith(" 0 lost\n")


def test_a_certificate_that_nobody_vouches_for_is_reported(tmp_path: Path) -> None:
    refused = ssl.SSLCertVerificationError(1, "certificate verify failed")
    refused.verify_message = "self-signed certificate"
    with pytest.raises(WeightsError, match="h: self-signed") as error:
        downloads._connection_error("https://h/net.pth", URLError(refused))
    assert "SSL_CERT_FILE" in error.value.hint
