"""Training options: keys of the config and flags of ``train.py``, from one model."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Adapter = Literal["lora", "qlora"]

# These do nothing where no adapter is trained.
OF_ADAPTERS = (
    "r",
    "lora_alpha",
    "lora_dropout",
    "lora_targets",
    "lora_vision_targets",
    "train_projector",
    "use_dora",
    "use_rslora",
)

# And these where one is: it leaves the base as it is.
OF_FULL_TRAINING = (
    "freeze_vision",
    "freeze_projector",
    "freeze_language",
    "tune_mm_mlp_adapter",
    "mm_use_im_start_end",
)

TOWERS = ("vision", "projector", "language")

# These do nothing where answers are texts.
OF_CLASSIFIERS = ("loss_function", "focal_gamma", "focal_alpha", "class_weights", "n_last_blocks", "best_metric")

# Of these, what does nothing where that is not chosen.
OF_FOCAL_LOSS = ("focal_gamma", "focal_alpha")

BestMetric = Literal[
    "loss", "acc", "f1_macro", "f1_weighted", "f1", "sensitivity", "specificity", "auroc", "auprc", "combined"
]


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
    batch_size: int = Field(4, ge=1, description="Samples a forward pass; several processes (GPUs) share them.")
    gradient_accumulation_steps: int = Field(
        8, ge=1, description="Forward passes an optimiser step; several processes (GPUs) share them."
    )
    learning_rate: float = Field(2e-4, gt=0, description="Peak learning rate.")
    learning_rate_per: int | None = Field(
        None,
        ge=1,
        description="Samples a step that the learning rates are meant for: with another number of them the rates "
        "are scaled in proportion.",
    )
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="Optimiser.")
    momentum: float = Field(0.9, ge=0, lt=1, description="SGD: share of the step before that is kept.")
    vision_learning_rate: float | None = Field(
        None, gt=0, description="Peak learning rate of the vision tower; default: `learning_rate`."
    )
    projector_learning_rate: float | None = Field(
        None, gt=0, description="Peak learning rate of what joins vision tower and language model."
    )
    freeze_vision: bool = Field(False, description="Full training: leave the vision tower as it is.")
    freeze_projector: bool = Field(False, description="Full training: leave the projector as it is.")
    freeze_language: bool = Field(False, description="Full training: leave the language model as it is.")
    tune_mm_mlp_adapter: bool = Field(
        False, description="Full training: the projector alone, as LLaVA's alignment and LLaVa-med-report's run."
    )
    mm_use_im_start_end: bool = Field(
        False,
        description="With `tune_mm_mlp_adapter`: also the rows of the tokens around an image, as published.",
    )
    lr_scheduler_type: Literal["cosine", "linear", "constant", "constant_with_warmup"] = Field(
        "cosine", description="Learning-rate schedule over `max_steps`."
    )
    warmup_ratio: float = Field(0.03, ge=0, lt=1, description="Share of `max_steps` spent warming up.")
    weight_decay: float = Field(0.0, ge=0, description="Weight decay.")
    adam_beta2: float = Field(0.999, gt=0, lt=1, description="AdamW second moment decay.")
    max_grad_norm: float = Field(0.3, ge=0, description="Gradient clipping; 0: none.")
    loss_function: Literal["cross_entropy", "focal_loss"] = Field(
        "cross_entropy", description="Classifiers: what is minimised."
    )
    focal_gamma: float = Field(
        2.0, ge=0, description="Focal loss: how much less the sure ones count; 0 is cross-entropy."
    )
    focal_alpha: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Focal loss, two classes: weight of the second one, the first has 1 - focal_alpha; default: "
        "neither is weighted.",
    )
    class_weights: str | None = Field(
        None,
        description="Classifiers: weight of each class in the loss: `balanced`, by their numbers in training, or "
        "numbers as in 1,2.5.",
    )
    n_last_blocks: int | None = Field(
        None, ge=1, description="Classifiers: train head and last blocks of the backbone only; default: all of it."
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field("bf16", description="Arithmetic of the forward pass.")
    tf32: bool = Field(False, description="On a GPU: multiply what is left in fp32 with 10 bits of mantissa (TF32).")
    use_lora: bool = Field(False, description="Train low-rank adapters (LoRA) of the frozen base, not all its weights.")
    use_qlora: bool = Field(
        False,
        description="Train LoRA on a base in 4 bits (NF4, double quantisation); vision tower and output layer are not "
        "quantised. In place of `use_lora`.",
    )
    bits: Literal[4, 8] = Field(
        4, description="With `use_qlora`: bits of the base's weights; 8 is LLM.int8(), as FADA was published."
    )
    r: int = Field(8, ge=1, description="LoRA: rank of the adapters.")
    lora_alpha: int = Field(16, ge=1, description="LoRA: scale of the adapters; they are multiplied by lora_alpha / r.")
    lora_dropout: float = Field(0.05, ge=0, lt=1, description="LoRA: dropout before the adapters.")
    lora_targets: str = Field(
        "all-linear",
        description="LoRA: adapted layers. `all-linear`: all linear layers of the language model; names of its layers, "
        "as in `q_proj,v_proj`; or `re:` and a regular expression for whole module names, the vision tower's included.",
    )
    lora_vision_targets: str | None = Field(
        None,
        description="LoRA: adapted layers of vision tower and projector, apart from the language model's: "
        "`all-linear`, or names of layers; default: none.",
    )
    train_projector: bool = Field(
        False,
        description="With `use_lora`: train all weights of what joins video and language model too (SurgViVQA: BLIP's "
        "text encoder, published as --train-blip).",
    )
    use_dora: bool = Field(False, description="LoRA: learn size and direction of each weight apart (DoRA); slower.")
    use_rslora: bool = Field(
        False, description="LoRA: multiply the adapters by lora_alpha / sqrt(r) (rsLoRA), for large r."
    )
    attention: Literal["sdpa", "flash_attention_2", "eager"] = Field(
        "sdpa",
        description="How attention is computed. Where flash attention is not installed or there is no GPU, sdpa is "
        "taken instead, and said so.",
    )
    packing: bool = Field(
        False, description="Put the samples of a batch one behind the other in one row, without padding."
    )
    group_by_length: bool = Field(
        False, description="Make batches of samples of like length: less padding, another order."
    )
    gradient_checkpointing: bool = Field(
        False, description="Compute activations again in the backward pass: less memory, more time."
    )
    fsdp: bool = Field(
        False,
        description="Full training in several processes: share weights, gradients and optimiser out to them (FSDP), "
        "where one card cannot hold them.",
    )
    augment: bool = Field(False, description="Mirror, shift, reverse and add noise to training frames, by seeded draw.")
    aug_step_size: int | None = Field(
        None,
        ge=1,
        description="With drawn frames: also train on other frames of each clip in every epoch, each such round after "
        "the first moving on by so many; default: no such rounds.",
    )
    max_aug_rounds: int | None = Field(None, ge=1, description="Highest number of such a round; default: by method.")
    shuffle_turns: bool = Field(False, description="Ask a clip's questions in a seeded random order in training.")
    blind: bool = Field(
        False,
        description="Learn to answer from the question alone: no video is shown. What such a model gets right needs no "
        "look; see `baselines`.",
    )
    seed: int = Field(42, description="Seed of initialisation, order, dropout and augmentation.")
    eval_steps: int | None = Field(
        None, ge=1, description="Steps between validation losses; default: one, after the last step."
    )
    early_stopping_patience: int | None = Field(
        None, ge=1, description="Stop when `best_metric` was not better for so many evaluations."
    )
    keep_best: bool = Field(
        False, description="Export the weights with the best `best_metric` instead of the last ones."
    )
    best_metric: BestMetric = Field(
        "loss",
        description="What of the validation data says which weights are best: `loss`, or of classifiers a metric; "
        "`combined` is the published Endo-FM score.",
    )
    plateau_steps: int | None = Field(
        None,
        ge=10,
        description="Stop when the mean training loss of so many steps is less than 0.1 % below that of as many "
        "before.",
    )
    report_to: Literal["none", "tensorboard", "wandb", "mlflow"] = Field(
        "none", description="Also write the curves for a tracker, into files; W&B and MLflow must be installed."
    )
    save_steps: int = Field(
        100, ge=1, description="Steps between saves inside a job; a killed job resumes from the last."
    )
    logging_steps: int = Field(10, ge=1, description="Steps between logged losses.")

    @property
    def adapter(self) -> Adapter | None:
        """Which adapters are trained; None: all weights are."""
        return "qlora" if self.use_qlora else "lora" if self.use_lora else None

    def learning_rate_of(self, tower: str) -> float:
        """The peak learning rate of a tower: its own or the general one, scaled as ``learning_rate_per`` says."""
        own: float | None = getattr(self, f"{tower}_learning_rate", None)
        rate = self.learning_rate if own is None else own
        return rate if self.learning_rate_per is None else rate * self.samples_per_step / self.learning_rate_per

    def frozen_of(self, encoders: Collection[str]) -> tuple[str, ...]:
        """The towers that full training leaves as they are, of a family whose ``encoders`` see the video alone.

        Without a video nothing of these is of use; what reads words beside it still is.
        """
        return tuple(tower for tower in self.frozen if tower in self._left or tower in encoders)

    @property
    def _left(self) -> set[str]:
        """The towers that are left as they are whatever is shown."""
        left = {tower for tower in TOWERS if getattr(self, f"freeze_{tower}")}
        return left | ({"vision", "language"} if self.tune_mm_mlp_adapter else set())

    @property
    def frozen(self) -> tuple[str, ...]:
        """The towers that full training leaves as they are; a blind model has no use for those of the video."""
        unseen = {"vision", "projector"} if self.blind and self.adapter is None else set()
        return tuple(tower for tower in TOWERS if tower in unseen | self._left)

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> Train:
        if self.use_lora and self.use_qlora:
            raise ValueError("`use_qlora` is LoRA on a 4-bit base: give it or `use_lora`, not both")
        changed = self.changed(OF_ADAPTERS)
        if changed and self.adapter is None:
            raise ValueError(
                f"{_named(changed)} would do nothing: add use_lora: true or use_qlora: true, or leave it out"
            )
        if self.bits != type(self).model_fields["bits"].default and not self.use_qlora:
            raise ValueError("`bits` would do nothing: add use_qlora: true, or leave it out")
        if self.adapter and self.tune_mm_mlp_adapter:
            raise ValueError("`tune_mm_mlp_adapter` would do nothing: adapters leave the base as it is")
        if self.adapter and self.frozen:
            raise ValueError(
                f"{_named(f'freeze_{t}' for t in self.frozen)} would do nothing: adapters leave the base as it is"
            )
        if self.mm_use_im_start_end and not self.tune_mm_mlp_adapter:
            raise ValueError("`mm_use_im_start_end` would do nothing: add tune_mm_mlp_adapter: true, or leave it out")
        if self.mm_use_im_start_end and self.weight_decay:
            raise ValueError("`weight_decay` with `mm_use_im_start_end` would shrink the rows of all other tokens")
        if self.freeze_vision and self.n_last_blocks is not None:
            raise ValueError("`n_last_blocks` would do nothing: freeze_vision leaves all blocks as they are")
        if len(self.frozen) == len(TOWERS):
            raise ValueError("all three towers are frozen: nothing would be trained")
        return self

    @model_validator(mode="after")
    def _each_belongs_to_what_is_chosen(self) -> Train:
        for names, chosen, needed in (
            (OF_FOCAL_LOSS, self.loss_function == "focal_loss", "loss_function: focal_loss"),
            (("momentum",), self.optimizer == "sgd", "optimizer: sgd"),
            (("adam_beta2",), self.optimizer == "adamw", "optimizer: adamw"),
            (("max_aug_rounds",), self.aug_step_size is not None, "aug_step_size: 16"),
            (("best_metric",), bool(self.keep_best or self.early_stopping_patience), "keep_best: true"),
        ):
            if changed := [] if chosen else self.changed(names):
                raise ValueError(f"{_named(changed)} would do nothing: add {needed}, or leave it out")
        if self.class_weights not in (None, "balanced"):
            try:
                weights = self.numbers_of_classes()
            except ValueError as error:
                raise ValueError(f"class_weights {self.class_weights!r}: balanced, or numbers as in 1,2.5") from error
            if not weights or not all(0 < weight < float("inf") for weight in weights):
                raise ValueError(f"class_weights {self.class_weights!r}: each must be above 0")
        return self

    def changed(self, names: Iterable[str]) -> list[str]:
        """Returns those of some options that are not at their general default."""
        return [name for name in names if getattr(self, name) != type(self).model_fields[name].default]

    def numbers_of_classes(self) -> list[float]:
        """Returns the numbers given as ``class_weights``; none where there are no numbers."""
        if self.class_weights in (None, "balanced"):
            return []
        return [float(part) for part in str(self.class_weights).split(",")]

    @property
    def samples_per_step(self) -> int:
        """Samples an optimiser step."""
        return self.batch_size * self.gradient_accumulation_steps

    @model_validator(mode="after")
    def _learning_rates_have_a_tower(self) -> Train:
        for tower in ("vision", "projector"):
            if getattr(self, f"{tower}_learning_rate") is None:
                continue
            reached = self.lora_vision_targets is not None or self.lora_targets.startswith("re:")
            reached = reached or (tower == "projector" and self.train_projector)
            if tower in self.frozen or (self.adapter and not reached):
                raise ValueError(f"`{tower}_learning_rate` would do nothing: nothing of the {tower} tower is trained")
        return self

    @model_validator(mode="after")
    def _weights_can_be_shared_out(self) -> Train:
        if self.fsdp and self.adapter:
            raise ValueError("`fsdp` is for full training: what adapters train fits each card")
        if self.fsdp and self.precision == "fp16":
            raise ValueError("`fsdp` and precision fp16 do not go together: use bf16")
        if self.fsdp and self.mm_use_im_start_end:
            raise ValueError(
                "`fsdp` shares the embedding out, of which `mm_use_im_start_end` trains two rows: leave one out"
            )
        return self

    @model_validator(mode="after")
    def _blind_trains_no_vision(self) -> Train:
        seeing = [name for name in ("augment", "lora_vision_targets") if getattr(self, name)]
        if self.blind and (seeing or self.lora_targets.startswith("re:")):
            raise ValueError(
                f"{_named(seeing or ['lora_targets: re:...'])} and `blind` do not go together: no video is shown"
            )
        return self

    @model_validator(mode="after")
    def _batches_can_be_made(self) -> Train:
        alone = [name for name in ("packing", "group_by_length") if getattr(self, name)]
        if alone and self.batch_size == 1:
            raise ValueError(
                f"{_named(alone)} would do nothing: it is about the samples of a batch, and batch_size is 1"
            )
        return self

    @model_validator(mode="after")
    def _attention_can_compute(self) -> Train:
        if self.attention == "flash_attention_2" and self.precision == "fp32":
            raise ValueError("flash attention computes in bf16 or fp16, and precision is fp32: use attention: sdpa")
        if self.attention == "eager" and self.packing:
            raise ValueError("with eager attention packed samples would see each other: use attention: sdpa")
        return self

    @model_validator(mode="after")
    def _evaluations_are_made(self) -> Train:
        needing = [name for name in ("early_stopping_patience", "keep_best") if getattr(self, name)]
        if needing and self.eval_steps is None:
            raise ValueError(f"{_named(needing)} needs validation losses: add, for example,  eval_steps: 50")
        return self

    @model_validator(mode="after")
    def _targets_can_be_read(self) -> Train:
        if self.lora_targets.startswith("re:"):
            try:
                re.compile(self.lora_targets.removeprefix("re:"))
            except re.error as error:
                raise ValueError(f"lora_targets {self.lora_targets!r} is no regular expression: {error}") from error
            if self.lora_vision_targets is not None:
                raise ValueError(
                    "`lora_vision_targets` and re: in `lora_targets` both say what of the vision tower is adapted"
                )
        for name in ("lora_targets", "lora_vision_targets"):
            text = getattr(self, name)
            if (
                text is not None
                and not text.startswith("re:")
                and not all(re.fullmatch(r"[\w.-]+", one) for one in text.split(","))
            ):
                raise ValueError(f"{name} {text!r} is not all-linear, names as in q_proj,v_proj, or re:EXPRESSION")
        if (self.lora_vision_targets or "").startswith("re:"):
            raise ValueError("give an expression for whole names as `lora_targets: re:...`")
        return self


def _named(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def with_family_defaults(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Returns training options with a family's published defaults where nothing is given.

    A default that what is given makes useless is left out, so that it does not
    read as a contradiction: the LoRA settings where no adapter is trained, and
    what is frozen where one is.

    Args:
        given: what the user wrote.
        defaults: the family's ``TRAIN_DEFAULTS``.
    """
    kept = {name: value for name, value in defaults.items() if name in Train.model_fields}
    if given.get("use_lora"):
        kept.pop("use_qlora", None)
    if not {**kept, **given}.get("use_qlora"):
        kept.pop("bits", None)
    merged = {**kept, **given}
    adapted = merged.get("use_lora") or merged.get("use_qlora")
    useless = set(OF_FULL_TRAINING if adapted else OF_ADAPTERS)
    if merged.get("loss_function") != "focal_loss":
        useless |= set(OF_FOCAL_LOSS)
    if merged.get("optimizer") != "sgd":
        useless.add("momentum")
    return {name: value for name, value in merged.items() if name in given or name not in useless}


def refusal(options: Train, family: Mapping[str, Any]) -> str | None:
    """Says why a family cannot be trained with some options, or None where it can.

    Args:
        options: what is asked for.
        family: the constants of its module: ``ANSWERS`` is ``texts`` or
            ``classes``, ``REFUSED`` gives the reason for each option that the
            family has no use for.
    """
    if family.get("ANSWERS", "texts") == "texts" and (found := options.changed(OF_CLASSIFIERS)):
        return f"{_named(found)} would do nothing: it is of classifiers, and this family answers in words"
    refused: Mapping[str, str] = family.get("REFUSED", {})
    return next((f"`{name}`: {refused[name]}" for name in options.changed(refused)), None)
