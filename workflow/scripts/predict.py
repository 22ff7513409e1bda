"""Asks a model about videos: the questions of samples, or one's own about any file.

Run as:
    python workflow/scripts/predict.py --model models/tuned --samples test.jsonl \\
        --frames-cache cache/shard-*.jsonl --output predictions.jsonl
    python workflow/scripts/predict.py --model models/tuned --media clip.mp4 --question "Which phase is it?"
    python workflow/scripts/predict.py --model models/tuned --media videos/ --output answers.jsonl

--media takes a video, an image, or a folder, which is searched with all folders
in it. Frames are chosen as in the model's training, which its folder tells;
where it does not, --fps or --frames and --size are needed. A file that cannot
be read costs itself alone, counted. The answer about a single file is printed
where there is no --output. Without --question it is asked what the published
notebook asks: What do you see in the video?

Answers are greedy unless --temperature is above 0. What is drawn for a question
then depends on --seed, the file or sample and the question's number: not on
chunks, and on the batch size no more than sums of numbers do.

By default (--history own) the questions about a clip are one conversation, as
in training, with the model's own earlier answers in it; gold answers are never
shown, since from the phase alone the instruments can be guessed. --history none
asks each question on its own: right for models trained with --shuffle-turns or
on single questions, while one trained on a fixed order of turns cannot answer
its second question first (measured: 0 of 120). --video shuffled shows each clip
another one's frames: a score that does not fall did not come from looking.
--video none is for a model that was trained with --blind: one that learnt from
videos answers without them anyhow, which says nothing.

--choices has each question answered with the likeliest of a closed set, scored
exactly: the question is computed once, then all choices together. Predictions
hold the scores of all of them. A score is the log-probability of a choice's
tokens and of the one that ends an answer (--no-score-end: without that one, for
models that never learnt to end), summed or, with --normalisation mean, divided
by their number.

--adapter puts a LoRA adapter on the model, without merging it: a checkpoint of
train.py, a folder of export_model.py, or a published one, also where its
tensors have the names of former versions of the library. Each tensor must find
its place. A hub id needs the commit; a token for what is gated comes from the
environment variable HF_TOKEN only.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from suture import closed_set, free_media, libraries, node_local, prompt_modes, records, registry
from suture.asked_model import Chosen, choose, load
from suture.cli import Parser, run, share
from suture.closed_set import ClosedSet
from suture.config.flags import add_flags, from_args, given_flags
from suture.config.generation import Generation
from suture.errors import InputError
from suture.models.base import Features, Video
from suture.progress import say
from suture.records import Prediction, Sample

if TYPE_CHECKING:
    from suture.training.data import MediaCache


def parser() -> Parser:
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        "--model",
        required=True,
        metavar="DIR|FILE|ID",
        help="folder of export_model.py or fetch_weights.py, a checkpoint file of endofm, or a hub id",
    )
    p.add_argument("--revision", metavar="COMMIT", help="commit of a hub model")
    p.add_argument("--adapter", metavar="DIR|ID", help="LoRA adapter to put on the model")
    p.add_argument("--adapter-revision", metavar="COMMIT", help="commit of a hub adapter")
    p.add_argument("--family", metavar="NAME", help="model family (default: what the model folder says)")
    p.add_argument(
        "--system-prompt", metavar="TEXT", help="default: the text stored with adapter or model, else the family's"
    )
    asked = p.add_mutually_exclusive_group(required=True)
    asked.add_argument("--samples", type=Path, metavar="FILE", help="samples whose questions are asked")
    asked.add_argument(
        "--media", type=Path, metavar="FILE|DIR", help="video or image to ask about, or a folder of them"
    )
    p.add_argument(
        "--output", type=Path, metavar="FILE", help="predictions to write; optional for a single --media file"
    )
    p.add_argument("--history", choices=["own", "none"], default="own", help="what stands before a question (own)")
    p.add_argument("--batch-size", type=int, default=16, metavar="N", help="questions answered at once (16)")
    p.add_argument(
        "--num-chunks", type=int, default=1, metavar="N", help="parts the samples or files are divided into (1)"
    )
    p.add_argument("--chunk", type=int, default=0, metavar="K", help="the part to answer, from 0 (0)")
    p.add_argument(
        "--threads", type=int, default=1, metavar="N", help="CPU threads; equal runs need an equal number (1)"
    )
    ours = p.add_argument_group("with --samples")
    ours.add_argument("--frames-cache", type=Path, nargs="+", metavar="FILE", help="cache_frames manifests; required")
    ours.add_argument(
        "--video",
        choices=["real", "shuffled", "still", "none"],
        help="whose frames are shown; still: each clip's first one, repeated; none: to a blind model (real)",
    )
    ours.add_argument("--sampling-indices", type=Path, metavar="FILE", help="write the frames that were drawn, CSV")
    free = p.add_argument_group("with --media")
    free.add_argument(
        "--question", action="append", metavar="TEXT", help="asked about each file; given again: the next one"
    )
    sampling = free.add_mutually_exclusive_group()
    sampling.add_argument("--frames", type=int, metavar="N", help="frames a file, evenly spaced (as in training)")
    sampling.add_argument("--fps", type=float, metavar="F", help="frames a second of video (as in training)")
    free.add_argument(
        "--size", type=int, nargs=2, metavar=("H", "W"), help="size of the frames in pixels (as in training)"
    )
    free.add_argument("--workers", type=int, metavar="N", help="processes that decode files (1)")
    free.add_argument("--seconds-per-file", type=float, metavar="S", help="time limit for decoding one file (600)")
    free.add_argument("--max-rejected", type=share, metavar="SHARE", help="largest share of unusable files (0.1)")
    free.add_argument("--rejected", type=Path, metavar="FILE", help="write the files left out, with reasons")
    p.add_argument(
        "--settings",
        choices=["own", "published"],
        default="own",
        help="published: the family's published way to answer, where a flag does not say otherwise (own)",
    )
    add_flags(p, Generation)
    chosen = p.add_argument_group("a closed set of answers, in place of generation")
    chosen.add_argument(
        "--choices", type=Path, metavar="FILE", help="answers to choose from: a JSON list, or one a line"
    )
    chosen.add_argument(
        "--prompt-mode",
        choices=prompt_modes.MODES,
        help="show the question alone, or with the choices; a trained model is asked as it was trained (default)",
    )
    chosen.add_argument(
        "--normalisation", choices=["sum", "mean"], help="of the log-probabilities of a choice's tokens (sum)"
    )
    chosen.add_argument(
        "--score-end",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="count the token that ends an answer (default: yes)",
    )
    return p


SAMPLES_ONLY = ("frames_cache", "video", "sampling_indices")
MEDIA_ONLY = ("question", "frames", "fps", "size", "workers", "seconds_per_file", "max_rejected", "rejected")


def main(args: argparse.Namespace) -> None:
    _check(args)
    generation, choices = cast(Generation, from_args(args, Generation)), _closed_set(args)
    if args.samples:
        node_local.want()
        _ask_samples(args, generation, choices)
    else:
        _ask_about_files(args, generation, choices)


def _check(args: argparse.Namespace) -> None:
    """Refuses flags that do not exist together or would do nothing."""
    if not 0 <= args.chunk < args.num_chunks:
        raise InputError(f"--chunk {args.chunk} does not exist: with --num-chunks {args.num_chunks} it is 0 to K - 1")
    for name in ("batch_size", "threads", "workers", "seconds_per_file"):
        value = getattr(args, name)
        if value is not None and not value > 0:
            raise InputError(f"--{name.replace('_', '-')} must be above 0")
    source, others = ("--samples", MEDIA_ONLY) if args.samples else ("--media", SAMPLES_ONLY)
    if idle := [name for name in others if getattr(args, name) is not None]:
        raise InputError(f"with {source}, --{idle[0].replace('_', '-')} would do nothing", fix="leave it out")
    if args.samples and not args.frames_cache:
        raise InputError("the frames of samples come from a cache", fix="give --frames-cache FILE ...")
    if not args.output and (args.samples or args.media.is_dir()):
        raise InputError("where should the predictions go?", fix="give --output FILE")
    of_choices = [name for name in ("normalisation", "score_end") if getattr(args, name) is not None]
    of_writing = [*(["settings"] if args.settings != "own" else []), *sorted(given_flags(args, Generation))]
    if idle := of_writing if args.choices else of_choices:
        source = "with" if args.choices else "without"
        raise InputError(f"{source} --choices, --{idle[0].replace('_', '-')} would do nothing", fix="leave it out")


def _closed_set(args: argparse.Namespace) -> ClosedSet | None:
    if args.choices is None:
        return None
    return closed_set.read(
        args.choices,
        normalisation=args.normalisation or "sum",
        score_end=args.score_end is not False,
    )


def _choose(args: argparse.Namespace) -> Chosen:
    return choose(
        args.model,
        revision=args.revision,
        adapter=args.adapter,
        adapter_revision=args.adapter_revision,
        family=args.family,
    )


def _prompt(args: argparse.Namespace, chosen: Chosen, choices: ClosedSet | None) -> str | None:
    """Returns what the prompt says beside the question; None: what the model was trained with."""
    if args.prompt_mode is None:
        if chosen.card.get("prompt_mode") == "choices" and choices:
            prompt_modes.check(chosen.card, "choices", _candidates(chosen, "choices", choices))
        return cast(str | None, args.system_prompt)
    if args.system_prompt is not None:
        raise InputError("--prompt-mode and --system-prompt both say what stands in the prompt", fix="give one")
    told = _candidates(chosen, args.prompt_mode, choices)
    prompt_modes.check(chosen.card, args.prompt_mode, told)
    return told


def _candidates(chosen: Chosen, mode: str, choices: ClosedSet | None) -> str:
    known = registry.literals("model family", chosen.family)
    return prompt_modes.text(chosen.family, known, mode, choices.choices if choices else ())


def _settled(args: argparse.Namespace, family: str, given: Generation) -> Generation:
    """Fills in the published way to answer, where it is asked for and no flag says otherwise.

    Raises:
        InputError: there is none.
    """
    if args.settings == "own":
        return given
    found = registry.literals("model family", family).get("PUBLISHED", {}).get("generation")
    if not found:
        raise InputError(f"{family} has no published way to answer", fix="leave out --settings published")
    published = {name: value for name, value in found.items() if not hasattr(args, name)}
    return cast(Generation, from_args(args, Generation, **published))


def _ask_samples(args: argparse.Namespace, generation: Generation, choices: ClosedSet | None) -> None:
    samples: list[Sample] = records.read(args.samples, Sample)
    records.check_unique([sample.id for sample in samples], what="sample", where=args.samples)
    chosen = _choose(args)
    generation = _settled(args, chosen.family, generation)

    libraries.prepare(threads=args.threads)
    # Not before: they import torch.
    from suture.frames import FrameCache
    from suture.prediction import chunk_of, predict, shuffled_clips, still
    from suture.training.data import Unseen, check_samples, usable, video_of

    cache: MediaCache = (Unseen if args.video == "none" else FrameCache)(args.frames_cache)
    samples, left_out = usable(samples, cache, where=args.samples)
    if left_out:
        print(f"{len(left_out)} samples left out, their clips were rejected by cache_frames: {left_out[0].where}, ...")
    model = load(chosen, _prompt(args, chosen, choices))
    cache = _as_trained(args, chosen, cache, samples)
    check_samples(samples, model, cache, where=args.samples)
    instead = shuffled_clips(samples) if args.video == "shuffled" else {}

    def shown(clip: str) -> Video | Features | None:
        return video_of(cache, instead.get(clip, clip))

    predictions = predict(
        model,
        chunk_of(samples, chunk=args.chunk, chunks=args.num_chunks),
        still(shown) if args.video == "still" else shown,
        history=args.history,
        generation=generation,
        batch_size=args.batch_size,
        choices=choices,
    )
    records.write(args.output, predictions)
    print(_counted(predictions, generation, choices))


def _as_trained(args: argparse.Namespace, chosen: Chosen, cache: MediaCache, samples: Sequence[Sample]) -> MediaCache:
    """Draws frames from clips that are cached whole, as the model's folder says; and writes which, where asked to."""
    frames = chosen.card.get("frames") or {}
    if "method" not in frames:
        if args.sampling_indices:
            raise InputError("the model sees the frames that were cached; none are drawn", where=chosen.where)
        return cache
    from suture.frame_draws import Draws
    from suture.frames import FrameCache
    from suture.sampled_frames import SampledFrames, check_whole, write

    assert isinstance(cache, FrameCache)
    check_whole(cache, sorted({sample.clip for sample in samples}))
    draws = Draws(method=frames["method"], count=frames["count"], seed=frames["seed"])
    drawn = SampledFrames(cache, held_out=draws)
    if args.sampling_indices:
        write(args.sampling_indices, [drawn.drawn(one.clip, one.turns[0].answer) for one in samples])
    return drawn


def _ask_about_files(args: argparse.Namespace, generation: Generation, choices: ClosedSet | None) -> None:
    found, others = free_media.find(args.media)
    chosen = _choose(args)
    generation = _settled(args, chosen.family, generation)
    settings = free_media.frame_settings(
        chosen.card,
        count=args.frames,
        fps=args.fps,
        size=args.size,
        where=chosen.where,
        hint=_published(chosen.family),
    )

    libraries.prepare(threads=args.threads)
    # Not before: they import torch.
    from suture.asking import QUESTION, ask, conversation, most_frames
    from suture.prediction import chunk_of

    model = load(chosen, _prompt(args, chosen, choices))
    model.check_size(settings.height, settings.width)
    samples = [conversation(name, args.question or [QUESTION]) for name in found]
    most = most_frames(model, samples[0].turns, settings, generation)
    samples = chunk_of(samples, chunk=args.chunk, chunks=args.num_chunks)
    predictions, rejections = ask(
        model,
        samples,
        free_media.read_all(
            [found[sample.clip] for sample in samples],
            settings,
            most=most,
            workers=args.workers or 1,
            seconds=args.seconds_per_file or 600,
        ),
        history=args.history,
        generation=generation,
        batch_size=args.batch_size,
        max_rejected=0.1 if args.max_rejected is None else args.max_rejected,
        choices=choices,
    )
    if args.rejected:
        records.write(args.rejected, rejections)
    if args.output is None:
        print("\n".join(prediction.prediction for prediction in predictions))
        say(_counted(predictions, generation, choices))
        return
    records.write(args.output, predictions)
    print(f"{_counted(predictions, generation, choices)}; {len(rejections)} files left out")
    if others:
        print(
            f"{len(others)} files are neither video nor image: {', '.join(others[:10])}{', ...' if others[10:] else ''}"
        )


def _published(family: str) -> str:
    """Words the settings of the family's published model, where there is one."""
    known = registry.literals("model family", family).get("PUBLISHED", {})
    if not {"fps", "size"} <= known.keys():
        return ""
    return f" (published: --fps {known['fps']:g} --size {known['size'][0]} {known['size'][1]})"


def _counted(predictions: Sequence[Prediction], generation: Generation, choices: ClosedSet | None) -> str:
    if choices:
        return f"{len(predictions)} questions answered, each with one of {len(choices.choices)} choices"
    truncated = sum(prediction.truncated for prediction in predictions)
    return f"{len(predictions)} questions answered, {truncated} answers cut off at {generation.max_new_tokens} tokens"


if __name__ == "__main__":
    run(main, parser(), gpus=True)
