"""A language model in this process, by transformers: batches padded left, prompts of like length together."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, GenerationConfig

from suture import sampling
from suture.config.generation import Generation
from suture.config.qa import LLM
from suture.errors import InputError
from suture.pretrained import load_model
from suture.qa.requests import LENGTH, STOP, Reply, Request
from suture.qa.writers.folder import revision_of
from suture.training.quantization import nf4, settle


class LocalWriter:
    """Answers by a model of a local folder.

    Args:
        llm: the folder, sampling and batch size. A checkpoint that is quantised already is loaded as it is.
        share: read what all prompts begin with once.

    Raises:
        InputError: no such model, one without a chat template, or tensors that do not fit.
    """

    def __init__(self, llm: LLM, *, share: bool = True) -> None:
        folder = Path(llm.model)
        if not (folder / "config.json").is_file():
            raise InputError("no model in this folder", where=folder, fix="give a folder with config.json and weights")
        self.revision = llm.revision or revision_of(folder)
        self._llm = llm
        self._share = share
        self._tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        if not self._tokenizer.chat_template:
            raise InputError("the tokenizer has no chat template", where=folder, fix="take an instruct model")
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
        self._model = load_model(
            AutoModelForCausalLM,
            folder,
            dtype=dtype,
            quantization=nf4(dtype) if llm.load_in_4bit else None,
            unquantized=["lm_head"] if llm.load_in_4bit else (),
        )
        if llm.load_in_4bit:
            settle(self._model, "model", dtype)
        if torch.cuda.is_available() and not llm.load_in_4bit:
            self._model.to("cuda")
        self._model.eval()
        self._ends = _ends(self._tokenizer, self._model)
        self._drawn = Generation(
            max_new_tokens=llm.max_new_tokens,
            temperature=llm.temperature,
            top_p=llm.top_p if llm.temperature else 1.0,
        )

    def write(self, requests: Sequence[Request]) -> Iterator[Reply]:
        """See :class:`suture.qa.writers.base.Writer`; the longest prompts come first."""
        # The template writes the tokens that open a prompt itself.
        texts = [
            str(self._tokenizer.apply_chat_template(list(one.messages), tokenize=False, add_generation_prompt=True))
            for one in requests
        ]
        ids = [self._tokenizer(text, add_special_tokens=False).input_ids for text in texts]
        # First what takes most memory: a batch that does not fit is known at once.
        order = sorted(range(len(requests)), key=lambda at: (-len(ids[at]), requests[at].id))
        shared = common_start(ids) if self._share else []
        read = self._read(shared)
        for start in range(0, len(order), self._llm.batch_size):
            batch = order[start : start + self._llm.batch_size]
            yield from self._answer([requests[at] for at in batch], [ids[at] for at in batch], shared, read)

    @torch.inference_mode()
    def _read(self, shared: Sequence[int]) -> Any:
        """Returns the keys and values of what all prompts begin with: the rules are read once, not for each clip."""
        if not shared:
            return None
        rows = torch.tensor([shared], device=self._model.device)
        return self._model(input_ids=rows, past_key_values=DynamicCache(config=self._model.config)).past_key_values

    @torch.inference_mode()
    def _answer(
        self, requests: Sequence[Request], ids: Sequence[list[int]], shared: Sequence[int], read: Any
    ) -> Iterator[Reply]:
        # The padding stands between what is shared and what is not: masked, it moves no position.
        rests = [one[len(shared) :] for one in ids]
        padded = self._tokenizer.pad({"input_ids": rests}, return_tensors="pt").to(self._model.device)
        start = torch.tensor([list(shared)] * len(ids), dtype=torch.long, device=self._model.device)
        prompts = torch.cat([start, padded["input_ids"]], dim=1)
        mask = torch.cat([torch.ones_like(start), padded["attention_mask"]], dim=1)
        cache = copy.deepcopy(read)
        if cache is not None:
            cache.batch_repeat_interleave(len(ids))
        settings = GenerationConfig(
            max_new_tokens=self._llm.max_new_tokens,
            do_sample=False,  # draws are made by the processors, one stream a row
            repetition_penalty=self._llm.repetition_penalty,
            eos_token_id=sorted(self._ends),
            pad_token_id=self._tokenizer.pad_token_id,
        )
        drawn = sampling.processors(self._drawn, [one.seed for one in requests])
        out = self._model.generate(
            input_ids=prompts,
            attention_mask=mask,
            past_key_values=cache,
            generation_config=settings,
            logits_processor=drawn,
        )
        for request, prompt, row in zip(requests, ids, out[:, prompts.shape[1] :].tolist(), strict=True):
            length = next((at for at, token in enumerate(row) if token in self._ends), None)
            said = row if length is None else row[:length]
            text = str(self._tokenizer.decode(said, skip_special_tokens=True, clean_up_tokenization_spaces=False))
            yield Reply(request.id, text.strip(), STOP if length is not None else LENGTH, len(prompt), len(said))


def common_start(ids: Sequence[list[int]]) -> list[int]:
    """Returns the tokens that all prompts begin with; each has at least one more."""
    if len(ids) < 2:
        return []
    first, last = min(ids), max(ids)  # in order of tokens: what these two share, all do
    most = min(map(len, ids)) - 1
    length = next((at for at in range(most) if first[at] != last[at]), most)
    return first[:length]


def _ends(tokenizer: Any, model: Any) -> set[int]:
    """Returns the tokens that end a reply: the tokenizer's, and those that the model's publisher lists."""
    listed = model.generation_config.eos_token_id
    found = {tokenizer.eos_token_id, *(listed if isinstance(listed, list) else [listed])} - {None}
    if not found:
        raise InputError("neither tokenizer nor model says which token ends a reply")
    return found
