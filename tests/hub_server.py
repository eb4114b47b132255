"""A small hub on loopback for the real client: listings, redirects to another server, etags, ranges, and mistakes.

It speaks as much of the hub's protocol as a download needs: ``/api/models/.../revision/...``, ``/.../resolve/...``
that redirects large files to a second server (another origin, as the hub's own storage is), and the headers by which
the client tells errors apart.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

LARGE = (".safetensors", ".bin")
"""Endings of files that are stored apart, with their SHA-256 as the etag; the rest has git's hash."""


@dataclass
class Request:
    """One request that came in.

    Attributes:
        where: ``hub`` or ``storage``.
        method: of HTTP.
        path: without the address.
        range: its header, or None.
        authorized: whether it carried a token.

    """

    where: str
    method: str
    path: str
    range: str | None
    authorized: bool


@dataclass
class Answer:
    """A mistake to answer with instead of what is right.

    Attributes:
        status: of HTTP.
        headers: of the answer.
        times: how often; then all is well. -1: always.

    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    times: int = -1


@dataclass
class HubServer:
    """What the hub has and does; tests change it.

    Attributes:
        endpoint: address for ``HF_ENDPOINT``.
        repos: id -> folder; that of a data set begins with ``datasets/``.
        branches: branch -> commit, of every repository.
        commits: commit -> file name -> bytes, where a commit has other content than the folder.
        tokens: those that see gated repositories.
        gated: ids that need one of them.
        mistakes: the end of a path -> how requests for it fail; ``listing`` for that of a repository.
        cut: file name -> bytes after which its connection breaks, once.
        hold: file name -> bytes after which nothing comes any more, once.
        sizes: file name -> a wrong size to tell.
        hashes: file name -> a wrong SHA-256 to tell.
        ignore_ranges: whether the storage sends all of a file whatever was asked for.
        lengthless: whether the storage tells no length: its answers end with the connection.
        requests: all that came in.
        sent: bytes of files that the storage sent.

    """

    endpoint: str = ""
    storage: str = ""
    repos: dict[str, Path] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=lambda: {"main": "a1" * 20})
    tokens: set[str] = field(default_factory=set)
    gated: set[str] = field(default_factory=set)
    mistakes: dict[str, Answer] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    hold: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    ignore_ranges: bool = False
    lengthless: bool = False
    requests: list[Request] = field(default_factory=list)
    sent: int = 0

    def asked(self, ending: str = "", method: str = "GET", where: str | None = None) -> list[Request]:
        """Return the requests of a method whose path ends so."""
        return [
            r
            for r in self.requests
            if r.method == method and r.path.endswith(ending) and where in (None, r.where) and "harnesses" not in r.path
        ]

    def mistake(self, key: str) -> Answer | None:
        """Return how the next request for something fails, if it does."""
        answer = self.mistakes.get(key)
        if answer is None or answer.times == 0:
            return None
        answer.times -= 1
        return answer

    def listing(self, repo: str, commit: str) -> dict[str, Any]:
        """Return what the hub tells of a repository."""
        siblings = []
        for path in sorted(self.repos[repo].rglob("*")):
            if path.is_file():
                name, content = str(path.relative_to(self.repos[repo])), path.read_bytes()
                entry: dict[str, Any] = {"rfilename": name, "size": self.sizes.get(name, len(content))}
                entry["blobId"] = git_sha1(content)
                if name.endswith(LARGE):
                    sha256 = self.hashes.get(name, hashlib.sha256(content).hexdigest())
                    entry["lfs"] = {"sha256": sha256, "size": entry["size"], "pointerSize": 134}
                siblings.append(entry)
        gated = "manual" if repo in self.gated else False
        return {
            "_id": "0", "id": repo, "modelId": repo, "sha": commit, "private": False, "gated": gated, "disabled": False,
            "tags": [], "downloads": 0, "likes": 0, "siblings": siblings, "cardData": {"license": "apache-2.0"},
            "createdAt": "2024-01-01T00:00:00.000Z", "lastModified": "2024-01-01T00:00:00.000Z",
        }  # fmt: skip


def git_sha1(content: bytes) -> str:
    """Return git's hash of a file, the etag of a small one."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@contextmanager
def serve_hub() -> Iterator[HubServer]:
    """Run a hub and its storage on two ports of this machine until the block ends."""
    hub = HubServer()
    servers = [
        ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub, where, answer))
        for where, answer in (("hub", _answer_hub), ("storage", _answer_storage))
    ]
    hub.endpoint, hub.storage = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    threads = [threading.Thread(target=server.serve_forever, daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()


def _handler(hub: HubServer, where: str, answer: Callable[[HubServer, Any], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = self.headers
            token = asked.get("Authorization", "").removeprefix("Bearer ")
            hub.requests.append(Request(where, self.command, unquote(self.path), asked.get("Range"), bool(token)))
            self.token = token
            answer(hub, self)

        do_HEAD = do_GET

        def send(self, status: int, headers: dict[str, str] | None = None, content: bytes = b"") -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _answer_hub(hub: HubServer, request: Any) -> None:
    path = unquote(request.path).split("?")[0]
    if path.startswith(("/api/models/", "/api/datasets/")):
        # A data set's id begins with `datasets/` here.
        repo, _, revision = path.removeprefix("/api/").removeprefix("models/").partition("/revision/")
        if _refused(hub, request, repo, revision, "listing"):
            return
        content = json.dumps(hub.listing(repo, hub.branches.get(revision, revision))).encode()
        request.send(200, {"Content-Type": "application/json"}, content)
        return
    repo, _, rest = path.strip("/").partition("/resolve/")
    revision, _, name = rest.partition("/")
    if not rest or _refused(hub, request, repo, revision, name):
        return None if rest else request.send(404)
    if repo in hub.gated and request.token not in hub.tokens:
        request.send(
            403 if request.token else 401,
            {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to model is restricted"},
        )
        return
    file = hub.repos[repo] / name
    if not file.is_file():
        request.send(404, {"X-Error-Code": "EntryNotFound"})
        return
    content = file.read_bytes()
    headers = {"X-Repo-Commit": hub.branches.get(revision, revision)}
    if name.endswith(LARGE):
        sha256 = hub.hashes.get(name, hashlib.sha256(content).hexdigest())
        headers |= {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(hub.sizes.get(name, len(content)))}
        request.send(302, headers | {"Location": f"{hub.storage}/{repo}/{name}?signature=secret-of-the-storage"})
        return
    headers |= {"ETag": f'"{git_sha1(content)}"', "Content-Length": str(len(content))}
    request.send(200, headers, content)


def _refused(hub: HubServer, request: Any, repo: str, revision: str, what: str) -> bool:
    """Answer with a mistake, where there is one to make."""
    if mistake := hub.mistake(what):
        request.send(mistake.status, mistake.headers)
    elif repo not in hub.repos:
        # Who is not logged in is not told whether it exists.
        code, status = ("RepoNotFound", 404) if request.token else ("", 401)
        request.send(status, {"X-Error-Code": code} if code else {"X-Error-Message": "Invalid username or password."})
    elif revision not in {*hub.branches, *hub.branches.values()}:
        request.send(404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": f"Invalid rev id: {revision}"})
    else:
        return False
    return True


def _answer_storage(hub: HubServer, request: Any) -> None:
    name = unquote(request.path).split("?")[0].rsplit("/", 1)[-1]
    repo = unquote(request.path).split("?")[0].strip("/").rsplit("/", 1)[0]
    if mistake := hub.mistake(f"storage/{name}"):
        request.send(mistake.status, mistake.headers)
        return
    content, begin = (hub.repos[repo] / name).read_bytes(), 0
    if (asked := request.headers.get("Range")) and not hub.ignore_ranges:
        begin = int(asked.removeprefix("bytes=").rstrip("-"))
        if begin >= len(content):
            request.send(416, {"Content-Range": f"bytes */{len(content)}"})
            return
    send = content[begin:]
    request.send_response(206 if begin else 200)
    if begin:
        request.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
    request.send_header(*(("Connection", "close") if hub.lengthless else ("Content-Length", str(len(send)))))
    request.end_headers()
    if (held := hub.hold.pop(name, None)) is not None:
        hub.sent += held
        request.wfile.write(send[:held])
        request.wfile.flush()
        request.connection.recv(1)  # until the client goes
        request.close_connection = True
        return
    if (cut := hub.cut.pop(name, None)) is not None:
        hub.sent += cut
        request.wfile.write(send[:cut])
        request.wfile.flush()
        request.close_connection = True
        request.connection.close()
        return
    if request.command != "HEAD":
        hub.sent += len(send)
    request.wfile.write(send)
