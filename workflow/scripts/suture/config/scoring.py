"""How numbers are measured, and what they stand beside: keys of the config."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Baseline = Literal["blind", "shuffled", "still", "zero_shot", "metadata"]
ANSWERING: tuple[Baseline, ...] = ("blind", "shuffled", "still", "zero_shot")
"""Baselines that are models' answers to the same questions, as files of predictions."""

RESAMPLES = 2000
SEED = 20261120


class Score(BaseModel):
    """Intervals of all numbers of the run (`score`)."""

    model_config = ConfigDict(extra="forbid", validate_default=True, strict=True)

    groups: str | None = Field(
        None,
        description="A CSV with the columns case and group (patients, centres): intervals resample groups, not cases.",
    )
    resamples: int = Field(RESAMPLES, ge=100, description="Resamples of the bootstrap.")
    published_score: bool = Field(
        False, description="Classification: also the score that the published Endo-FM code selects checkpoints by."
    )
    seed: int = Field(SEED, ge=0, description="Seed of the resampling.")
