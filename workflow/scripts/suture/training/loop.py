"""The one training loop: HF Trainer with our data order, loss, stops and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard, cast, get_args

import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME
from transformers.trainer_utils import EvalLoopOutput

from suture.classifier import PIXELS, VideoClassifier
from suture.config.share import Share, share
from suture.config.training import BestMetric, Train
from suture.errors import InputError
from suture.features import FeatureCache, arithmetic_of, check_frozen
from suture.models.base import VideoModel
from suture.pretrained import load_model
from suture.records import Sample
from suture.training import adapters, checkpoint, processes, random_states, sharding, towers
from suture.training.callbacks import Bar, NoneWithoutGradient, OnSave, StopAt, StopInTime, StopOnNaN
from suture.training.data import MediaCache, Positions, TrainingSet, ValidationSet
from suture.training.dealt_validation import evaluate_dealt
from suture.training.probe import Probe
from suture.training.random_states import RandomStates
from suture.training.run_files import RunFiles
from suture.training.stopping import StopEarly, best_step, reason_to_stop
from suture.training.trackers import tracker
from suture.training.validation import ClassMetrics

# The other way gives no gradient below inputs that need none, as a frozen base's.
CHECKPOINTING = {"use_reentrant": False}

VALIDATED = get_args(BestMetric)
"""What is logged of an evaluation, where it is computed."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One job of a run: from where, to which step, and where its files lie.

    ``tracking`` is a folder for curves, outside of what any rule reads.
    """

    experiment: str
    until_step: int
    resume: Path | None
    output: Path
    work_dir: Path
    workers: int = 0
    tracking: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Data:
    """What a run learns from and what its validation loss is taken on, which may be nothing.

    ``lengths`` are the tokens of each training sample, ``shape`` the frames, height and width of the first one,
    ``rounds`` the round of augmentation in which each is seen; () for none.
    """

    train: Sequence[Sample]
    val: Sequence[Sample]
    cache: MediaCache
    lengths: Sequence[int]
    shape: tuple[int, int, int]
    rounds: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job ended: the steps it went, whether its checkpoint is published, and what ended it early, if anything.

    ``longest_bytes`` is what the longest batch takes, of ``capacity_bytes``; None where no step was to be made.
    """

    first_step: int
    step: int
    published: bool
    reason: str
    longest_bytes: int | None = None
    capacity_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What makes a checkpoint one of this run.

    ``run`` is what the run is a function of: equal along the chain.
    ``job`` adds the code: equal to go on with an interrupted job.
    """

    run: checkpoint.Identity
    job: checkpoint.Identity


def classifies(model: VideoModel) -> TypeGuard[VideoClassifier]:
    """Tells whether a model gives scores of classes, which its evaluations are made of."""
    return isinstance(model, VideoClassifier)


class Loop(Trainer):
    """HF Trainer that asks the family for the loss and keeps clocks out of its history."""

    def __init__(self, video_model: VideoModel, options: Train, **kwargs: Any) -> None:
        self._video_model = video_model
        self._options = options
        self._sharded = sharding.is_sharded(video_model.model)
        metrics = ClassMetrics(video_model.classes, options.best_metric) if classifies(video_model) else None
        self.class_metrics = metrics
        collate = partial(video_model.collate, pack=True) if options.packing else video_model.collate
        super().__init__(model=video_model.model, data_collator=collate, compute_metrics=metrics, **kwargs)
        # The loss is divided by the labels of all batches of a step, so the Trainer counts
        # them and does not divide by the number of batches again.
        self.model_accepts_loss_kwargs = True
        if self._sharded:
            # Then the library takes the model as it is, and wraps nothing around it.
            self.is_distributed_loading_by_transformers = True

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Makes the optimiser with a learning rate for each tower."""
        if self.optimizer is None:
            trained: Any = self.model if model is None else model
            kind, settings = self.get_optimizer_cls_and_kwargs(self.args, trained)
            if self._options.optimizer == "sgd":  # the library's has no momentum
                kind, settings = torch.optim.SGD, {"lr": settings["lr"], "momentum": self._options.momentum}
            decayed = set(self.get_decay_parameter_names(trained))
            groups = towers.parameter_groups(trained, self._video_model.towers, self._options, decayed)
            self.optimizer = kind(groups, **settings)
            if self._sharded:
                self.optimizer.register_load_state_dict_pre_hook(sharding.deal_out)
        made: torch.optim.Optimizer = self.optimizer
        return made

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

    def loss_of(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Computes the loss of a collated batch as a step does, before the first one."""
        with arithmetic_of(self._options.precision, self.args.device):
            loss: torch.Tensor = self.compute_loss(self._video_model.model, self._prepare_inputs(batch))
        return loss

    def prediction_step(self, model: torch.nn.Module, inputs: Any, *_: Any, **__: Any) -> tuple[Any, Any, Any]:
        """Takes the validation loss, of a classifier with its scores; logits of words would not fit in memory."""
        batch = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            if not classifies(self._video_model):
                return self.compute_loss(model, batch).detach().mean(), None, None
            logits = model(batch[PIXELS])
            loss = self._video_model.loss_of(logits, batch, None)
        return loss.detach(), logits.float().log_softmax(dim=1).detach(), batch["labels"]

    def evaluation_loop(self, dataloader: Any, description: str, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """Takes the validation loss; of several processes each of its own batches.

        The library pads what it deals to processes with samples from the beginning, which moves the loss.
        """
        if processes.count() == 1:
            return super().evaluation_loop(dataloader, description, *args, **kwargs)
        return evaluate_dealt(self, dataloader.dataset, self.args.eval_batch_size)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Restores the random states where they are of as many processes as there are now; :class:`RandomStates`."""
        if checkpoint is not None and random_states.are_of(Path(checkpoint), processes.count()):
            super()._load_rng_state(checkpoint)

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
        if self._sharded:
            saved = load_model(sharding.class_of(ours), Path(resume_from_checkpoint), dtype=ours.dtype)
            sharding.load_weights(ours, saved.state_dict())
            return
        saved = load_model(type(ours), Path(resume_from_checkpoint), dtype=ours.dtype)
        ours.load_state_dict(saved.state_dict())

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Saves the adapters where there are some; the base they stand on is a file already."""
        if not adapters.is_adapted(self._video_model.model):
            super()._save(output_dir, state_dict)
        elif self.args.should_save:
            adapters.save(self._video_model.model, Path(str(output_dir or self.args.output_dir)))

    def _move_model_to_device(self, model: torch.nn.Module, device: torch.device) -> None:
        if not self._sharded:  # its parts are where they belong
            super()._move_model_to_device(model, device)

    @contextmanager
    def _defer_fsdp_gradient_reduction(self) -> Iterator[None]:
        """Adds up gradients in parts after each batch of a step: whole ones would not fit."""
        yield

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Saves the weights; those that are shared out are gathered by all processes, one tensor at a time."""
        if not self._sharded:
            super().save_model(output_dir, _internal_call)
            return
        weights = sharding.whole_weights(cast(torch.nn.Module, self.model))
        if self.args.should_save:
            super()._save(output_dir, weights)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self._sharded:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        state = sharding.whole(cast(torch.optim.Optimizer, self.optimizer).state_dict())
        if self.args.should_save:
            torch.save(state, Path(output_dir, OPTIMIZER_NAME))
            torch.save(cast(Any, self.lr_scheduler).state_dict(), Path(output_dir, SCHEDULER_NAME))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Logs what is a function of config and data: the history is part of the checkpoint."""
        names = {"loss", "grad_norm", "learning_rate", "eval_loss", *(f"eval_{name}" for name in VALIDATED)}
        kept = {name: value for name, value in logs.items() if name in names}
        if kept:
            super().log(kept)


def arguments(options: Train, segment: Segment, share: Share, *, evaluate: bool) -> TrainingArguments:
    """Translates our options into the library's; its own defaults are set where they matter."""
    made = TrainingArguments(
        output_dir=str(segment.work_dir),
        max_steps=options.max_steps,
        per_device_train_batch_size=share.batch,
        per_device_eval_batch_size=options.batch_size,
        gradient_accumulation_steps=share.accumulation,
        learning_rate=options.learning_rate_of("model"),
        lr_scheduler_type=options.lr_scheduler_type,
        warmup_steps=math.ceil(options.warmup_ratio * options.max_steps),
        weight_decay=options.weight_decay,
        adam_beta2=options.adam_beta2,
        max_grad_norm=options.max_grad_norm,
        bf16=options.precision == "bf16",
        fp16=options.precision == "fp16",
        tf32=True if options.tf32 and torch.cuda.is_available() else None,  # the library refuses it elsewhere
        # Said, or the library refuses half precision where it finds no GPU.
        use_cpu=not torch.cuda.is_available(),
        activation_checkpointing=options.gradient_checkpointing,
        activation_checkpointing_kwargs=CHECKPOINTING if options.gradient_checkpointing else None,
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
        eval_strategy="steps" if evaluate and options.eval_steps else "no",
        eval_steps=options.eval_steps,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
        # Each trained parameter is checked to have its gradient.
        ddp_find_unused_parameters=False,
    )
    # A process has one card. The library would use all that it sees, and multiply the batch by their number.
    made._n_gpu = min(made.n_gpu, 1)
    return made


def prepare(model: VideoModel, options: Train) -> dict[str, int]:
    """Decides what is trained: adapters, or the weights of the towers that are not frozen.

    Returns:
        Numbers of parameters, for the card.
    """
    if options.adapter:
        return adapters.attach(model, options)
    frozen = options.frozen_of(model.encoders)
    if options.blind:
        model.unused = (*model.unused, *model.unseen)
    counts = towers.freeze(model, frozen)
    if options.mm_use_im_start_end:
        counts["trainable"] += towers.train_rows(model, getattr(model, "new_tokens", ()))
    left_out = f"; {', '.join(frozen)} frozen" if frozen else ""
    share = counts["trainable"] / counts["total"]
    print(f"full training: {counts['trainable']} of {counts['total']} parameters ({share:.2%}){left_out}", flush=True)
    return counts


def train(
    options: Train,
    segment: Segment,
    *,
    model: VideoModel,
    data: Data,
    identity: Identity,
    card: dict[str, Any],
    stop: StopInTime,
    callbacks: Sequence[TrainerCallback] = (),
) -> Outcome:
    """Trains one segment and publishes its checkpoint.

    Args:
        options: the run's training options.
        segment: which part of it this job is.
        model: the base model, as loaded with :func:`suture.training.adapters.base_options`.
        data: samples with their frames or features.
        identity: of the run and of this job.
        card: what the checkpoint's card says beside what is found here.
        stop: ends the job before its time is up.
        callbacks: more of them, for instance a heartbeat.

    Returns:
        How far it came, and why it ended there.

    Raises:
        InputError: the checkpoint to continue is of another run.
            Or a batch does not fit the memory: the text says what would.
        TrainingFailed: the loss is not a number.
    """
    before = (
        checkpoint.check_chain(segment.resume, identity.run, until_step=segment.until_step) if segment.resume else None
    )
    if segment.resume and before and before.stopped:
        if processes.is_first():
            checkpoint.hand_on(segment.resume, segment.output)
        return Outcome(first_step=before.step, step=before.step, published=True, reason=before.stopped)
    segment.work_dir.mkdir(parents=True, exist_ok=True)
    with processes.first_before_others():
        progress = checkpoint.latest(segment.work_dir, identity.job, last_step=segment.until_step)
    first, resume = progress or (before.step if before else 0, segment.resume)
    if progress:
        print(f"continuing an interrupted job at step {first}", flush=True)
    own = share(options, processes.count())
    if own.processes > 1:
        print(own.words, flush=True)
    counts = prepare(model, options)
    if isinstance(data.cache, FeatureCache):
        check_frozen(model)

    def saved_at(step: int) -> Path:
        return segment.work_dir / f"checkpoint-{step}"

    probe: Probe | None = None
    reached, early = first, reason_to_stop(checkpoint.history(resume), options) if resume else None
    if reached < segment.until_step and not early:
        length = options.max_steps * options.gradient_accumulation_steps * options.batch_size
        lengths = data.lengths if options.group_by_length else None
        positions = Positions(len(data.train), options.seed, lengths=lengths, batch=options.batch_size)
        stop_early = StopEarly(options)

        def saved(state: TrainerState) -> None:
            processes.wait()  # each writes its random states
            if not processes.is_first():
                return
            if options.keep_best and best_step(state.log_history, options.best_metric) == state.global_step:
                checkpoint.keep(saved_at(state.global_step), identity.job)
            checkpoint.mark_complete(saved_at(state.global_step), identity.job)

        sharded = options.fsdp and own.processes > 1
        if sharded:
            sharding.shard(model.model)
        loop = Loop(
            model,
            options,
            args=arguments(options, segment, own, evaluate=bool(data.val)),
            train_dataset=TrainingSet(
                data.train,
                model,
                data.cache,
                length=length,
                seed=options.seed,
                augmented=options.augment,
                shuffle_turns=options.shuffle_turns,
                positions=positions,
                rounds=data.rounds,
            ),
            eval_dataset=ValidationSet(data.val, model, data.cache) if data.val else None,
            callbacks=[
                StopOnNaN(),
                NoneWithoutGradient(),
                StopAt(segment.until_step),
                stop_early,
                stop,
                RandomStates(options.seed, resume),
                OnSave(saved),
                *([Bar(segment.until_step), *_trackers(options, segment, first)] if processes.is_first() else []),
                *callbacks,
            ],
        )
        loop.remove_callback(PrinterCallback)
        if loop.class_metrics is not None and segment.tracking is not None and processes.is_first():
            loop.add_callback(RunFiles(segment.tracking, options, loop.class_metrics, samples=len(data.train)))
        if options.gradient_checkpointing:
            model.model.activation_checkpointing_enable(activation_checkpointing_kwargs=CHECKPOINTING)
        dealt = {"batch_size": own.batch, "gradient_accumulation_steps": own.accumulation}
        probe = Probe(
            model,
            options.model_copy(update=dealt),
            samples=data.train,
            lengths=data.lengths,
            cache=data.cache,
            loss=loop.loss_of,
        )
        if sharded:
            print(f"weights are shared out to {own.processes} processes; the longest batch is not tried", flush=True)
        else:
            print(probe.run(), flush=True)
        # What would fit is found by trying, which a process cannot do while others wait for its part of the weights.
        with nullcontext() if sharded else probe.explaining(lambda: loop.state.global_step):
            loop.train(resume_from_checkpoint=str(resume) if resume else None)
        reached, early = loop.state.global_step, stop_early.reason
    if reached < segment.until_step and not early:
        print(f"stopped by {stop.reason} at step {reached} of {segment.until_step}; progress is kept", flush=True)
        return Outcome(first_step=first, step=reached, published=False, reason=stop.reason)
    if early:
        print(f"ended at step {reached} of {options.max_steps}: {early}", flush=True)
    last = saved_at(reached) if saved_at(reached).is_dir() else cast(Path, resume)
    best = best_step(checkpoint.history(last), options.best_metric) if options.keep_best else None
    if processes.is_first():
        checkpoint.publish(
            last,
            segment.output,
            best=checkpoint.kept(best, segment.work_dir, segment.resume, identity.job) if best is not None else None,
            card={
                **card,
                "step": reached,
                "stopped": early,
                "best_step": best,
                "system_prompt": model.system_prompt,
                "adapter": options.adapter,
                "parameters": counts,
                "shape": list(data.shape),
                "identity": identity.run,
            },
            logging_steps=options.logging_steps,
        )
    processes.wait()
    if processes.is_first():
        checkpoint.clear(segment.work_dir)
    return Outcome(
        first_step=first,
        step=reached,
        published=True,
        reason=early or "",
        longest_bytes=probe.taken if probe else None,
        capacity_bytes=probe.capacity if probe else None,
    )


def _trackers(options: Train, segment: Segment, first: int) -> list[TrainerCallback]:
    if options.report_to == "none":
        return []
    if segment.tracking is None:
        raise InputError(f"--report-to {options.report_to} needs a folder", fix="give --tracking-dir DIR")
    return tracker(options.report_to, segment.tracking, run=segment.experiment, first_step=first)
