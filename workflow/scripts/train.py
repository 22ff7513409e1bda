"""Trains one segment of a run: from the base model or the segment before, to an optimiser step.

Run as:
    python workflow/scripts/train.py --family qwen2_5_vl --model models/small \\
        --train train.jsonl --val val.jsonl --frames-cache cache/shard-*.jsonl \\
        --max-steps 400 --until-step 200 --output train/segment-1 --work-dir progress/segment-1

The schedule always spans --max-steps; segments joined by --resume give the
weights of one run that never stopped, to the bit on CPU. The output appears
when it is whole. Interrupted by its deadline or SIGTERM, the command saves its
progress in --work-dir and exits 75; killed, it continues from its last save.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import cast

from suture import cli, digest, files, libraries, model_folder, records, registry
from suture.config.flags import add_flags, from_args
from suture.config.training import Train
from suture.errors import InputError
from suture.records import Sample

STARTED = time.monotonic()

# How often to save and to log, and where jobs end, change nothing of what is learnt.
NOT_IDENTITY = {"steps_per_job", "save_steps", "logging_steps"}


def parser() -> cli.Parser:
    p = cli.Parser(__doc__)
    p.add_argument(
        "--family", required=True, metavar="NAME", help="model family", choices=registry.names("model family")
    )
    p.add_argument("--model", type=Path, required=True, metavar="DIR", help="base model, a folder of fetch_weights.py")
    p.add_argument("--train", type=Path, required=True, metavar="FILE", help="samples to learn from")
    p.add_argument("--val", type=Path, metavar="FILE", help="samples for the validation loss at the last step")
    p.add_argument("--frames-cache", type=Path, nargs="+", required=True, metavar="FILE", help="cache_frames manifests")
    p.add_argument("--until-step", type=int, metavar="K", help="last optimiser step of this segment; default: the last")
    p.add_argument("--resume", type=Path, metavar="DIR", help="checkpoint of the segment before")
    p.add_argument("--output", type=Path, required=True, metavar="DIR", help="checkpoint to write")
    p.add_argument("--work-dir", type=Path, required=True, metavar="DIR", help="progress of this job, for a restart")
    p.add_argument("--system-prompt", metavar="TEXT", help="default: the text stored with the model")
    p.add_argument("--deadline-seconds", type=float, metavar="S", help="stop with progress saved before S seconds")
    p.add_argument("--workers", type=int, default=0, metavar="N", help="processes that prepare batches")
    p.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads; equal runs need an equal number")
    add_flags(p, Train, leave_out=frozenset({"steps_per_job"}))
    return p


def main(args: argparse.Namespace) -> int:
    until = args.until_step or args.max_steps
    if not 1 <= until <= args.max_steps:
        raise InputError(f"--until-step {until} is not between 1 and --max-steps {args.max_steps}")
    options = cast(Train, from_args(args, Train, steps_per_job=until))
    train_samples: list[Sample] = records.read(args.train, Sample)
    val_samples: list[Sample] = records.read(args.val, Sample) if args.val else []
    model_folder.check_family(args.model, args.family)

    libraries.prepare(threads=args.threads)
    # Not before: they import torch.
    from suture.frames import FrameCache
    from suture.training import adapters, loop
    from suture.training.callbacks import StopInTime
    from suture.training.data import check_samples, usable

    stop = StopInTime(STARTED + args.deadline_seconds if args.deadline_seconds else None)
    stop.listen()
    cache = FrameCache(args.frames_cache)
    train_samples, left_out = usable(train_samples, cache, where=args.train)
    if val_samples:
        val_samples, more = usable(val_samples, cache, where=args.val)
        left_out += more
    if left_out:
        print(f"{len(left_out)} samples left out, their clips were rejected by cache_frames: {left_out[0].where}, ...")
    model = registry.family(args.family).load(args.model, args.system_prompt, **adapters.base_options(options))
    longest = check_samples(train_samples, model, cache, where=args.train)
    if val_samples:
        check_samples(val_samples, model, cache, where=args.val)

    identity = {
        **options.model_dump(exclude=NOT_IDENTITY),
        "family": args.family,
        "system_prompt": model.system_prompt,
        "base_weights": model_folder.weights_digest(args.model),
        "train_samples": files.sha256_file(args.train),
        "val_samples": files.sha256_file(args.val) if args.val else None,
        "frames": sorted(files.sha256_file(path) for path in args.frames_cache),
    }
    progress_identity = {
        **identity,
        "code": digest.code("train", f"suture.models.{args.family}"),
        "resume": model_folder.weights_digest(args.resume) if args.resume else None,
    }
    ready = time.monotonic()
    print(f"{len(train_samples)} samples, at most {longest} tokens; ready after {ready - STARTED:.0f} s", flush=True)
    code = loop.train(
        options,
        loop.Segment(
            until_step=until,
            resume=args.resume,
            output=args.output,
            work_dir=args.work_dir,
            workers=args.workers,
        ),
        model=model,
        train_samples=train_samples,
        val_samples=val_samples,
        cache=cache,
        identity=identity,
        progress_identity=progress_identity,
        family=args.family,
        stop=stop,
    )
    print(f"trained for {time.monotonic() - ready:.0f} s", flush=True)
    return code


if __name__ == "__main__":
    cli.run(main, parser())
