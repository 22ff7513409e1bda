"""What train.py learns from where it is given in the published scripts' layouts, not as the workflow does it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from suture import prompt_modes, records, registry
from suture.errors import InputError
from suture.predicted import read_labels
from suture.records import Sample

QUESTIONS_OF = "ssgvqa"
"""Whose layout --ssgvqa-root has, where --dataset does not say."""


def read_folders(args: argparse.Namespace, work: Path, published: Mapping[str, Any]) -> None:
    """Puts samples and cached frames in the place of a dataset's own folders (``--ssgvqa-root``).

    Args:
        args: train.py's; its ``dataset``, ``train``, ``val``, ``frames_cache`` and ``frames`` are set.
        work: the job's folder, which keeps what is made.
        published: the family's published values: ``size``.

    Raises:
        InputError: there is nothing to learn from, or two places say what it is.
    """
    if args.ssgvqa_root is None:
        if args.image_root is not None:
            raise InputError("--image-root goes with --ssgvqa-root")
        if args.train is None:
            raise InputError("what should it learn from?", fix="give --train FILE, or --ssgvqa-root and --image-root")
        return
    if args.image_root is None or args.train or args.val or args.frames_cache or args.features_cache:
        raise InputError("--ssgvqa-root goes with --image-root, and without --train, --val and caches")
    args.dataset = args.dataset or QUESTIONS_OF
    from suture.training.question_folders import prepare

    height, width = args.size or published["size"]
    made = {
        split: prepare(
            args.dataset, args.ssgvqa_root, args.image_root, split, work / "data" / split, size=(height, width)
        )
        for split in ("train", "val")
    }
    args.train, args.val = made["train"].samples, made["val"].samples
    args.frames_cache = [one.frames for one in made.values()]
    args.frames = args.frames or (None if args.fps else 1)


def prompt(args: argparse.Namespace, published: Mapping[str, Any]) -> str | None:
    """Returns what the prompt says beside the question, where ``--prompt-mode`` is given.

    Raises:
        InputError: the mode is none of the family, or two options say what the prompt is.
    """
    if args.prompt_mode is None:
        if args.choices is not None:
            raise InputError("--choices would do nothing without --prompt-mode choices", fix="leave one out")
        return None
    if args.system_prompt is not None:
        raise InputError("--prompt-mode and --system-prompt both say what stands in the prompt", fix="give one")
    choices = (
        read_labels(args.choices)
        if args.choices
        else getattr(registry.dataset(args.dataset or QUESTIONS_OF), "LABELS", ())
    )
    return prompt_modes.text(args.family, published, args.prompt_mode, choices)


def decode_videos(args: argparse.Namespace, work: Path, published: Mapping[str, Any]) -> None:
    """Puts samples and cached frames in the place of published pairs and their videos (``--train-video-dir``).

    Args:
        args: train.py's; its ``train``, ``val``, ``frames_cache`` and ``fps`` are set.
        work: the job's folder, which keeps what is made.
        published: the family's published values: ``size`` and ``fps``.

    Raises:
        InputError: the family has no such pairs, two places say where the videos are, or a clip is in both splits.
    """
    if args.train_video_dir is None:
        if args.val_video_dir is not None:
            raise InputError("--val-video-dir goes with --train-video-dir")
        return
    if "fps" not in published:
        raise InputError(
            "--train-video-dir goes with question–answer pairs, which this family has none of",
            fix="a config with dataset: video_folder, or cache_frames.py and --frames-cache",
        )
    if args.frames_cache or args.features_cache:
        raise InputError("--train-video-dir and a cache both say where the videos are", fix="give one of them")
    from suture.free_media import FrameSettings
    from suture.training.published import prepare

    if args.frames is None and args.fps is None:
        args.fps = published["fps"]
    height, width = args.size or published["size"]
    settings = FrameSettings(count=args.frames, fps=args.fps, height=height, width=width)
    args.frames_cache = []
    for name, videos in (("train", args.train_video_dir), ("val", args.val_video_dir)):
        pairs: Path | None = getattr(args, name)
        if pairs is None or videos is None:
            continue
        made = prepare(pairs, videos, work / "data" / name, settings)
        setattr(args, name, made.samples)
        args.frames_cache.append(made.frames)
    seen: list[set[str]] = [{one.clip for one in records.read(path, Sample)} for path in (args.train, args.val) if path]
    if shared := sorted(set.intersection(*seen)) if len(seen) == 2 else []:
        raise InputError(f"{len(shared)} clips are learnt from and validated on: {shared[0]}, ...", where=args.val)
