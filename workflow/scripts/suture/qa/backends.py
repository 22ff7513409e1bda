"""Opens a language model for the length of a shard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from suture.config.publishing import Sharing
from suture.config.qa import LLM, misfit
from suture.errors import ConfigError
from suture.qa import server, sharing
from suture.qa.writers.base import Writer
from suture.qa.writers.folder import revision_of


@contextmanager
def opened(backend: str, llm: LLM, *, data: Sharing, log: Path) -> Iterator[Writer]:
    """Gives a model that is ready to answer; a server that was started for it is stopped in the end.

    Args:
        backend: openai, transformers or vllm.
        llm: which model.
        data: who may see the data.
        log: of a server that is started.

    Raises:
        ConfigError: facts about such data may not go there, or the model cannot be had so.
    """
    if reason := misfit(backend, llm):
        raise ConfigError(reason, fix="see config/README.md, qa.llm")
    if reason := sharing.refusal(data, llm):
        raise ConfigError(reason, where=f"llm.base_url {llm.base_url}", fix="use a model on this machine: transformers")
    if backend == "transformers":
        from suture.qa.writers.local import LocalWriter

        yield LocalWriter(llm)
        return
    from suture.qa.writers.openai import OpenAIWriter

    if llm.base_url is not None:
        yield OpenAIWriter(llm, llm.base_url)
        return
    folder = Path(llm.model)
    revision = llm.revision or (revision_of(folder) if folder.is_dir() else None)
    if backend == "vllm":
        from suture.qa.writers import vllm

        command, extra = vllm.command(llm), vllm.extra(llm)
    else:
        command, extra = server.split(llm.serve or "", model=llm.model), {}
    with server.running(command, log, start_timeout=llm.start_timeout) as url:
        yield OpenAIWriter(llm, url, revision=revision, extra=extra)
