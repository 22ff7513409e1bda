"""Trains one segment of a run: from the base model or the segment before, to an optimiser step.

Run as:
    python workflow/scripts/train.py --family qwen2_5_vl --model models/small --max-steps 400 --until-step 200 \\
        --train train.jsonl --val val.jsonl --frames-cache cache/shard-*.jsonl --output train/segment-1
    python workflow/scripts/train.py --family qwen2_5_vl --model_id models/qwen --num_epochs 2 \\
        --train_data_path train_qa_pairs.json --train_video_dir videos/train --save_adapter

The first is how the workflow calls it. The second takes the published scripts'
files and arguments; videos are then decoded once, into the work folder.
A default is the family's published one: `train.py --family NAME --help`.

The schedule always spans --max-steps; segments joined by --resume give the
weights of one run that never stopped, to the bit on CPU. The output appears
when it is whole. Interrupted by its deadline or SIGTERM, the command saves its
progress in --work-dir and exits 75; killed, it continues from its last save.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

from suture import (
    beat,
    cli,
    digest,
    files,
    launching,
    ledger,
    libraries,
    model_folder,
    node_local,
    prompt_modes,
    records,
    refusals,
    registry,
    sampling_flags,
)
from suture.config.features import refusal
from suture.config.flags import add_flags, from_args, given_flags
from suture.config.share import share
from suture.config.training import Train, with_family_defaults
from suture.config.training import refusal as refused_by_family
from suture.errors import InputError
from suture.frame_draws import Sampling
from suture.records import Sample
from suture.redaction import add_token_flag, refuse_token
from suture.training import given_data, kept_cases, published_flags, recording

STARTED = launching.began()

# How often to save and to log, where jobs end, and who holds the weights change nothing of what is learnt.
NOT_IDENTITY = {"steps_per_job", "save_steps", "logging_steps", "report_to", "fsdp"}


def parser(family: str | None = None) -> cli.Parser:
    """Returns the command's parser; with a family its help names that family's defaults."""
    known = registry.names("model family")
    published = registry.literals("model family", family) if family in known else {}
    defaults = published.get("TRAIN_DEFAULTS", {})
    p = cli.Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--family", required=True, metavar="NAME", help="model family", choices=known)
    p.add_argument(
        "--model",
        "--model-id",
        type=Path,
        required=True,
        metavar="DIR",
        help="base model, a folder of fetch_weights.py",
    )
    p.add_argument(
        "--train",
        "--train-data-path",
        type=Path,
        metavar="FILE",
        help="samples to learn from, or published question–answer pairs (.json)",
    )
    p.add_argument("--val", "--val-data-path", type=Path, metavar="FILE", help="the same for the validation loss")
    p.add_argument("--frames-cache", type=Path, nargs="+", metavar="FILE", help="cache_frames manifests")
    p.add_argument(
        "--features-cache",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="cache_features manifests: the vision tower is not run",
    )
    p.add_argument(
        "--ssgvqa-root", type=Path, metavar="DIR", help="question folders in place of --train, --val and --frames-cache"
    )
    p.add_argument("--image-root", type=Path, metavar="DIR", help="frames of --ssgvqa-root")
    p.add_argument(
        "--dataset",
        metavar="NAME",
        help="adapter that the cases are of: those that it keeps for testing are refused, as are any adapter's without "
        f"it; also reads --ssgvqa-root (default: {given_data.QUESTIONS_OF})",
    )
    p.add_argument("--num-frames", type=int, metavar="N", help="checked: what fetch_weights.py --num-frames set")
    p.add_argument("--prompt-mode", choices=prompt_modes.MODES, help="show the question alone, or with --choices")
    p.add_argument("--choices", type=Path, metavar="FILE", help="closed set of answers, for --prompt-mode choices")
    p.add_argument("--train-video-dir", type=Path, metavar="DIR", help="clips of --train, in place of --frames-cache")
    p.add_argument("--val-video-dir", type=Path, metavar="DIR", help="clips of --val")
    p.add_argument(
        "--max-steps", type=int, metavar="N", help="optimiser steps of the whole run; the schedule ends here"
    )
    p.add_argument(
        "--num-epochs", type=float, metavar="E", help=f"in place of --max-steps{_default(defaults, 'num_epochs')}"
    )
    p.add_argument("--until-step", type=int, metavar="K", help="last optimiser step of this segment; default: the last")
    p.add_argument("--resume", type=Path, metavar="DIR", help="checkpoint of the segment before")
    p.add_argument("--output", type=Path, metavar="DIR", help="checkpoint to write (default: checkpoint in --save-dir)")
    p.add_argument(
        "--work-dir", type=Path, metavar="DIR", help="progress of this job, for a restart (default: OUTPUT.progress)"
    )
    p.add_argument(
        "--experiment", default="train", metavar="NAME", help="name in ledger, heartbeat and trackers (default: train)"
    )
    p.add_argument("--segment", type=int, metavar="K", help="number of this segment, for the ledger")
    p.add_argument("--ledger", type=Path, metavar="FILE", help="file that gets an entry of this job, however it ends")
    sampled = p.add_mutually_exclusive_group()
    sampled.add_argument(
        "--frames", type=int, metavar="N", help="how many frames of a clip were cached: kept for predict.py"
    )
    sampled.add_argument(
        "--fps", type=float, metavar="F", help="how many frames a second were cached: kept for predict.py"
    )
    sampling_flags.add(p)
    p.add_argument("--labels", nargs="+", metavar="NAME", help="classes of a classifier, in their order")
    p.add_argument("--size", type=int, nargs=2, metavar=("H", "W"), help="frame size with --train-video-dir, in pixels")
    p.add_argument("--save-adapter", action="store_true", help="also write the adapters to --save-dir (published)")
    p.add_argument(
        "--save-dir",
        type=Path,
        metavar="DIR",
        help=f"folder of the published scripts{_default(published.get('PUBLISHED', {}), 'save_dir')}",
    )
    p.add_argument(
        "--push-to-hub", action="store_true", help="refused here: push_to_hub.py pushes a model once it is scored"
    )
    p.add_argument("--hub-model-id", metavar="ID", help="see --push-to-hub")
    add_token_flag(p)
    p.add_argument("--system-prompt", metavar="TEXT", help="default: the text stored with the model")
    p.add_argument("--deadline-seconds", type=float, metavar="S", help="stop with progress saved before S seconds")
    p.add_argument(
        "--attempt", type=int, default=1, metavar="N", help="of this job; after a refusal only the first is made"
    )
    p.add_argument(
        "--tracking-dir", type=Path, metavar="DIR", help="files of --report-to (default: tracking in --work-dir)"
    )
    launching.add_flags(p)
    p.add_argument("--workers", type=int, default=0, metavar="N", help="processes that prepare batches (default: 0)")
    p.add_argument(
        "--threads", type=int, default=1, metavar="N", help="CPU threads; equal runs need an equal number (default: 1)"
    )
    published_flags.add(p, published)
    add_flags(p, Train, leave_out=frozenset({"steps_per_job", "max_steps"}), defaults=defaults)
    refused = p.add_argument_group("published options that are refused, with the way out")
    for name, reason in published.get("REFUSED_FLAGS", {}).items():
        refused.add_argument(f"--{name.replace('_', '-')}", nargs="*", dest=f"refused_{name}", help=reason)
    return p


def _default(defaults: dict[str, Any], name: str) -> str:
    return f" (default: {defaults[name]})" if name in defaults else ""


def main(args: argparse.Namespace) -> int:
    _refuse_what_others_see(args)
    if (code := launching.start(nodes=args.nodes, processes=args.processes)) is not None:
        return code
    node_local.want()
    published = registry.literals("model family", args.family)
    paths = _paths(args, published["PUBLISHED"]["save_dir"])
    with launching.met(args.threads) as is_first:
        if not is_first:
            return _train(args, paths, published)
        # Where no queue ends the job, all attempts are made on this machine.
        with refusals.remembered(paths["work"], args.attempt, crashes=args.deadline_seconds is None):
            return _train(args, paths, published)


def _train(args: argparse.Namespace, paths: Mapping[str, Path], published: Mapping[str, Any]) -> int:
    defaults = published.get("TRAIN_DEFAULTS", {})
    published_flags.apply(args, published)
    with _first_before_others():
        given_data.read_folders(args, paths["work"], published["PUBLISHED"])
        given_data.decode_videos(args, paths["work"], published["PUBLISHED"])
    told = given_data.prompt(args, published)
    samples: dict[str, list[Sample]] = {"train": records.read(args.train, Sample)}
    samples["val"] = records.read(args.val, Sample) if args.val else []
    kept_cases.check(samples, args.dataset)
    model_folder.check_family(args.model, args.family)
    given = with_family_defaults(given_flags(args, Train), defaults)
    sampling = sampling_flags.of(args)
    seen = _seen_an_epoch(args, sampling, samples["train"], given) if sampling else len(samples["train"])
    options = _options(args, given, seen, defaults)
    _check_kind(args, options, published, sampling)
    _check_share(options)
    until = args.until_step or options.max_steps
    if (options.eval_steps or options.keep_best) and not samples["val"]:
        raise InputError("validation losses are asked for, and there is no validation data", fix="give --val FILE")
    if args.features_cache and (reason := refusal(options, tuple(published.get("ENCODERS", ("vision", "projector"))))):
        raise InputError(f"--features-cache cannot be used: {reason}")
    if not (args.features_cache or args.frames_cache):
        raise InputError("where are the videos?", fix="give --frames-cache FILE ... or --features-cache FILE ...")
    run = _identity(args, options, sampling)
    libraries.prepare(threads=args.threads)
    # Not before: they import torch.
    from suture.classifier import VideoClassifier
    from suture.sampled_frames import SampledFrames
    from suture.training import adapters, checkpoint, inputs, loop, processes, views
    from suture.training.callbacks import StopInTime
    from suture.training.claim import Claim
    from suture.training.heartbeat import Heartbeat
    from suture.training.inputs import Files

    stop = StopInTime(STARTED + args.deadline_seconds if args.deadline_seconds else None)
    stop.listen()
    claim = Claim(paths["work"])
    claim.take()
    processes.wait()  # the first sign of life means that all of them listen
    code = digest.code("train", f"suture.models.{args.family}")
    heartbeat = Heartbeat(
        paths["work"] / beat.NAME, experiment=args.experiment, until_step=until, max_steps=options.max_steps
    )
    about = _about(args, options, run, code)
    with (
        recording.recorded(args.ledger, about, heartbeat.pace, work_dir=paths["work"], began=STARTED) as record,
        heartbeat,
        checkpoint.written_whole(paths["work"]),
    ):
        given_files = Files(
            base=args.model,
            train=args.train,
            val=args.val,
            frames=args.frames_cache or [],
            features=args.features_cache or [],
        )
        loaded = inputs.load(
            args.family,
            options,
            given_files,
            args.system_prompt if told is None else told,
            sampling=sampling,
            classes=args.labels,
        )
        model = loaded.model
        if args.num_frames is not None and args.num_frames != getattr(model, "num_frames", args.num_frames):
            raise InputError(
                f"--num-frames {args.num_frames}: the model takes {getattr(model, 'num_frames', 0)} frames",
                fix=f"fetch_weights.py --num-frames {args.num_frames} makes a base that takes so many",
            )
        run["system_prompt"] = model.system_prompt
        if isinstance(model, VideoClassifier):
            run["labels"] = list(model.classes)
        resume = model_folder.weights_digest(args.resume) if args.resume else None
        tracking = args.tracking_dir or paths["work"] / "tracking"
        ready = time.monotonic()
        print(
            f"{len(loaded.train)} samples, at most {max(loaded.lengths)} tokens; ready after {ready - STARTED:.0f} s",
            flush=True,
        )
        outcome = loop.train(
            options,
            loop.Segment(
                experiment=args.experiment,
                until_step=until,
                resume=args.resume,
                output=paths["output"],
                work_dir=paths["work"],
                workers=args.workers,
                tracking=tracking,
            ),
            model=model,
            data=loop.Data(
                train=loaded.train,
                val=loaded.val,
                cache=loaded.cache,
                lengths=loaded.lengths,
                shape=loaded.shape,
                rounds=loaded.rounds,
            ),
            identity=loop.Identity(run=run, job={**run, "code": code, "resume": resume}),
            card={"family": args.family, "frames": _frames(args, sampling, options, *loaded.shape[1:])}
            | ({"prompt_mode": args.prompt_mode} if args.prompt_mode else {}),
            stop=stop,
            callbacks=[heartbeat, claim],
        )
        if sampling and isinstance(loaded.cache, SampledFrames) and processes.is_first():
            views.write_indices(
                tracking / "sampling_indices",
                loaded.cache,
                name=args.experiment,
                train=views.seen(loaded.train, loaded.rounds, options, outcome.step),
                val=loaded.val,
                options=options,
                sampling=sampling,
            )
        if isinstance(model, VideoClassifier) and processes.is_first():
            files.write_json(tracking / "config.json", {**options.model_dump(), **run, "experiment": args.experiment})
        if args.save_adapter and outcome.published and processes.is_first():
            adapters.copy_to(paths["output"], paths["saved"])
        record.ended(
            first_step=outcome.first_step, step=outcome.step, published=outcome.published, reason=outcome.reason
        )
    print(f"trained for {time.monotonic() - ready:.0f} s", flush=True)
    return cli.DONE if outcome.published else cli.DEADLINE


def _identity(args: argparse.Namespace, options: Train, sampling: Sampling | None) -> dict[str, Any]:
    """Says what makes this run the one it is: a job goes on with no other one's progress."""
    run = {
        **options.model_dump(exclude=NOT_IDENTITY),
        "family": args.family,
        "base_weights": model_folder.weights_digest(args.model),
        "train_samples": files.sha256_file(args.train),
        "val_samples": files.sha256_file(args.val) if args.val else None,
        "frames": sorted(files.sha256_file(path) for path in args.frames_cache or []),
        "features": sorted(files.sha256_file(path) for path in args.features_cache or []),
    }
    if sampling:
        run |= {"sampling": dataclasses.asdict(sampling)}
    if args.labels:
        run |= {"labels": args.labels}
    return run


def _about(args: argparse.Namespace, options: Train, run: Mapping[str, Any], code: str) -> recording.About:
    """Says the same for the ledger, by digests."""
    return recording.About(
        experiment=args.experiment,
        segment=args.segment,
        until_step=args.until_step or options.max_steps,
        samples_per_step=options.batch_size * options.gradient_accumulation_steps,
        code=code,
        config=ledger.digest_of({**options.model_dump(), "system_prompt": args.system_prompt}),
        inputs={
            "base_weights": run["base_weights"],
            "train_samples": run["train_samples"],
            "val_samples": run["val_samples"] or "",
            "frames": ledger.digest_of(run["frames"]),
            "features": ledger.digest_of(run["features"]),
        },
        seeds={"run": options.seed},
        threads=args.threads,
    )


def _check_share(options: Train) -> None:
    """Refuses a number of processes that a step cannot be dealt to, before anything is loaded."""
    if launching.is_one_of_several():
        share(options, int(os.environ["WORLD_SIZE"]))


def _first_before_others() -> AbstractContextManager[None]:
    if not launching.is_one_of_several():
        return nullcontext()
    from suture.training import processes

    return processes.first_before_others()


def _seen_an_epoch(
    args: argparse.Namespace, sampling: Sampling, samples: Sequence[Sample], given: Mapping[str, Any]
) -> int:
    """Counts what an epoch consists of: each sample in each of its rounds of augmentation."""
    if given.get("aug_step_size") is None:
        return len(samples)
    from suture.frame_draws import rounds
    from suture.frames import CachedClip

    total = {row.clip: row.n_frames for path in args.frames_cache or [] for row in records.read(path, CachedClip)}
    step, most = given["aug_step_size"], given.get("max_aug_rounds")
    return sum(len(rounds(sampling.train, total.get(one.clip, 0), sampling.count, step, most)) for one in samples)


def _check_kind(args: argparse.Namespace, options: Train, family: Mapping[str, Any], sampling: Sampling | None) -> None:
    """Refuses options that the family has no use for, and published flags that mean something else here."""
    for name, reason in family.get("REFUSED_FLAGS", {}).items():
        if getattr(args, f"refused_{name}", None) is not None:
            raise InputError(f"--{name}: {reason}")
    if reason := refused_by_family(options, family):
        raise InputError(reason)
    if args.labels and family.get("ANSWERS", "texts") == "texts":
        raise InputError("--labels are of classifiers, and this family answers in words", fix="leave it out")
    if options.aug_step_size is not None and (sampling is None or sampling.train == "middle"):
        raise InputError("--aug-step-size needs frames that are drawn", fix="--train-sampling uniform, random, ...")
    if options.learning_rate_per is not None:
        print(
            f"learning rate {options.learning_rate:g} is for {options.learning_rate_per} samples a step; with "
            f"{options.samples_per_step} it is {options.learning_rate_of('model'):g}",
            flush=True,
        )


def _frames(
    args: argparse.Namespace, sampling: Sampling | None, options: Train, height: int, width: int
) -> dict[str, Any] | None:
    """Says how frames were picked, for those who ask the model about a video later; None where it is not known."""
    if args.frames is None and args.fps is None:
        return None
    picked: dict[str, Any] = {"count": args.frames} if args.frames is not None else {"fps": args.fps}
    if sampling:
        picked |= {"method": sampling.test, "seed": options.seed}
    return {**picked, "height": height, "width": width}


def _paths(args: argparse.Namespace, save_dir: str) -> dict[str, Path]:
    saved = args.save_dir or Path(save_dir)
    output = args.output or saved / "checkpoint"
    return {"output": output, "work": args.work_dir or output.with_name(f"{output.name}.progress"), "saved": saved}


def _refuse_what_others_see(args: argparse.Namespace) -> None:
    """Refuses the published arguments that would put a secret or a model where it does not belong."""
    refuse_token(args)
    if args.push_to_hub or args.hub_model_id is not None:
        raise InputError(
            "a model is pushed when it is exported and scored, with a page that says how good it is",
            fix="export_model.py and score.py, then push_to_hub.py --repo-id OWNER/NAME; in a config: push_to_hub",
        )


def _options(args: argparse.Namespace, given: dict[str, Any], n_samples: int, defaults: Mapping[str, Any]) -> Train:
    """Reads the options; epochs become steps, and it is said how many."""
    if args.max_steps is not None and args.num_epochs is not None:
        raise InputError("--max-steps and --num-epochs both say how long to train", fix="give one of them")
    steps, epochs = args.max_steps, args.num_epochs or defaults.get("num_epochs")
    if steps is None and epochs is None:
        steps = registry.literals("model family", args.family)["PUBLISHED"].get("max_steps")
    if steps is None and epochs is None:
        raise InputError("how long should it train?", fix="give --max-steps N or --num-epochs E")
    if steps is None:
        checked = cast(Train, from_args(args, Train, **{**given, "max_steps": 1, "steps_per_job": 1}))
        a_step = checked.batch_size * checked.gradient_accumulation_steps
        steps = math.ceil(n_samples * cast(float, epochs) / a_step)
        print(f"{epochs:g} epochs of {n_samples} samples, {a_step} a step: {steps} steps", flush=True)
    until = args.until_step or steps
    if not 1 <= until <= steps:
        raise InputError(f"--until-step {until} is not between 1 and --max-steps {steps}")
    return cast(Train, from_args(args, Train, **{**given, "max_steps": steps, "steps_per_job": until}))


def _family(words: Sequence[str]) -> str | None:
    """Looks for --family before the command line is parsed: the help depends on it."""
    before = dict(itertools.pairwise(words))
    return before.get("--family") or next((w.split("=", 1)[1] for w in words if w.startswith("--family=")), None)


if __name__ == "__main__":
    cli.run(main, parser(_family(sys.argv[1:])), gpus=True)
