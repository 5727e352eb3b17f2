"""``zoo download``, from a server on this machine."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.cli.conftest import Zoo

CONTENT = b"as if these were parameters" * 1000


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """The address of a server that has ``tiny.pth``."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "tiny.pth").write_bytes(CONTENT)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Silent, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def published(install: Callable[..., Path], host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin with weights there: right ones, ones whose hash is another, and ones that are gone."""
    right = hashlib.sha256(CONTENT).hexdigest()
    monkeypatch.setenv("ZOO_PLUGINS", "acme")
    install(
        "acme",
        f"""
        import zoo
        from zoo import BackboneSpec, ImageInput, Weights

        def spec(name, file, sha256):
            weights = Weights(tag="v1", uri="{host}/" + file, sha256=sha256, default=True)
            return BackboneSpec(
                name=name, modality="image", feature_dim=8, params=100, input=ImageInput(size=32),
                loader="nowhere:load", weights=(weights,) if file else (),
            )

        @zoo.hookimpl
        def zoo_backbones():
            return [
                spec("right", "tiny.pth", "{right[:8]}"), spec("wrong", "tiny.pth", "00000000"),
                spec("gone", "gone.pth", ""), spec("bare", "", ""),
            ]
        """,
    )


def test_weights_are_fetched_once_and_found_without_a_network(
    zoo: Zoo, published: None, host: str, tmp_path: Path
) -> None:
    (row,) = zoo("download", "right", "--json").document
    assert Path(row["path"]).read_bytes() == CONTENT
    assert Path(row["path"]).is_relative_to(tmp_path / "TORCH_HOME")
    assert (row["name"], row["weights"], row["bytes"]) == ("acme/right", "v1", len(CONTENT))
    (tmp_path / "served" / "tiny.pth").unlink()
    again = zoo("download", "acme/right.v1")
    assert again.code == 0, again.err
    assert again.out.splitlines()[1].split() == ["acme/right", "v1", "27", "kB", row["path"]]


def test_what_cannot_be_had_is_told_and_the_others_are_fetched(
    zoo: Zoo, published: None, tmp_path: Path
) -> None:
    done = zoo("download", "wrong", "gone", "bare", "right", "nosuch")
    assert done.code == 1
    assert [line.split()[:2] for line in done.out.splitlines()[1:]] == [
        ["acme/bare", "none"],
        ["acme/right", "v1"],
    ]
    assert "Error: wrong: downloading" in done.err
    assert "Error: gone: downloading" in done.err
    assert "Error: nosuch: no backbone is called 'nosuch'" in done.err
    held = {path.name for path in (tmp_path / "TORCH_HOME").rglob("*") if path.is_file()}
    assert {name for name in held if not name.endswith(".lock")} == {"tiny.pth"}
