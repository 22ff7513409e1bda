"""The one training loop: HF Trainer with our data order, loss, stops and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer, TrainingArguments

from suture import cli
from suture.config.training import Train
from suture.errors import InputError
from suture.frames import FrameCache
from suture.models.base import VideoModel
from suture.pretrained import load_model
from suture.records import Sample
from suture.training import adapters, checkpoint
from suture.training.callbacks import Bar, NoneWithoutGradient, OnSave, StopAt, StopInTime, StopOnNaN
from suture.training.data import TrainingSet, ValidationSet


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One job of a run: from where, to which step, and where its files lie."""

    until_step: int
    resume: Path | None
    output: Path
    work_dir: Path
    workers: int = 0


class Loop(Trainer):
    """HF Trainer that asks the family for the loss and keeps clocks out of its history."""

    def __init__(self, video_model: VideoModel, **kwargs: Any) -> None:
        self._video_model = video_model
        super().__init__(model=video_model.model, data_collator=video_model.collate, **kwargs)
        # The loss is divided by the labels of all batches of a step, so the Trainer counts
        # them and does not divide by the number of batches again.
        self.model_accepts_loss_kwargs = True

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        loss = self._video_model.loss(model, inputs, num_items_in_batch)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes
        return (loss, {}) if return_outputs else loss

    def prediction_step(self, model: torch.nn.Module, inputs: Any, *_: Any, **__: Any) -> tuple[Any, None, None]:
        """Takes the validation loss only: logits of all rows would not fit in memory."""
        with torch.no_grad(), self.compute_loss_context_manager():
            return self.compute_loss(model, self._prepare_inputs(inputs)).detach().mean(), None, None

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        """Restores the weights, all of them or none.

        Models are saved under the names of their published files, which for many are not
        those of their modules. The Trainer's own method reads them as the latter, finds
        no match, warns, and goes on from the base model.
        """
        ours: Any = self._video_model.model
        if adapters.is_adapted(ours):
            adapters.restore(ours, Path(resume_from_checkpoint))
            return
        saved = load_model(type(ours), Path(resume_from_checkpoint), dtype=ours.dtype)
        ours.load_state_dict(saved.state_dict())

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Saves the adapters where there are some; the base they stand on is a file already."""
        if not adapters.is_adapted(self._video_model.model):
            super()._save(output_dir, state_dict)
        elif self.args.should_save:
            adapters.save(self._video_model.model, Path(str(output_dir or self.args.output_dir)))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Logs what is a function of config and data: the history is part of the checkpoint."""
        kept = {
            name: value for name, value in logs.items() if name in ("loss", "grad_norm", "learning_rate", "eval_loss")
        }
        if kept:
            super().log(kept)


def arguments(options: Train, segment: Segment, *, evaluate: bool) -> TrainingArguments:
    """Translates our options into the library's; its own defaults are set where they matter."""
    return TrainingArguments(
        output_dir=str(segment.work_dir),
        max_steps=options.max_steps,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=options.batch_size,
        gradient_accumulation_steps=options.gradient_accumulation_steps,
        learning_rate=options.learning_rate,
        lr_scheduler_type=options.lr_scheduler_type,
        warmup_steps=math.ceil(options.warmup_ratio * options.max_steps),
        weight_decay=options.weight_decay,
        adam_beta2=options.adam_beta2,
        max_grad_norm=options.max_grad_norm,
        bf16=options.precision == "bf16",
        fp16=options.precision == "fp16",
        # Said, or the library refuses half precision where it finds no GPU.
        use_cpu=not torch.cuda.is_available(),
        activation_checkpointing=options.gradient_checkpointing,
        # The other way gives no gradient below inputs that need none, as a frozen base's.
        activation_checkpointing_kwargs={"use_reentrant": False} if options.gradient_checkpointing else None,
        seed=options.seed,
        # The order is the data set's own: see suture.training.data.
        train_sampling_strategy="sequential",
        dataloader_num_workers=segment.workers,
        dataloader_pin_memory=torch.cuda.is_available(),
        # Each step is kept, so that a stop between two lines of the log loses nothing of it.
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=options.save_steps,
        # The last is trusted only once it is marked; until then the one before it is needed.
        save_total_limit=2,
        do_eval=evaluate,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
    )


def check_trainable(model: torch.nn.Module) -> dict[str, int]:
    """Counts parameters and checks that all are trained, as full training promises.

    Raises:
        InputError: some are frozen.
    """
    total = sum(p.numel() for p in model.parameters())
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if trainable != total:
        raise InputError(f"{trainable} of {total} parameters would be trained; full training trains all")
    return {"total": total, "trainable": trainable}


def train(
    options: Train,
    segment: Segment,
    *,
    model: VideoModel,
    train_samples: Sequence[Sample],
    val_samples: Sequence[Sample],
    cache: FrameCache,
    identity: checkpoint.Identity,
    progress_identity: checkpoint.Identity,
    family: str,
    stop: StopInTime,
) -> int:
    """Trains one segment and publishes its checkpoint.

    Args:
        options: the run's training options.
        segment: which part of it this job is.
        model: the base model, as loaded with :func:`suture.training.adapters.base_options`.
        train_samples: what to learn from; frames are in ``cache``.
        val_samples: what the validation loss is taken on; may be empty.
        cache: frames of all of them.
        identity: what the run is a function of: must be equal along the chain.
        progress_identity: the same with the code: must be equal to continue an interrupted job.
        family: name of the model family.
        stop: ends the job before its time is up.

    Returns:
        :data:`suture.cli.DONE`, or :data:`suture.cli.DEADLINE` when progress
        was saved in the work folder and the segment is not at its end.

    Raises:
        InputError: the checkpoint to continue is of another run.
        TrainingFailed: the loss is not a number.
    """
    start = checkpoint.check_chain(segment.resume, identity, until_step=segment.until_step) if segment.resume else 0
    segment.work_dir.mkdir(parents=True, exist_ok=True)
    progress = checkpoint.latest(segment.work_dir, progress_identity, last_step=segment.until_step)
    reached, resume = progress if progress else (start, segment.resume)
    if progress:
        print(f"continuing an interrupted job at step {reached}", flush=True)
    counts = adapters.attach(model, options) if options.adapter else check_trainable(model.model)

    def saved_at(step: int) -> Path:
        return segment.work_dir / f"checkpoint-{step}"

    if reached < segment.until_step:
        length = options.max_steps * options.gradient_accumulation_steps * options.batch_size
        loop = Loop(
            model,
            args=arguments(options, segment, evaluate=bool(val_samples)),
            train_dataset=TrainingSet(
                train_samples,
                model,
                cache,
                length=length,
                seed=options.seed,
                augmented=options.augment,
                shuffle_turns=options.shuffle_turns,
            ),
            eval_dataset=ValidationSet(val_samples, model, cache) if val_samples else None,
            callbacks=[
                StopOnNaN(),
                *([NoneWithoutGradient()] if options.adapter else []),
                StopAt(segment.until_step),
                stop,
                Bar(segment.until_step),
                OnSave(lambda step: checkpoint.mark_complete(saved_at(step), progress_identity)),
            ],
        )
        loop.remove_callback(PrinterCallback)
        loop.train(resume_from_checkpoint=str(resume) if resume else None)
        reached = loop.state.global_step
    if reached < segment.until_step:
        print(f"stopped by {stop.reason} at step {reached} of {segment.until_step}; progress is kept", flush=True)
        return cli.DEADLINE
    first = cache.entry(train_samples[0].clip)
    checkpoint.publish(
        saved_at(reached),
        segment.output,
        card={
            "family": family,
            "system_prompt": model.system_prompt,
            "step": reached,
            "adapter": options.adapter,
            "parameters": counts,
            "shape": [first.n_frames, first.height, first.width],
            "identity": identity,
        },
        logging_steps=options.logging_steps,
    )
    checkpoint.clear(segment.work_dir)
    return cli.DONE
