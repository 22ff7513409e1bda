"""Training options: keys of the config and flags of ``train.py``, from one model."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Train(BaseModel):
    """Options of one training run. Names are the published scripts' where those had one."""

    model_config = ConfigDict(extra="forbid")

    max_steps: int = Field(
        ge=1, description="Optimiser steps of the whole run; the schedule ends here.", examples=[400]
    )
    steps_per_job: int = Field(
        ge=1,
        description="Optimiser steps of one job: the run is a chain of jobs that each fit the queue's limit.",
        examples=[200],
    )
    batch_size: int = Field(4, ge=1, description="Samples a forward pass.")
    gradient_accumulation_steps: int = Field(8, ge=1, description="Forward passes an optimiser step.")
    learning_rate: float = Field(2e-4, gt=0, description="Peak learning rate.")
    lr_scheduler_type: Literal["cosine", "linear", "constant", "constant_with_warmup"] = Field(
        "cosine", description="Learning-rate schedule over `max_steps`."
    )
    warmup_ratio: float = Field(0.03, ge=0, lt=1, description="Share of `max_steps` spent warming up.")
    weight_decay: float = Field(0.0, ge=0, description="AdamW weight decay.")
    adam_beta2: float = Field(0.999, gt=0, lt=1, description="AdamW second moment decay.")
    max_grad_norm: float = Field(0.3, gt=0, description="Gradient clipping.")
    precision: Literal["fp32", "bf16", "fp16"] = Field("bf16", description="Arithmetic of the forward pass.")
    augment: bool = Field(False, description="Mirror, shift, reverse and add noise to training frames, by seeded draw.")
    shuffle_turns: bool = Field(False, description="Ask a clip's questions in a seeded random order in training.")
    seed: int = Field(42, description="Seed of initialisation, order, dropout and augmentation.")
    save_steps: int = Field(
        100, ge=1, description="Steps between saves inside a job; a killed job resumes from the last."
    )
    logging_steps: int = Field(10, ge=1, description="Steps between logged losses.")
