"""Writing questions and answers: keys of the config and, of the language model, flags of ``generate_qa.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from suture.hub import COMMIT

Kind = Literal["phase", "anatomy", "instruments", "spatial", "order", "counts"]
Share = Annotated[float, Field(ge=0, le=1)]
LLM_BACKENDS = ("openai", "transformers", "vllm")


class LLM(BaseModel):
    """The language model that words the facts, and what is done with what it says."""

    model_config = ConfigDict(extra="forbid", validate_default=True, strict=True)

    model: str = Field(
        min_length=1, description="`transformers`: a folder. `vllm`: a folder or a hub id. `openai`: the server's name."
    )
    revision: str | None = Field(None, description="Commit of a hub model; with it every request changes its id.")
    base_url: str | None = Field(
        None, description="`openai`: address of the server, up to and with /v1.", examples=["http://127.0.0.1:8000/v1"]
    )
    serve: str | None = Field(
        None,
        description="`openai`: start this server for each shard, and stop it; {port} and {model} are put in.",
        examples=["transformers serve {model} --port {port}"],
    )
    vllm: str = Field("vllm", description="`vllm`: its program, in the environment of its own that it needs.")
    vllm_options: str = Field("", description="`vllm`: more of its flags, for example --tensor-parallel-size 2.")
    start_timeout: float = Field(1800, gt=0, description="Seconds that a started server may take to be ready.")
    api_key_env: str = Field(
        "OPENAI_API_KEY",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Name of the environment variable with the key; a key is never in a config.",
    )
    allow_internal: bool = Field(
        False, description="The data are `sharing: internal`, and their facts may go to another machine all the same."
    )
    structured_output: bool = Field(
        True,
        description="Ask the server to keep to the JSON schema (`transformers serve` cannot; replies are checked "
        "in any case).",
    )
    load_in_4bit: bool = Field(False, description="`transformers`: quantise an unquantised model to NF4 when loading.")
    batch_size: int = Field(
        32, ge=1, description="Replies between two writes to disk; `transformers`: also prompts answered at once."
    )
    concurrency: int = Field(16, ge=1, le=512, description="Requests under way at once, of one shard.")
    request_timeout: float = Field(300, gt=0, description="Longest time of one request, in seconds.")
    tries: int = Field(6, ge=1, le=50, description="Tries of one request where the server is busy or fails.")
    max_new_tokens: int = Field(1024, ge=16, description="Longest reply, in tokens; a longer one is invalid.")
    temperature: float = Field(0.6, ge=0, allow_inf_nan=False, description="0: greedy; above 0: drawn.")
    top_p: float = Field(1.0, gt=0, le=1, description="Draw among the likeliest words that together have this share.")
    repetition_penalty: float = Field(
        1.05,
        gt=0,
        allow_inf_nan=False,
        description="`vllm` and `transformers`: above 1, said words become less likely.",
    )
    seed: int = Field(42, description="Seed; each request has one of its own, made of this, clip and attempt.")
    retries: int = Field(2, ge=0, le=20, description="Times a refused answer is asked for again, with the reason.")
    on_failure: Literal["template", "reject"] = Field(
        "template", description="A clip without a usable answer: `template` words it, or it is left out, counted."
    )
    max_failed: Share = Field(
        0.5, description="Largest share of clips whose answers were all refused before the run stops."
    )
    prompts: str | None = Field(None, description="Folder with system.txt, clip.txt and retry.txt of your own.")
    price_in: float = Field(0.0, ge=0, description="Price of a million tokens read, for the cost in qa_quality.json.")
    price_out: float = Field(0.0, ge=0, description="Price of a million tokens written.")


class QA(BaseModel):
    """Question–answer pairs (`generate_qa`, `ingest`)."""

    model_config = ConfigDict(extra="forbid", validate_default=True, strict=True)

    backend: Literal["template", "openai", "transformers", "vllm", "annotation", "existing"] = Field(
        "template",
        description="`template`: worded from the objects and phases. `openai`, `transformers`, `vllm`: so too, by a "
        "language model; see `qa.llm.*`. `annotation`: the questions the publisher already "
        "wrote (adapter `table` and its like). `existing`: the file named by `existing`.",
    )
    kinds: list[Kind] = Field(
        ["phase", "anatomy", "instruments"], min_length=1, description="Kinds of question that a back end asks."
    )
    wordings: int = Field(1, ge=1, le=4, description="How many wordings of each question are used, chosen by clip.")
    first_wording: int = Field(
        0, ge=0, le=3, description="The first wording in use: others than in training make an out-of-template test set."
    )
    existing: str | None = Field(
        None, description="A qa_pairs_without_idle.json, train_ or val_qa_pairs.json in the published layout."
    )
    corrections: str | list[str] | None = Field(
        None,
        description="A reviewer's corrections.csv, or several (`make review`): a fix replaces an answer, a reject "
        "drops it, and the share of wrong ones stands in the report.",
        examples=["corrections.csv"],
    )
    questions: Literal["together", "apart"] = Field(
        "together",
        description="With `annotation`: the questions about a clip are one conversation, or each is a sample of its "
        "own, as in FADA, whose models are asked one at a time.",
    )
    keep_kinds: list[str] = Field(
        default_factory=list,
        description="With `annotation`: kinds of questions to keep that the publisher's own loader leaves out "
        "(ssgvqa: multi_label).",
    )
    llm: LLM | None = Field(None, description="The language model of a back end that has one; see `qa.llm.*`.")

    @property
    def correction_files(self) -> list[str]:
        """The files of corrections, in the order given."""
        return [self.corrections] if isinstance(self.corrections, str) else self.corrections or []

    def _is_changed(self, name: str) -> bool:
        return bool(getattr(self, name) != type(self).model_fields[name].default)

    @model_validator(mode="after")
    def _existing_goes_with_its_backend(self) -> QA:
        if (self.backend == "existing") != (self.existing is not None):
            raise ValueError("`existing: FILE` and `backend: existing` go together: give both or neither")
        # A default that is written out, as in config.resolved.yaml, says nothing.
        unused = {name for name in ("kinds", "wordings", "first_wording") if self._is_changed(name)}
        if self.backend in ("annotation", "existing") and unused:
            raise ValueError(
                f"{' and '.join(sorted(unused))} would be ignored: only backend: template and language models "
                f"write questions"
            )
        if self.keep_kinds and self.backend != "annotation":
            raise ValueError("`keep_kinds` would be ignored: it is of backend: annotation")
        if self.questions == "apart" and self.backend != "annotation":
            raise ValueError("`questions: apart` would be ignored: it is of backend: annotation")
        if self.first_wording + self.wordings > 4:
            raise ValueError(f"first_wording {self.first_wording} and {self.wordings} wordings: there are 4 in all")
        return self

    @model_validator(mode="after")
    def _llm_goes_with_its_backend(self) -> QA:
        if (self.backend in LLM_BACKENDS) != (self.llm is not None):
            raise ValueError(f"`llm: {{model: ...}}` goes with backend: {', '.join(LLM_BACKENDS)}, and only with these")
        if self.llm is not None and (reason := misfit(self.backend, self.llm)):
            raise ValueError(f"llm: {reason}")
        return self


def misfit(backend: str, llm: LLM) -> str | None:
    """Says why a model cannot be used by a back end as it is described, or None."""
    if backend == "openai" and (llm.base_url is None) == (llm.serve is None):
        return "backend openai needs either `base_url` (a server that runs) or `serve` (one to start)"
    if backend != "openai" and (llm.base_url or llm.serve):
        return f"`base_url` and `serve` are of backend openai, not of {backend}"
    if backend == "vllm" and not Path(llm.model).is_dir() and not COMMIT.fullmatch(llm.revision or ""):
        return f"model {llm.model!r} is no folder; a hub model needs its commit (40 digits, no branch):  revision: ..."
    return None
