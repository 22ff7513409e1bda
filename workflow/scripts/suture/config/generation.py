"""How an answer is drawn from a model: keys of the config and flags of ``predict.py``, from one model."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Generation(BaseModel):
    """Settings of one way to answer. Names are the library's; the defaults are greedy."""

    model_config = ConfigDict(extra="forbid")

    max_new_tokens: int = Field(64, ge=1, description="Longest answer, in tokens; a longer one is counted as cut off.")
    temperature: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="0: the likeliest word each time; above 0: drawn, the more freely the higher.",
    )
    top_p: float = Field(1.0, gt=0, le=1, description="Draw among the likeliest words that together have this share.")
    top_k: int = Field(0, ge=0, description="Draw among this many likeliest words; 0: among all.")
    repetition_penalty: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="Above 1, words that were said already become less likely; 1: no penalty.",
    )
    num_beams: int = Field(1, ge=1, description="Beams of beam search; 1: none. The best whole answer is taken.")
    min_new_tokens: int = Field(0, ge=0, description="An answer may not end before it has so many tokens.")
    no_repeat_ngram_size: int = Field(
        0, ge=0, description="No run of so many tokens occurs twice, those of the question counted; 0: any may."
    )
    seed: int = Field(42, description="Seed of the draws; each question has a stream of its own.")

    @model_validator(mode="after")
    def _drawn_from(self) -> Self:
        if self.temperature == 0 and (self.top_p < 1 or self.top_k):
            raise ValueError("top_p and top_k would do nothing: with temperature 0 nothing is drawn")
        if self.num_beams > 1 and self.temperature > 0:
            raise ValueError(
                "num_beams looks for the likeliest answer and temperature draws one: leave one of them out"
            )
        if self.min_new_tokens > self.max_new_tokens:
            raise ValueError(f"min_new_tokens {self.min_new_tokens} is more than max_new_tokens {self.max_new_tokens}")
        return self
