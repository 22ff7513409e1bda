"""Any server with the OpenAI interface: bounded concurrency, bounded patience.

A reply is read under a cap of bytes and of seconds, since a broken server may
send for ever. No redirect is followed: facts go to the address that was given
and to no other.
"""

from __future__ import annotations

import email.utils
import json
import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import httpx2

from suture.config.qa import LLM
from suture.errors import ConfigError
from suture.qa.requests import FAILED, FILTERED, LENGTH, STOP, Reply, Request
from suture.qa.sharing import is_local
from suture.qa.writers.base import UNPINNED, ServerGone

MAX_BYTES = 4 * 2**20
LONGEST_WAIT_S = 60.0
GONE_AFTER = 3
"""Requests in a row that found no server at all, each after all its tries."""

_BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_FINISH = {"stop": STOP, "length": LENGTH, "content_filter": FILTERED}


class Unavailable(Exception):
    """A try that failed in a way that another may not; ``wait_s`` is what the server asked for."""

    def __init__(self, problem: str, wait_s: float | None = None, *, reached: bool = True) -> None:
        super().__init__(problem)
        self.wait_s = wait_s
        self.reached = reached


class OpenAIWriter:
    """Asks a server.

    Args:
        llm: model, sampling, limits.
        base_url: the server's address, up to and with /v1.
        revision: of the model that it serves, where known.
        patience: seconds before the second try; doubled for each further one, half of it chance.
        extra: more fields of each request's body.
    """

    def __init__(
        self,
        llm: LLM,
        base_url: str,
        *,
        revision: str | None = None,
        patience: float = 1.0,
        extra: dict[str, Any] | None = None,
    ) -> None:
        self.revision = revision or llm.revision or UNPINNED
        self._llm = llm
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._patience = patience
        self._extra = extra or {}
        self._random = random.Random()
        self._missed = 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        key = os.environ.get(llm.api_key_env, "")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def write(self, requests: Sequence[Request]) -> Iterator[Reply]:
        """See :class:`suture.qa.writers.base.Writer`; replies come as they are ready.

        Raises:
            ConfigError: the server refuses the key, the model's name or a field: no retry can cure that.
            ServerGone: it is not there any more.
        """
        limits = httpx2.Limits(max_connections=self._llm.concurrency)
        timeout = httpx2.Timeout(self._llm.request_timeout, connect=min(10.0, self._llm.request_timeout))
        waiting = iter(requests)
        # A proxy from the environment would carry requests to this machine to another one.
        proxied = not is_local(self._url)
        client = httpx2.Client(limits=limits, timeout=timeout, headers=self._headers, trust_env=proxied)
        pool = ThreadPoolExecutor(self._llm.concurrency)
        under_way: set[Future[Reply]] = set()
        self._stopped.clear()
        try:
            while True:
                while len(under_way) < self._llm.concurrency and (request := next(waiting, None)) is not None:
                    under_way.add(pool.submit(self._ask, client, request))
                if not under_way:
                    return
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                for one in done:
                    yield one.result()
        finally:
            self._stopped.set()
            # Closing the connections ends the requests that are under way.
            client.close()
            pool.shutdown(wait=True, cancel_futures=True)

    def _body(self, request: Request) -> dict[str, Any]:
        llm = self._llm
        body: dict[str, Any] = {
            "model": llm.model,
            "messages": list(request.messages),
            "max_tokens": llm.max_new_tokens,
            "temperature": llm.temperature,
            "top_p": llm.top_p,
            "seed": request.seed,
            **self._extra,
        }
        if llm.structured_output:
            shape = {"name": "pairs", "schema": request.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": shape}
        return body

    def _ask(self, client: httpx2.Client, request: Request) -> Reply:
        problem = ""
        for number in range(self._llm.tries):
            try:
                reply = self._try(client, request)
            except Unavailable as error:
                problem = str(error)
                self._count_missed(error.reached)
                if number + 1 < self._llm.tries:
                    pause = min(LONGEST_WAIT_S, self._patience * 2**number) * self._random.uniform(0.5, 1)
                    self._stopped.wait(min(LONGEST_WAIT_S, max(pause, error.wait_s or 0)))
                if self._stopped.is_set():
                    break
            else:
                self._count_missed(True)
                return reply
        return Reply(request.id, f"{problem}, {self._llm.tries} times", FAILED)

    def _count_missed(self, reached: bool) -> None:
        with self._lock:
            self._missed = 0 if reached else self._missed + 1
            if self._missed >= GONE_AFTER * self._llm.tries:
                raise ServerGone(f"no server at {self._url}")

    def _try(self, client: httpx2.Client, request: Request) -> Reply:
        end = time.monotonic() + self._llm.request_timeout
        content = bytearray()
        try:
            with client.stream("POST", self._url, json=self._body(request)) as answer:
                for part in answer.iter_bytes():
                    content += part
                    if len(content) > MAX_BYTES:
                        raise Unavailable(f"the reply was longer than {MAX_BYTES // 2**20} MiB")
                    if time.monotonic() > end:
                        raise Unavailable(f"no end of the reply after {self._llm.request_timeout:g} s")
        except httpx2.ConnectError as error:
            raise Unavailable("no connection", reached=False) from error
        except (httpx2.HTTPError, httpx2.StreamError, RuntimeError) as error:
            raise Unavailable(f"{type(error).__name__}") from error
        if answer.status_code in _BUSY:
            raise Unavailable(f"status {answer.status_code}", _asked_wait(answer.headers.get("retry-after")))
        if answer.status_code != 200:
            raise ConfigError(
                f"the server refuses the request: {answer.status_code} {_shown(bytes(content))}",
                where=self._url,
                fix=_ways_out(answer.status_code, self._llm),
            )
        return self._read(request, bytes(content))

    def _read(self, request: Request, content: bytes) -> Reply:
        try:
            value = json.loads(content)
            choice = value["choices"][0]
            text = choice["message"]["content"] or choice["message"].get("refusal") or ""
            usage = value.get("usage") or {}
            finish = _FINISH.get(choice.get("finish_reason") or "stop", STOP)
            tokens = [int(usage.get(f"{name}_tokens") or 0) for name in ("prompt", "completion")]
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise Unavailable("a reply in no known form") from error
        # A server that ignores the cap has not kept to what was asked for either.
        if tokens[1] > self._llm.max_new_tokens:
            finish = LENGTH
        return Reply(request.id, str(text), finish, *tokens)


def _asked_wait(value: str | None) -> float | None:
    """Reads Retry-After: seconds, or a date (RFC 9110, section 10.2.3); what cannot be read asks for nothing."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        parsed = email.utils.parsedate_tz(value)
        return max(0.0, email.utils.mktime_tz(parsed) - time.time()) if parsed else None


def _shown(content: bytes) -> str:
    return " ".join(content[:300].decode(errors="replace").split())


def _ways_out(status: int, llm: LLM) -> str:
    if status in (401, 403):
        return f"put a key that it takes into the environment variable {llm.api_key_env}"
    if status == 404:
        return f"check the address and the model's name, {llm.model!r}"
    return "check llm.model; a server that knows no response_format needs structured_output: false"
