"""fetch_images.py against a server on this machine: resumed, bounded, checked, and only what is named."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from chest_files import picture
from support import run_script


class Server(ThreadingHTTPServer):
    """Serves bytes by path, with ranges. ``breaks``: paths whose first answer ends half-way."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.breaks: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.server.asked.append((self.path, wanted))
        whole = self.server.content.get(self.path)
        if whole is None:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        body = whole[start:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.path in self.server.breaks:
            self.server.breaks.discard(self.path)
            body = body[: len(body) // 2]
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def archive(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as made:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def listed(path: Path, server: Server, rows: list[tuple[str, str, str]]) -> Path:
    lines = [
        json.dumps({"pair_id": pair, "pmc_tar_url": f"{server.url}/{tar}", "image_file_path": member})
        for pair, tar, member in rows
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_named_images_are_taken_and_a_broken_download_goes_on(server: Server, tmp_path: Path) -> None:
    image = picture(tmp_path / "a.jpg").read_bytes()
    server.content["/one.tar.gz"] = archive({"PMC1/fig1.jpg": image, "PMC1/paper.pdf": b"x" * 200_000, "../evil": b"!"})
    server.content["/two.tar.gz"] = archive({"PMC2/fig.jpg": image})
    server.breaks.add("/one.tar.gz")
    urls = listed(
        tmp_path / "urls.jsonl",
        server,
        [("11_Fig1", "one.tar.gz", "PMC1/fig1.jpg"), ("22_Fig1", "two.tar.gz", "PMC2/fig.jpg")],
    )
    out = tmp_path / "out"
    said = run_script("fetch_images", "--urls", urls, "--images", out, "--workers", 2)
    assert "2 images: 0 were there, 2 fetched; left out: nothing" in said
    assert sorted(path.name for path in tmp_path.rglob("out/**/*")) == ["11_Fig1.jpg", "22_Fig1.jpg"]
    assert (out / "11_Fig1.jpg").read_bytes() == image
    ranges = [wanted for path, wanted in server.asked if path == "/one.tar.gz"]
    assert ranges == ["", f"bytes={len(server.content['/one.tar.gz']) // 2}-"]
    server.asked.clear()
    (out / "22_Fig1.jpg").unlink()
    assert "1 were there, 1 fetched" in run_script("fetch_images", "--urls", urls, "--images", out)
    assert [path for path, _ in server.asked] == ["/two.tar.gz"]


def test_what_cannot_be_used_is_told_and_never_written(server: Server, tmp_path: Path) -> None:
    image = picture(tmp_path / "a.jpg").read_bytes()
    server.content["/torn.tar.gz"] = archive({"f.jpg": image, "more": bytes(range(256)) * 400})[:-300]
    server.content["/other.tar.gz"] = archive({"f.jpg": image, "text.jpg": b"no image"})
    server.content["/big.tar.gz"] = bytes(3_000_000)
    rows = [
        ("torn", "torn.tar.gz", "f.jpg"),
        ("fine", "other.tar.gz", "f.jpg"),
        ("text", "other.tar.gz", "text.jpg"),
        ("absent", "other.tar.gz", "g.jpg"),
        ("big", "big.tar.gz", "f.jpg"),
        ("gone", "gone.tar.gz", "f.jpg"),
        ("../out", "other.tar.gz", "f.jpg"),
    ]
    urls = listed(tmp_path / "urls.jsonl", server, rows)
    rejected = tmp_path / "rejected.jsonl"
    flags = ["--urls", urls, "--images", tmp_path / "out", "--archive-mb", 2, "--rejected", rejected]
    said = run_script("fetch_images", *flags, code=2)
    assert "start it again: only what is missing is fetched" in said
    found = {row["where"]: row["reason"] for row in map(json.loads, rejected.read_text().splitlines())}
    assert found == {
        "row 1": "archive_damaged",
        "row 3": "image_damaged",
        "row 4": "not_in_archive",
        "row 5": "too_large",
        "row 6": "not_there",
        "urls.jsonl:7": "corrupt_row",
    }
    assert [path.name for path in (tmp_path / "out").glob("*.jpg")] == ["fine.jpg"]
    assert "fetched; left out" in run_script("fetch_images", *flags, "--max-rejected", 1)


def test_only_the_images_of_given_conversations(server: Server, tmp_path: Path) -> None:
    image = picture(tmp_path / "a.jpg").read_bytes()
    server.content["/one.tar.gz"] = archive({"f.jpg": image})
    urls = listed(tmp_path / "urls.jsonl", server, [("a", "one.tar.gz", "f.jpg"), ("b", "one.tar.gz", "f.jpg")])
    pair = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "It."}]
    (tmp_path / "data.json").write_text(json.dumps([{"id": "1", "image": "b.jpg", "conversations": pair}]))
    said = run_script("fetch_images", "--urls", urls, "--images", tmp_path / "out", "--only", tmp_path / "data.json")
    assert "1 images" in said
    assert [path.name for path in (tmp_path / "out").glob("*")] == ["b.jpg"]
