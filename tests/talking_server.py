"""A small server with the OpenAI interface that answers as well, or as badly, as a test wants."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Call:
    """What the server was asked: the request's body and headers, and how often this very clip came before."""

    body: dict[str, Any]
    headers: dict[str, str]
    number: int

    @property
    def user(self) -> str:
        return str(self.body["messages"][-1]["content"])

    def fact(self, name: str) -> str:
        return next(line.split(": ", 1)[1] for line in self.user.splitlines() if line.startswith(f"{name}: "))

    def names(self, name: str) -> list[str]:
        found = self.fact(name)
        return [] if found == "none" else found.split(", ")


def sentence(names: list[str], noun: str) -> str:
    if not names:
        return f"No {noun} is visible."
    return f"The video shows the {' and the '.join(names)}."


def good(call: Call) -> dict[str, Any]:
    """A grounded answer to what was asked."""
    said: dict[str, Any] = {
        "phase": call.fact("Phase"),
        "anatomy": call.names("Anatomical structures"),
        "instruments": call.names("Surgical instruments"),
    }
    texts = {
        "phase": ("Which phase is shown?", f"The surgeon performs the {said['phase']} phase."),
        "anatomy": ("Which parts of the eye are visible?", sentence(said["anatomy"], "structure")),
        "instruments": ("Which instruments are visible?", sentence(said["instruments"], "instrument")),
    }
    for kind in call.fact("Pairs").split(", "):
        said[f"{kind}_question"], said[f"{kind}_answer"] = texts[kind]
    return said


def completion(text: str, finish: str = "stop", tokens: int = 80) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 500, "completion_tokens": tokens}}).encode()


@dataclass
class Server:
    """Its address, and all it was asked."""

    url: str
    calls: list[Call] = field(default_factory=list)


Behaviour = Callable[[Call, BaseHTTPRequestHandler], None]


def send(handler: BaseHTTPRequestHandler, content: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def answer_well(call: Call, handler: BaseHTTPRequestHandler) -> None:
    send(handler, completion(json.dumps(good(call))))


@contextmanager
def serving(behave: Behaviour = answer_well) -> Iterator[Server]:
    """Runs a server on this machine for as long as the block lasts."""
    seen: dict[str, int] = {}
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            facts = body["messages"][-1]["content"].split("\nAn earlier reply")[0] + str(body["seed"])
            with lock:
                call = Call(body, dict(self.headers), seen.get(facts, 0))
                seen[facts] = call.number + 1
                server.calls.append(call)
            try:
                behave(call, self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the client had enough

        def log_message(self, *args: object) -> None:
            """Prints nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    server = Server(f"http://127.0.0.1:{listening.server_port}/v1")
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
