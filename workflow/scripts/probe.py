"""Measures what an experiment's training takes on this machine, in a few steps: time, saves, disk, memory.

Run as:
    python workflow/scripts/probe.py --family qwen2_5_vl --model models/small --train train.jsonl --val val.jsonl \\
        --frames-cache cache/shard-*.jsonl --batch-size 8 --output plans/probe/mine.json

Trains as train.py would, on the run's own first batches, and saves once. The
memory is that of the longest batch, for the experiment's way of training and
for full training (or LoRA) beside it; each is tried in a process of its own,
so that one that is killed for memory is an answer and not the end. Nothing of
what is trained is kept. What does not fit is written down with what would:
`plan` refuses it.
"""

from __future__ import annotations

import argparse
import dataclasses
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

from suture import (
    cli,
    files,
    launching,
    ledger,
    libraries,
    machine,
    model_folder,
    probing,
    prompt_modes,
    records,
    registry,
    sampling_flags,
)
from suture.config.flags import add_flags, from_args, given_flags
from suture.config.training import Train, refusal, with_family_defaults
from suture.errors import InputError, SutureError
from suture.predicted import read_labels
from suture.probing import Memory, Mode, Probe, Timing
from suture.records import Sample

STARTED = launching.began()
STEPS = 5


def parser() -> cli.Parser:
    p = cli.Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--family", required=True, metavar="NAME", choices=registry.names("model family"))
    p.add_argument("--model", type=Path, required=True, metavar="DIR", help="base model, a folder of fetch_weights.py")
    p.add_argument("--train", type=Path, required=True, metavar="FILE", help="samples to learn from")
    p.add_argument("--val", type=Path, metavar="FILE", help="the same for the validation loss")
    p.add_argument("--frames-cache", type=Path, nargs="+", default=[], metavar="FILE", help="cache_frames manifests")
    p.add_argument(
        "--features-cache", type=Path, nargs="+", default=[], metavar="FILE", help="cache_features manifests"
    )
    p.add_argument("--frames", type=int, metavar="N", help="how many are drawn of each clip")
    sampling_flags.add(p)
    p.add_argument("--labels", nargs="+", metavar="NAME", help="classes of a classifier, in their order")
    p.add_argument("--prompt-mode", choices=prompt_modes.MODES, help="as of train.py")
    p.add_argument("--choices", type=Path, metavar="FILE", help="as of train.py")
    p.add_argument("--experiment", default="train", metavar="NAME", help="its name (default: train)")
    p.add_argument("--steps", type=int, default=STEPS, metavar="N", help=f"steps to time (default: {STEPS})")
    p.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default: 1)")
    p.add_argument(
        "--work-dir", type=Path, metavar="DIR", help="for one checkpoint, then deleted (default: beside OUTPUT)"
    )
    p.add_argument("--output", type=Path, required=True, metavar="FILE", help="probe to write")
    launching.add_flags(p)
    p.add_argument("--only", choices=["full", "lora", "qlora"], help=argparse.SUPPRESS)
    add_flags(p, Train, leave_out=frozenset({"steps_per_job", "max_steps"}))
    return p


def main(args: argparse.Namespace) -> int | None:
    family = registry.literals("model family", args.family)
    defaults = family.get("TRAIN_DEFAULTS", {})
    given = with_family_defaults(given_flags(args, Train), defaults)
    total = args.steps + 1
    options = cast(Train, from_args(args, Train, **{**given, "max_steps": total, "steps_per_job": total}))
    if not (args.frames_cache or args.features_cache):
        raise InputError("where are the videos?", fix="give --frames-cache FILE ... or --features-cache FILE ...")
    if reason := refusal(options, family):
        raise InputError(reason)
    if args.only:
        # Timed as it will be trained: by all its processes together.
        own_mode = args.only == probing.mode_of(options)
        if own_mode and (code := launching.start(nodes=args.nodes, processes=args.processes)) is not None:
            return code
        with launching.met(args.threads) as is_first:
            _measure(args, options, args.only, defaults, write=is_first)
        return None
    model_folder.check_family(args.model, args.family)
    own = probing.mode_of(options)
    modes = [own, *probing.other_modes(options, family)]
    place = args.work_dir or args.output.parent
    place.mkdir(parents=True, exist_ok=True)
    found = {}
    with tempfile.TemporaryDirectory(dir=place, prefix=".probe-") as work:
        for mode in modes:
            print(f"{args.experiment}: {mode}", flush=True)
            found[mode] = _in_a_process(mode, Path(work))
            print(f"{args.experiment}: {mode}: {_said(found[mode], timed=mode == own)}", flush=True)
    mine = found[own]
    probe = Probe(
        experiment=args.experiment,
        family=args.family,
        asked=probing.asked(options),
        mode=own,
        device=mine["device"],
        gpus=mine["gpus"],
        capacity_bytes=mine["capacity_bytes"],
        samples=len(records.read(args.train, Sample)),
        memory={mode: Memory(**one["memory"]) for mode, one in found.items()},
        timing=Timing(**mine["timing"]) if mine["timing"] else None,
        host=machine.host(),
        measured=ledger.utc(time.time()),
    )
    probing.write(args.output, probe)
    if not probe.gpus:
        print(f"measured on a CPU ({probe.device}): there is no GPU here; a GPU job takes other times", flush=True)
    return None


def _in_a_process(mode: Mode, work: Path) -> dict[str, Any]:
    """Measures one way of training in a process of its own, and reads what it wrote.

    Raises:
        SutureError: it failed for another reason than memory; its own words are above.
    """
    answer = work / f"{mode}.json"
    words = [*sys.argv[1:], "--only", mode, "--work-dir", str(work), "--output", str(answer)]
    done = subprocess.run([sys.executable, __file__, *words], check=False)
    if answer.is_file():
        found: dict[str, Any] = files.read_json(answer)
        return found
    if done.returncode == -signal.SIGKILL:
        memory = Memory(bytes=None, problem="the system ended the process: the host's memory did not suffice")
        known = {"device": machine.cpu(), "gpus": 0, "capacity_bytes": None}
        return {"memory": dataclasses.asdict(memory), "timing": None, **known}
    raise SutureError(f"measuring {mode} training ended with {done.returncode}", fix="see what it says above")


def _measure(args: argparse.Namespace, options: Train, mode: Mode, defaults: dict[str, Any], *, write: bool) -> None:
    """Measures one way of training here; the parent reads the output."""
    libraries.prepare(threads=args.threads)
    # Not before: they import torch.
    from suture.training.inputs import Files
    from suture.training.measuring import measure

    own = mode == probing.mode_of(options)
    # Features are those of a frozen tower: another way of training may need the frames.
    features = args.features_cache if own or not args.frames_cache else []
    measured = measure(
        args.family,
        probing.in_mode(options, mode, defaults),
        Files(base=args.model, train=args.train, val=args.val, frames=args.frames_cache, features=features),
        steps=args.steps if own else None,
        work_dir=args.work_dir,
        began=STARTED,
        sampling=sampling_flags.of(args),
        classes=args.labels,
        told=_prompt(args),
    )
    if write:
        files.write_json(args.output, dataclasses.asdict(measured))


def _prompt(args: argparse.Namespace) -> str | None:
    """Returns what the prompt says beside the question, as train.py does."""
    if args.prompt_mode is None:
        return None
    choices = read_labels(args.choices) if args.choices else ()
    return prompt_modes.text(args.family, registry.literals("model family", args.family), args.prompt_mode, choices)


def _said(found: dict[str, Any], *, timed: bool) -> str:
    memory, timing = found["memory"], found["timing"]
    if memory["bytes"] is None:
        return f"does not fit: {memory['problem']}"
    words = f"{memory['bytes'] / 2**30:.2f} GiB of {found['capacity_bytes'] / 2**30:.2f} GiB for the longest batch"
    if timed and timing:
        words += (
            f"; {timing['seconds_per_step']:.3g} s a step, {timing['save_seconds']:.3g} s a save, "
            f"checkpoint {timing['checkpoint_bytes'] / 1e9:.3g} GB in {timing['checkpoint_files']} files"
        )
    return words


if __name__ == "__main__":
    cli.run(main, parser())
