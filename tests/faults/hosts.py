"""Hosts on the loopback that misbehave as they are told: one of files, and one that speaks as the Hub."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Host:
    """What a host has, and how it behaves.

    Attributes:
        files: Contents by path, e.g. ``{"net.pth": b"…"}``.
        script: What it does with the next requests for content, one each, then behaves well:
            ``cut`` half-way, ``stall`` half-way, ``silent`` from the start, ``wrong`` bytes, ``html``, ``shifted`` (another
            piece than was asked for), ``429``, ``429 after 0``, ``500 saying OH`` or any other status.
        ranges: Whether it gives a piece of a file.
        tags: Whether it says an ``ETag``.
        lengths: Whether it says a ``Content-Length``.
        pace: Seconds that it rests after every 64 kB.
        down: A status that it answers everything with, whatever the script; 0 if it is up.
        asked: The ``Range`` of every request for content that it has had, or ``whole``.
        address: ``http://127.0.0.1:PORT``, once it is up.
    """

    files: Mapping[str, bytes]
    script: list[str] = field(default_factory=list)
    ranges: bool = True
    tags: bool = True
    lengths: bool = True
    pace: float = 0.0
    down: int = 0
    asked: list[str] = field(default_factory=list)
    address: str = ""
    closing: threading.Event = field(default_factory=threading.Event)

    def document(self, path: str) -> bytes | None:
        """An answer that is not the content of a file; none for a plain host."""
        return None

    def content(self, path: str) -> bytes | None:
        """The file that a path names."""
        return self.files.get(path.lstrip("/"))

    def headers(self, path: str, content: bytes) -> dict[str, str]:
        """What is said of a file."""
        return {"ETag": f'"{hashlib.md5(content).hexdigest()}"'} if self.tags else {}

    def refusal(self, path: str, code: int) -> dict[str, str]:
        """What is said beside a status of 4xx or 5xx."""
        return {}

    def receive(self, path: str, token: str, body: bytes) -> tuple[int, object]:
        """The status and the document that a POST or PUT is answered with; a plain host has none."""
        return 404, {}


@dataclass
class Hub(Host):
    """As the Hub speaks; ``files`` are by ``org/name/file``. What ends in ``.json`` is not large."""

    def document(self, path: str) -> bytes | None:
        """What ``/api/models`` says of a repository."""
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/\w+|/tree/\w+)?", path)
        if found is None:
            return None
        inside = {
            name.removeprefix(f"{found[1]}/"): content
            for name, content in self.files.items()
            if name.startswith(f"{found[1]}/")
        }
        if not inside:
            return None
        if (found[2] or "").startswith("/tree"):
            return json.dumps([_entry(name, content) for name, content in inside.items()]).encode()
        siblings = [{"rfilename": name} for name in inside]
        return json.dumps({"id": found[1], "sha": COMMIT, "siblings": siblings}).encode()

    def content(self, path: str) -> bytes | None:
        """The file of a repository that ``…/resolve/…`` names."""
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/\w+/(.+)", path)
        return self.files.get(f"{found[1]}/{found[2]}") if found else None

    def headers(self, path: str, content: bytes) -> dict[str, str]:
        """The commit, and the hash: git's of a small file, sha256 of a large one."""
        said = {"X-Repo-Commit": COMMIT, "ETag": f'"{git_hash(content)}"'}
        if not path.endswith(".json"):
            said["X-Linked-Etag"] = f'"{hashlib.sha256(content).hexdigest()}"'
            said["X-Linked-Size"] = str(len(content))
        return said

    def refusal(self, path: str, code: int) -> dict[str, str]:
        """The Hub's word for what is missing, which its client goes by."""
        repo = "/".join(path.removeprefix("/api/models").split("/")[1:3])
        there = any(name.startswith(f"{repo}/") for name in self.files)
        words = {401: "RepoNotFound", 403: "GatedRepo", 404: "EntryNotFound"}
        word = "RepoNotFound" if code == 404 and not there else words.get(code)
        return {"X-Error-Code": word} if word else {}


@dataclass
class WritableHub(Hub):
    """A Hub that takes repositories and files from whoever has its token.

    Attributes:
        token: The only one that it knows.
        repos: Those that are there, and whether they are private.
        refuses: A status that it answers every request to make or write a repository with.
        heard: Paths of the requests that it has had with a body.
    """

    token: str = "hf_right"
    repos: dict[str, bool] = field(default_factory=dict)
    refuses: int = 0
    heard: list[str] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)

    def document(self, path: str) -> bytes | None:
        """As of a Hub, and of a repository that has no files yet; with who may see it."""
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)", path)
        if found is None or found[1] not in self.repos:
            return super().document(path)
        known = json.loads(super().document(path) or b"{}")
        return json.dumps({"id": found[1], **known, "private": self.repos[found[1]]}).encode()

    def receive(self, path: str, token: str, body: bytes) -> tuple[int, object]:
        """As the Hub's API: make a repository, say how files are sent, take them, commit them."""
        self.heard.append(path)
        if path.startswith("/objects/"):  # the address itself is the permission
            self.objects[path.removeprefix("/objects/")] = body
            return 200, {}
        if token != self.token:
            return 401, {"error": "Invalid username or password."}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if self.refuses:
            return self.refuses, {"error": f"the reason of a {self.refuses}"}
        if path == "/api/repos/create":
            return self._make(json.loads(body))
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main", path):
            act = self._announced if found[2] == "preupload" else self._committed
            return 200, act(found[1], body)
        if path.endswith(".git/info/lfs/objects/batch"):
            return 200, self._places(json.loads(body))
        return 404, {}

    def _make(self, asked: Mapping[str, str]) -> tuple[int, object]:
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.repos:
            return 409, {"error": "You already created this model repo", "url": name}
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.repos[name] = private
        return 200, {"url": f"{self.address}/{name}", "name": name, "private": private}

    def _announced(self, repo: str, body: bytes) -> object:
        large = (".safetensors",)
        return {
            "files": [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(large) else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
        }

    def _places(self, asked: Mapping[str, list[dict[str, object]]]) -> object:
        actions = [
            {**known, "actions": {"upload": {"href": f"{self.address}/objects/{known['oid']}"}}}
            for known in asked["objects"]
        ]
        return {"transfer": "basic", "objects": actions}

    def _committed(self, repo: str, body: bytes) -> object:
        added = {}
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                added[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                added[value["path"]] = self.objects[value["oid"]]
        self.files = {**self.files, **{f"{repo}/{name}": data for name, data in added.items()}}
        return {"commitUrl": f"{self.address}/{repo}/commit/{COMMIT}", "commitOid": COMMIT}


def git_hash(content: bytes) -> str:
    """The name that git gives a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _entry(name: str, content: bytes) -> dict[str, object]:
    entry: dict[str, object] = {
        "type": "file",
        "path": name,
        "size": len(content),
        "oid": git_hash(content),
    }
    if not name.endswith(".json"):
        digest = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
    return entry


class _Handler(BaseHTTPRequestHandler):
    host: Host

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def handle(self) -> None:
        """A client that is killed, or leaves, is no fault of the host's."""
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True

    def do_HEAD(self) -> None:
        path = urlsplit(self.path).path
        content = self.host.content(path)
        if content is None or self.host.down:
            self._refuse(str(self.host.down or 404))
            return
        self.send_response(200)
        self._say({**self.host.headers(path, content), "Content-Length": str(len(content))})

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if self.host.down:
            self._refuse(str(self.host.down))
            return
        document = self.host.document(path)
        if document is not None:
            self.send_response(200)
            self._say({"Content-Type": "application/json", "Content-Length": str(len(document))})
            self.wfile.write(document)
            return
        content = self.host.content(path)
        act = "404"
        if content is not None:
            self.host.asked.append(self.headers["Range"] or "whole")
            act = self.host.script.pop(0) if self.host.script else "well"
        if act == "silent":
            self.host.closing.wait()
        elif content is None or act[:3].isdecimal():
            self._refuse(act)
        else:
            self._send(path, content, act)

    def do_POST(self) -> None:
        self._receive()

    def do_PUT(self) -> None:
        self._receive()

    def _receive(self) -> None:
        """Take all that is sent, and answer with a document."""
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        token = (self.headers["Authorization"] or "").removeprefix("Bearer ")
        status, answer = self.host.receive(urlsplit(self.path).path, token, body)
        document = json.dumps(answer).encode()
        self.send_response(status)
        self._say({"Content-Type": "application/json", "Content-Length": str(len(document))})
        self.wfile.write(document)

    def _refuse(self, act: str) -> None:
        status, _, wait = act.partition(" after ")
        code, _, words = status.partition(" saying ")
        self.send_response(int(code), words or None)
        said = {"Content-Length": "0", **self.host.refusal(urlsplit(self.path).path, int(code))}
        self._say(said | ({"Retry-After": wait} if wait else {}))

    def _send(self, path: str, content: bytes, act: str) -> None:
        said = self.host.headers(path, content)
        begin = self._wanted(said.get("ETag", ""))
        if begin and begin >= len(content):
            self._refuse("416")
            return
        body = content[begin:] if act != "wrong" else bytes(len(content) - begin)
        self.send_response(206 if begin else 200)
        if begin:
            shown = begin + (act == "shifted")
            said["Content-Range"] = f"bytes {shown}-{len(content) - 1}/{len(content)}"
        if self.host.lengths:
            said["Content-Length"] = str(len(body))
        self._say(said | ({"Content-Type": "text/html"} if act == "html" else {}))
        for start in range(
            0, len(body) if act not in ("cut", "stall") else len(body) // 2, 1 << 16
        ):
            stop = start + (1 << 16)
            self.wfile.write(body[start : stop if act != "cut" else min(stop, len(body) // 2)])
            time.sleep(self.host.pace)
        if act == "stall":
            self.host.closing.wait()

    def _wanted(self, tag: str) -> int:
        """The first byte that is asked for, where the host gives pieces and the file is that one."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        if not found or not self.host.ranges or self.headers["If-Range"] not in (None, tag):
            return 0
        return int(found[1])

    def _say(self, headers: Mapping[str, str]) -> None:
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@contextmanager
def up(host: Host) -> Iterator[Host]:
    """The host at its ``address``, until the block ends."""
    handler = type("Handler", (_Handler,), {"host": host})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    host.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield host
    finally:
        host.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def only_hub(hub: Hub, patch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The Hub that the client of this process knows, until the block ends."""
    from huggingface_hub import constants

    with up(hub):
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE
        template = template.replace(constants.ENDPOINT, hub.address, 1)
        patch.setattr(constants, "ENDPOINT", hub.address)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield hub
