"""Asks a model the questions of samples about their clips.

Run as:
    python workflow/scripts/predict.py --model models/tuned --samples test.jsonl \\
        --frames-cache cache/shard-*.jsonl --output predictions.jsonl

Answers are greedy. By default (--history own) a clip's questions are one
conversation, as in training, with the model's own earlier answers in it; gold
answers are never shown, since from the phase alone the instruments can be
guessed. --history none asks each question on its own: right for models trained
with --shuffle-turns or on single questions, while one trained on a fixed order
of turns cannot answer its second question first (measured: 0 of 120).
--video shuffled shows each clip another one's frames: a score that does not
fall did not come from looking.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

from suture import libraries, model_folder, records, registry
from suture.cli import Parser, run
from suture.config.flags import add_flags, from_args
from suture.config.generation import Generation
from suture.errors import InputError
from suture.records import Sample


def parser() -> Parser:
    p = Parser(__doc__)
    p.add_argument(
        "--model", type=Path, required=True, metavar="DIR", help="folder of export_model.py or fetch_weights.py"
    )
    p.add_argument("--samples", type=Path, required=True, metavar="FILE", help="samples whose questions are asked")
    p.add_argument("--frames-cache", type=Path, nargs="+", required=True, metavar="FILE", help="cache_frames manifests")
    p.add_argument("--output", type=Path, required=True, metavar="FILE", help="predictions to write")
    p.add_argument("--family", metavar="NAME", help="model family; default: what the model folder says")
    p.add_argument("--history", choices=["own", "none"], default="own", help="what stands before a question")
    p.add_argument("--video", choices=["real", "shuffled"], default="real", help="whose frames are shown")
    p.add_argument("--batch-size", type=int, default=16, metavar="N", help="questions answered at once")
    p.add_argument("--num-chunks", type=int, default=1, metavar="N", help="parts the samples are divided into")
    p.add_argument("--chunk", type=int, default=0, metavar="K", help="the part to answer, from 0")
    p.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads; equal runs need an equal number")
    add_flags(p, Generation)
    return p


def main(args: argparse.Namespace) -> None:
    if not 0 <= args.chunk < args.num_chunks:
        raise InputError(f"--chunk {args.chunk} does not exist: with --num-chunks {args.num_chunks} it is 0 to K - 1")
    if args.batch_size < 1:
        raise InputError("--batch-size must be above 0")
    generation = cast(Generation, from_args(args, Generation))
    samples: list[Sample] = records.read(args.samples, Sample)
    records.check_unique([sample.id for sample in samples], what="sample", where=args.samples)
    family = args.family or model_folder.read_card(args.model).get("family")
    if family is None:
        raise InputError("the folder does not say which family it is of", where=args.model, fix="give --family NAME")

    libraries.prepare(threads=args.threads)
    # Not before: they import torch.
    from suture.frames import FrameCache
    from suture.prediction import chunk_of, predict, shuffled_clips
    from suture.pretrained import placement
    from suture.training.data import check_samples, usable

    cache = FrameCache(args.frames_cache)
    samples, left_out = usable(samples, cache, where=args.samples)
    if left_out:
        print(f"{len(left_out)} samples left out, their clips were rejected by cache_frames: {left_out[0].where}, ...")
    device, dtype = placement(args.model)
    model = registry.family(family).load(args.model, dtype=dtype)
    model.model.to(device)
    check_samples(samples, model, cache, where=args.samples)
    predictions = predict(
        model,
        chunk_of(samples, chunk=args.chunk, chunks=args.num_chunks),
        cache,
        history=args.history,
        generation=generation,
        batch_size=args.batch_size,
        clip_of=shuffled_clips(samples) if args.video == "shuffled" else None,
    )
    records.write(args.output, predictions)
    truncated = sum(prediction.truncated for prediction in predictions)
    print(f"{len(predictions)} questions answered, {truncated} answers cut off at {generation.max_new_tokens} tokens")


if __name__ == "__main__":
    run(main, parser())
