"""Training options: keys of the config and flags of ``train.py``, from one model."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Adapter = Literal["lora", "qlora"]

# These do nothing where no adapter is trained.
OF_ADAPTERS = ("r", "lora_alpha", "lora_dropout", "lora_targets")


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
    use_lora: bool = Field(False, description="Train low-rank adapters (LoRA) of the frozen base, not all its weights.")
    use_qlora: bool = Field(
        False,
        description="Train LoRA on a base in 4 bits (NF4, double quantisation); vision tower and output layer are not "
        "quantised. In place of `use_lora`.",
    )
    r: int = Field(8, ge=1, description="LoRA: rank of the adapters.")
    lora_alpha: int = Field(16, ge=1, description="LoRA: scale of the adapters; they are multiplied by lora_alpha / r.")
    lora_dropout: float = Field(0.05, ge=0, lt=1, description="LoRA: dropout before the adapters.")
    lora_targets: str = Field(
        "all-linear",
        description="LoRA: adapted layers. `all-linear`: all linear layers of the language model; names of its layers, "
        "as in `q_proj,v_proj`; or `re:` and a regular expression for whole module names, the vision tower's included.",
    )
    gradient_checkpointing: bool = Field(
        False, description="Compute activations again in the backward pass: less memory, more time."
    )
    augment: bool = Field(False, description="Mirror, shift, reverse and add noise to training frames, by seeded draw.")
    shuffle_turns: bool = Field(False, description="Ask a clip's questions in a seeded random order in training.")
    seed: int = Field(42, description="Seed of initialisation, order, dropout and augmentation.")
    save_steps: int = Field(
        100, ge=1, description="Steps between saves inside a job; a killed job resumes from the last."
    )
    logging_steps: int = Field(10, ge=1, description="Steps between logged losses.")

    @property
    def adapter(self) -> Adapter | None:
        """Which adapters are trained; None: all weights are."""
        return "qlora" if self.use_qlora else "lora" if self.use_lora else None

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> Train:
        if self.use_lora and self.use_qlora:
            raise ValueError("`use_qlora` is LoRA on a 4-bit base: give it or `use_lora`, not both")
        changed = [name for name in OF_ADAPTERS if getattr(self, name) != type(self).model_fields[name].default]
        if changed and self.adapter is None:
            names = ", ".join(f"`{name}`" for name in changed)
            raise ValueError(f"{names} would do nothing: add use_lora: true or use_qlora: true, or leave it out")
        return self

    @model_validator(mode="after")
    def _targets_can_be_read(self) -> Train:
        if self.lora_targets.startswith("re:"):
            try:
                re.compile(self.lora_targets.removeprefix("re:"))
            except re.error as error:
                raise ValueError(f"lora_targets {self.lora_targets!r} is no regular expression: {error}") from error
        elif not all(re.fullmatch(r"[\w-]+", name) for name in self.lora_targets.split(",")):
            raise ValueError(
                f"lora_targets {self.lora_targets!r} is not all-linear, names as in q_proj,v_proj, or re:EXPRESSION"
            )
        return self
