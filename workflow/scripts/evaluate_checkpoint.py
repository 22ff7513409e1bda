"""Evaluates one checkpoint on one split of a dataset: a checkpoint file of its family, or a model folder.

Run as:
    python workflow/scripts/evaluate_checkpoint.py --checkpoint checkpoint.pth.tar --root data/downstream/PolypDiag \\
        --labels normal abnormal --split val --output evaluated/

    python workflow/scripts/evaluate_checkpoint.py --family surgvivqa --checkpoint best_model.pth --adapter ssgvqa \\
        --root SSGVQA/ssg-qa --videos CholecT45/data --choices config/ssgvqa.labels.json --output evaluated/

The first asks a classifier about videos; with --choices a model answers the
dataset's questions about images, each with the likeliest choice, and the
majority of the training questions stands beside it.

Writes predictions.jsonl, metrics.json (one experiment's entry, with intervals
over cases, confusion matrix, ROC and PR curves) and confusion_matrix.png; of a
checkpoint file also checkpoint.json: how many of its tensors matched, were
missing or unexpected, and what was assumed that they do not tell.
Frames are those of the model's training, which its folder tells; a file does
not, and --frames 8 --size 224 224 --sampling uniform are taken. Videos that cannot be read are left out, counted.
Nothing is selected here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from suture import (
    baselines,
    closed_set,
    files,
    free_media,
    libraries,
    prompt_modes,
    records,
    registry,
    scoring,
    untold,
    windows,
)
from suture.asked_model import choose, load
from suture.cli import Parser, run, share
from suture.config.generation import Generation
from suture.datasets.base import read_split
from suture.errors import InputError
from suture.frame_draws import METHODS
from suture.free_media import FrameSettings
from suture.predicted import read
from suture.records import Sample
from suture.splitting import SPLITS
from suture.tasks import classification, closed_vqa
from suture.tasks.base import Context


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--checkpoint", required=True, metavar="FILE|DIR", help="checkpoint file, or a model folder")
    p.add_argument("--family", default="endofm", metavar="NAME", help="its family (endofm)")
    p.add_argument("--root", type=Path, required=True, metavar="DIR", help="dataset that the adapter reads")
    p.add_argument("--videos", type=Path, metavar="DIR", help="its media (videos/ in --root, else --root itself)")
    p.add_argument("--adapter", default="video_folder", metavar="NAME", help="dataset adapter (video_folder)")
    p.add_argument("--split", choices=SPLITS, default="test", help="which of the publisher's lists is scored (test)")
    p.add_argument("--labels", nargs="+", metavar="NAME", help="classes of a file's head, in its order")
    untold.add_flag(p)
    p.add_argument("--frames", type=int, metavar="F", help="frames a video (as in training, else 8)")
    p.add_argument("--sampling", choices=METHODS, help="how they are picked (as in training, else uniform)")
    p.add_argument("--size", type=int, nargs=2, metavar=("H", "W"), help="in pixels (as in training, else 224 224)")
    p.add_argument("--seed", type=int, default=42, metavar="N", help="of the draws (42)")
    p.add_argument("--batch-size", type=int, default=16, metavar="N", help="videos at once (16)")
    p.add_argument("--workers", type=int, default=1, metavar="N", help="processes that decode (1)")
    p.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (1)")
    p.add_argument("--max-rejected", type=share, default=0.1, metavar="SHARE", help="of unusable videos (0.1)")
    p.add_argument("--choices", type=Path, metavar="FILE", help="closed set of answers: a JSON list, or one a line")
    p.add_argument("--normalisation", choices=["sum", "mean"], default="sum", help="of a choice's tokens (sum)")
    p.add_argument(
        "--score-end", action=argparse.BooleanOptionalAction, default=True, help="count the token that ends an answer"
    )
    p.add_argument("--prompt-mode", choices=prompt_modes.MODES, help="as in training (default: what the model tells)")
    p.add_argument("--limit", type=int, metavar="N", help="only the first N questions, by name")
    p.add_argument("--published-score", action="store_true", help="also the score that the Endo-FM fork selects by")
    p.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    return p


def main(args: argparse.Namespace) -> None:
    """Predicts and scores."""
    if args.choices is not None:
        _answer(args)
        return
    if idle := [name for name in ("prompt_mode", "limit") if getattr(args, name) is not None]:
        raise InputError(f"--{idle[0].replace('_', '-')} would do nothing without --choices")
    samples, media = _videos(args)
    chosen = choose(args.checkpoint, family=args.family, labels=args.labels, assume=args.assume)
    known = chosen.card.get("frames") or {}
    settings = FrameSettings(
        count=args.frames or known.get("count") or 8,
        fps=None,
        height=(args.size or [known.get("height") or 224])[0],
        width=(args.size or [0, known.get("width") or 224])[1],
        method=args.sampling or known.get("method") or ("middle" if known else "uniform"),
        seed=known.get("seed", args.seed),
    )

    libraries.prepare(threads=args.threads)
    # Not before: they import torch.
    from suture.asking import ask
    from suture.confusion_picture import draw

    model = load(chosen, None)
    model.check_size(settings.height, settings.width)
    predictions, rejections = ask(
        model,
        samples,
        free_media.read_all(
            [media[sample.clip] for sample in samples],
            settings,
            most=settings.count or 8,
            workers=args.workers,
            seconds=600,
        ),
        history="own",
        generation=Generation(),
        batch_size=args.batch_size,
        max_rejected=args.max_rejected,
    )
    if chosen.report is not None:
        files.write_json(args.output / "checkpoint.json", chosen.report)
    written = args.output / "predictions.jsonl"
    records.write(written, predictions)
    records.write(args.output / "rejected.jsonl", rejections)
    labels = tuple(getattr(model, "classes", ()))
    units = scoring.number_units(read(written).rows)
    entry = scoring.entry(
        classification,
        units,
        split=args.split,
        leaky=False,
        baselines={},
        not_computed={"leaky": "what the checkpoint was trained on is not known: a leak would not show"},
        context=Context(labels=labels, published=args.published_score),
    )
    files.write_json(args.output / "metrics.json", entry)
    counts = [[0] * len(labels) for _ in labels]
    for one in predictions:
        counts[labels.index(one.answer)][labels.index(one.prediction)] += 1
    draw(args.output / "confusion_matrix.png", counts, labels, title=f"{args.split}: {len(predictions)} videos")
    for key, measured in sorted(entry["metrics"].items()):
        print(f"{key}: {measured['value']:.3f} ({measured['low']:.3f} to {measured['high']:.3f}), n {measured['n']}")
    print(f"{len(predictions)} videos, {len(rejections)} left out")


def _answer(args: argparse.Namespace) -> None:
    """Puts a dataset's questions about images, and chooses each answer."""
    from suture.training import question_folders

    adapter = registry.dataset(args.adapter)
    videos = args.videos or args.root
    asked = question_folders.questions(adapter, args.root, videos, args.split)
    asked.check(args.max_rejected)
    train = question_folders.questions(adapter, args.root, videos, "train", with_images=False).samples
    closed = closed_set.read(args.choices, normalisation=args.normalisation, score_end=args.score_end)
    chosen = choose(args.checkpoint, family=args.family, labels=args.labels, assume=args.assume)
    known = chosen.card.get("frames") or {}
    told = None
    if args.prompt_mode:
        family = registry.literals("model family", chosen.family)
        told = prompt_modes.text(chosen.family, family, args.prompt_mode, closed.choices)
        prompt_modes.check(chosen.card, args.prompt_mode, told)

    libraries.prepare(threads=args.threads)
    # Not before: they import torch.
    from suture.asked_questions import shown
    from suture.prediction import predict

    model = load(chosen, told)
    height, width = args.size or (known.get("height") or 224, known.get("width") or 224)
    model.check_size(height, width)
    predictions = predict(
        model,
        asked.samples[: args.limit],
        shown(model, asked, (height, width)),
        history="none",
        generation=Generation(),
        batch_size=args.batch_size,
        choices=closed,
    )
    if chosen.report is not None:
        files.write_json(args.output / "checkpoint.json", chosen.report)
    written = args.output / "predictions.jsonl"
    records.write(written, predictions)
    records.write(args.output / "rejected.jsonl", asked.rejected)
    rows = scoring.number_units(read(written).rows)
    compared = {baselines.CEILING: baselines.ceiling(rows.rows)}
    missing = {"leaky": "what the checkpoint was trained on is not known: a leak would not show"}
    if train:
        compared[baselines.MAJORITY], _ = baselines.majority(rows.rows, train)
    else:
        missing[baselines.MAJORITY] = "the dataset's training questions are not here"
    entry = scoring.entry(
        closed_vqa,
        rows,
        split=args.split,
        leaky=False,
        baselines=compared,
        not_computed=missing,
        context=Context(labels=closed.choices),
    )
    files.write_json(args.output / "metrics.json", entry)
    by_majority = entry["baselines"].get(baselines.MAJORITY, {})
    for key, measured in sorted(entry["metrics"].items()):
        beside = f"; majority {by_majority[key]['value']:.3f}" if key in by_majority else ""
        print(
            f"{key}: {measured['value']:.3f} ({measured['low']:.3f} to {measured['high']:.3f}), "
            f"n {measured['n']}{beside}"
        )
    print(asked.words)


def _videos(args: argparse.Namespace) -> tuple[list[Sample], dict[str, Path]]:
    """Returns a sample for each video of the split, and where the videos are."""
    adapter = registry.dataset(args.adapter)
    inner = args.root / "videos"
    videos = args.videos or (inner if inner.is_dir() else args.root)
    samples, media = [], {}
    for case, split in sorted(read_split(adapter, args.root).items()):
        if split != args.split:
            continue
        found = adapter.read_case(args.root, case)
        turns = {segment.media: segment.turns for segment in found.segments}
        for clip in windows.plan_case(found, mode="exact")[0]:
            samples.append(Sample(id=clip.id, case=case, clip=clip.id, phase="", turns=turns[clip.media]))
            media[clip.id] = files.inside(videos, clip.media)
    if not samples:
        raise InputError(f"no video is in the split {args.split}", where=args.root)
    return samples, media


if __name__ == "__main__":
    run(main, parser())
