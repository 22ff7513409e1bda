"""A small server that speaks as much of the Hugging Face hub's language as one download and one upload need.

Endpoints as huggingface_hub 2.4 calls them: a listing and files by commit; creating a repository, asking how to
send each file, one commit. Files are sent inside the commit, never to the hub's store of large files.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c" * 40
NEW_COMMIT = "d" * 40
TOKEN = "hf_" + "aToken" * 5


@dataclass
class FakeHub:
    """What the server holds, and what it was told.

    ``files`` by name; ``large`` are listed with their sha256, as the hub does
    with those it keeps apart. ``requests`` are (method, path, token given).
    """

    files: dict[str, bytes] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)
    private: bool | None = None
    damaged: set[str] = field(default_factory=set)
    created: dict[str, Any] | None = None
    pushed: dict[str, bytes] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    url: str = ""

    def etag(self, name: str) -> str:
        """The name under which the hub and its cache keep a file: sha256 of large ones, git's of others."""
        content = self.files[name]
        if name in self.large:
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def tree(self) -> list[dict[str, Any]]:
        rows = []
        for name, content in self.files.items():
            row: dict[str, Any] = {"type": "file", "oid": "0" * 40, "size": len(content), "path": name}
            if name in self.large:
                row["lfs"] = {"oid": self.etag(name), "size": len(content), "pointerSize": 130}
            rows.append(row)
        return rows


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

        def _answer(self, code: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(code)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _json(self, value: Any, code: int = 200) -> None:
            self._answer(code, json.dumps(value).encode(), Content_Type="application/json")

        def _path(self) -> str:
            path = unquote(urlsplit(self.path).path)
            given = self.headers.get("Authorization")
            hub.requests.append((self.command, path, given.removeprefix("Bearer ") if given else None))
            return path

        def _name(self, body: bytes) -> str:
            asked = json.loads(body)
            return f"{asked['organization']}/{asked['name']}"

        def _file(self, path: str) -> None:
            name = path.split(f"/resolve/{COMMIT}/", 1)[1]
            if name not in hub.files:
                self._answer(404, X_Error_Code="EntryNotFound")
                return
            content = hub.files[name]
            if name in hub.damaged:
                content = content[:-1] + bytes([content[-1] ^ 1])
            tags = {"ETag": f'"{hub.etag(name)}"', "X_Repo_Commit": COMMIT}
            if name in hub.large:
                tags |= {"X_Linked_ETag": f'"{hub.etag(name)}"', "X_Linked_Size": str(len(content))}
            self._answer(200, content, **tags)

        def do_HEAD(self) -> None:
            self._file(self._path())

        def do_GET(self) -> None:
            path = self._path()
            if "/resolve/" in path:
                self._file(path)
            elif "/tree/" in path and path.split("/tree/")[1] not in (COMMIT, "main"):
                self._answer(404, X_Error_Code="RevisionNotFound")
            elif "/tree/" in path:
                self._json(hub.tree())
            elif hub.private is None:
                self._answer(404, X_Error_Code="RepoNotFound")
            else:
                siblings = [{"rfilename": name} for name in hub.files]
                name = path.removeprefix("/api/models/").split("/revision/")[0]
                self._json({"id": name, "sha": COMMIT, "private": hub.private, "siblings": siblings})

        def do_POST(self) -> None:
            path = self._path()
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hub.bodies.append(body)
            if path == "/api/repos/create":
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    self._json({"error": "Invalid user token."}, 401)
                elif hub.private is not None:
                    self._json(
                        {"error": "You already created this model repo", "url": f"{hub.url}/{self._name(body)}"}, 409
                    )
                else:
                    hub.created = json.loads(body)
                    hub.private = hub.created.get("visibility") == "private"
                    self._json({"url": f"{hub.url}/{self._name(body)}"})
            elif path == "/api/validate-yaml":
                self._json({"errors": [], "warnings": []})
            elif "/preupload/" in path:
                names = [one["path"] for one in json.loads(body)["files"]]
                self._json({"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]})
            elif "/commit/" in path:
                for line in body.splitlines():
                    row = json.loads(line)
                    if row["key"] == "header":
                        hub.messages.append(row["value"]["summary"])
                    elif row["key"] == "file":
                        hub.pushed[row["value"]["path"]] = base64.b64decode(row["value"]["content"])
                    elif row["key"] == "deletedFile":
                        hub.deleted.append(row["value"]["path"])
                where = path.split("/commit/")[0].removeprefix("/api/models")
                self._json({"commitUrl": f"{hub.url}{where}/commit/{NEW_COMMIT}", "commitOid": NEW_COMMIT})
            else:
                self._answer(404)

    return Handler


@contextmanager
def serve(hub: FakeHub) -> Iterator[str]:
    """Serves a hub on this machine; gives its address, for HF_ENDPOINT."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
