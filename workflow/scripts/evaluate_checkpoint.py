"""Evaluates one checkpoint on one split of a folder of videos: any of Endo-FM's three layouts, or a model folder.

Run as:
    python workflow/scripts/evaluate_checkpoint.py --checkpoint checkpoint.pth.tar --root data/downstream/PolypDiag \\
        --labels normal abnormal --split val --output evaluated/

Writes predictions.jsonl, metrics.json (one experiment's entry, with intervals
over cases, confusion matrix, ROC and PR curves) and confusion_matrix.png.
Frames are those of the model's training, which its folder tells; a file does
not, and --frames 8 --size 224 224 --sampling uniform are taken. Videos that cannot be read are left out, counted.
Nothing is selected here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from suture import files, free_media, libraries, records, registry, scoring, windows
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
from suture.tasks import classification
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
    p.add_argument("--frames", type=int, metavar="F", help="frames a video (as in training, else 8)")
    p.add_argument("--sampling", choices=METHODS, help="how they are picked (as in training, else uniform)")
    p.add_argument("--size", type=int, nargs=2, metavar=("H", "W"), help="in pixels (as in training, else 224 224)")
    p.add_argument("--seed", type=int, default=42, metavar="N", help="of the draws (42)")
    p.add_argument("--batch-size", type=int, default=16, metavar="N", help="videos at once (16)")
    p.add_argument("--workers", type=int, default=1, metavar="N", help="processes that decode (1)")
    p.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (1)")
    p.add_argument("--max-rejected", type=share, default=0.1, metavar="SHARE", help="of unusable videos (0.1)")
    p.add_argument("--published-score", action="store_true", help="also the score that the Endo-FM fork selects by")
    p.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    return p


def main(args: argparse.Namespace) -> None:
    """Predicts and scores."""
    samples, media = _videos(args)
    chosen = choose(args.checkpoint, family=args.family, labels=args.labels)
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
