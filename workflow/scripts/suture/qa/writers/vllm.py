"""vLLM, run as a server in an environment of its own for the length of one shard.

It needs other versions of torch and transformers than the lock has. The
quantisation (AWQ, GPTQ, FP8) is the checkpoint's own; bitsandbytes is slower
there than bf16. Prompts begin alike, so its prefix cache reads the rules once.

Constrained decoding of this family of models is known to run on in white space
for ever (vllm issue 13260): white space is disabled, each reply has a cap of
tokens, and one that reaches it is invalid.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from suture.config.qa import LLM

STRUCTURED = {"backend": "xgrammar", "disable_any_whitespace": True}
"""vLLM's ``StructuredOutputsConfig``: since 0.12 there is no ``guided_json`` any more."""


def command(llm: LLM) -> list[str]:
    """Returns the command line of the server; ``{port}`` is put in when it starts."""
    words = [llm.vllm, "serve", llm.model, "--served-model-name", llm.model]
    if llm.revision and not Path(llm.model).is_dir():
        words += ["--revision", llm.revision, "--tokenizer-revision", llm.revision]
    words += ["--host", "127.0.0.1", "--port", "{port}", "--seed", str(llm.seed)]
    words += ["--enable-prefix-caching", "--max-num-seqs", str(llm.concurrency)]
    words += ["--generation-config", "vllm"]  # the sampling is the request's, not what a checkpoint brings
    if llm.structured_output:
        words += ["--structured-outputs-config", json.dumps(STRUCTURED, separators=(",", ":"))]
    return words + shlex.split(llm.vllm_options)


def extra(llm: LLM) -> dict[str, float]:
    """Returns the fields of a request's body that vLLM takes beyond OpenAI's."""
    return {"repetition_penalty": llm.repetition_penalty}
